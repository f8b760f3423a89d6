"""What the ends of spectra tell, against the whole matrices where these are small."""

import numpy as np
import pytest

import pymc_sgld as psg

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.preconditioners import LowRank
from pymc_sgld.samplers import Baoa, StochasticGradientLangevin
from pymc_sgld.step_methods import arguments, auto_choices
from pymc_sgld.tuning import (
    GaussianLaw,
    LawByEnds,
    LinearLaw,
    batch_noise,
    stiffest_direction,
    warmup,
)
from tests.targets import linear_regression


@pytest.fixture(scope="module")
def target():
    return linear_regression(n_rows=2000, n_dim=6)


@pytest.fixture(scope="module")
def function(target):
    return psg.row_model(target.model()).block_function(sampling_mode())


@pytest.fixture(scope="module")
def metric(target):
    """One direction is left out of the metric, so that a stiff one remains."""
    precision = np.linalg.inv(target.covariance)
    return LowRank(rank=2).at_mode(target.mean, precision)


@pytest.mark.parametrize("rule", [StochasticGradientLangevin(), Baoa(friction=1.0)])
def test_the_ends_tell_what_the_matrix_tells(rule):
    """Curvatures .25, .5 and 1 with noise along the stiffest: step, memory and inflation."""
    law, noise = LinearLaw(rule), np.diag([0.0, 0.0, 0.3])
    whole = GaussianLaw(law, np.diag([0.25, 0.5, 1.0]), noise, np.eye(3))
    ends = LawByEnds(law, 0.25, 1.0, 0.3)
    step = whole.threshold_step_size()
    assert ends.threshold_step_size() == pytest.approx(step, rel=1e-9)
    assert ends.memory(step) == pytest.approx(whole.memory(step), rel=1e-9)
    assert ends.noise_ratio(step) == pytest.approx(whole.noise_ratio(step), rel=1e-9)
    # the ends know not along which of them the noise is: they say the larger excess
    at_soft = np.sqrt(0.25 * law.variance(step, 0.25, 0.3)) - 1
    worst = max(whole.sd_inflation(step), at_soft)
    assert ends.sd_inflation(step) == pytest.approx(worst, rel=1e-3)


def test_stiffest_direction(function, target, metric):
    inside = metric.matrix().T @ np.linalg.inv(target.covariance) @ metric.matrix()
    values, vectors = np.linalg.eigh(inside)
    found, direction, passes = stiffest_direction(function, metric, np.random.default_rng(0))
    assert found == pytest.approx(values[-1], rel=0.02)
    assert abs(direction @ vectors[:, -1]) > 0.98 and passes > 0


@pytest.mark.parametrize("control_variate", [False, True])
def test_noise_of_batches_by_coordinate(function, target, metric, control_variate):
    """Pairs of batches against the covariance over all rows, averaged over the posterior."""
    rng, factor = np.random.default_rng(1), metric.matrix()
    exact = np.zeros((6, 6))
    at_mode = target.design * (target.outcome - target.design @ target.mean)[:, None]
    for _ in range(300):
        point = target.mean + factor @ rng.standard_normal(6)
        scores = target.design * (target.outcome - target.design @ point)[:, None]
        scores = scores - control_variate * at_mode
        # 1999 rows are left to a row of a batch of 50
        exact += 2000**2 / 50 * 1950 / 1999 * np.cov((scores @ factor).T, bias=True) / 300
    along = np.linalg.eigh(exact)[1][:, -1:]
    found = [
        batch_noise(
            function,
            metric,
            along,
            [50],
            control_variate=control_variate,
            temperature=1.0,
            generator=rng,
        )
        for _ in range(4)
    ]
    by_coordinate = np.mean([one.by_coordinate for one in found], axis=0)
    np.testing.assert_allclose(by_coordinate, np.diag(exact), rtol=0.35)
    assert by_coordinate.sum() == pytest.approx(np.trace(exact), rel=0.15)
    largest = np.mean([one.largest for one in found])
    assert largest == pytest.approx(np.linalg.eigvalsh(exact)[-1], rel=0.25)


def test_the_posterior_of_a_model_too_large_for_a_matrix(monkeypatch):
    """Six parameters are made too many: mean and sd of the draws as the closed form has them."""
    for module in (auto_choices, warmup, arguments):
        monkeypatch.setattr(module, "LARGEST_MEASURED", 5)
    target = linear_regression(n_rows=20_000, n_dim=6)
    idata = psg.sample(
        model=target.model(), draws=1500, tune=50, chains=4, cores=1, random_seed=1,
        progressbar=False,
    )  # fmt: skip
    assert "scale of their own" in idata["tuning"].attrs["reason"]
    assert idata["sample_stats"]["batch_size"].to_numpy()[0, 0] < 20_000
    draws = idata["posterior"]["theta"].to_numpy().reshape(-1, 6)
    sd = np.sqrt(np.diag(target.covariance))
    assert np.abs((draws.mean(axis=0) - target.mean) / sd).max() < 4 / np.sqrt(len(draws) / 4)
    np.testing.assert_allclose(draws.std(axis=0) / sd, 1, atol=0.05 + 4 / np.sqrt(len(draws)))


def test_the_picture_is_that_of_the_batches_that_were_chosen(monkeypatch):
    """Their noise is that of one row over their number, however many rows it was measured on."""
    for module in (auto_choices, warmup, arguments):
        monkeypatch.setattr(module, "LARGEST_MEASURED", 5)
    model = linear_regression(n_rows=20_000, n_dim=6).model()
    step = psg.Auto(model=model, rng=0, verify=False)
    picture, n_rows = step.chain.prepared.predicted_law, step.choice.batch_size
    assert n_rows < 20_000
    assert picture.noise_eigenvalue * n_rows == pytest.approx(step.choice.row_noise, rel=1e-6)
    variance = picture.law.variance(1.2, 1.0, picture.noise_eigenvalue)
    assert np.sqrt(variance) <= 1.05 + 1e-9


def test_a_step_size_is_chosen_for_other_samplers_too(monkeypatch):
    for module in (auto_choices, warmup, arguments):
        monkeypatch.setattr(module, "LARGEST_MEASURED", 5)
    model = linear_regression(n_rows=20_000, n_dim=6).model()
    with pytest.raises(ValueError, match=r"choice of step_size \(give it, or take precond"):
        psg.step_methods.REGISTRY["sgld"](model=model, preconditioner="identity", verify=False)
    step = psg.step_methods.REGISTRY["sghmc"](model=model, verify=False)
    assert step.chain.settings.preconditioner.name == "low_rank"
