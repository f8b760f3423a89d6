"""Steps where the posterior reaches the end of its support, by closed forms and exact laws."""

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest

from scipy import stats

import pymc_sgld as psg

from pymc_sgld.chain import steps_in_whitened_coordinates
from pymc_sgld.model_graph import read_rows
from pymc_sgld.model_graph.density.support import transformed_entries
from pymc_sgld.step_methods import arguments, auto_choices, auto_gibbs
from pymc_sgld.tuning import find_laplace, warmup
from pymc_sgld.tuning.starts import jittered
from pymc_sgld.tuning.steep_slopes import steep_slopes, steep_slopes_of_many

TARGET_BIAS = 0.05  # of an sd, as by default
LARGEST_STEP = 1.2  # of Leimkuhler-Matthews in whitened coordinates, that is ever chosen


def _log_of_truncated_normal(z):
    """The slope by u = log b, where b is N(z, 1) above zero; its mode and sd by the curvature."""
    mode = (z + np.sqrt(z * z + 4)) / 2
    return lambda u: 1 - (np.exp(u) - z) * np.exp(u), np.log(mode), (mode * (2 * mode - z)) ** -0.5


def _log_of_gamma(shape):
    return lambda u: shape - np.exp(u), np.log(shape), shape**-0.5


def _found(slope, mode, sd, transformed=(0,)):
    """What is found for a law of one parameter, and how often it was evaluated."""
    calls = []

    def full(position):
        calls.append(position)
        return 0.0, slope(position)

    laplace = SimpleNamespace(position=np.array([mode]), covariance=np.array([[sd**2]]))
    return steep_slopes(SimpleNamespace(full=full), laplace, transformed), len(calls)


def test_the_factor_is_a_power_of_the_slope_over_the_gaussians():
    """By hand, of a half normal: slope 1 - e^{2u} at u = 1.5 / sqrt(2), which a Gaussian has 1."""
    found, calls = _found(*_log_of_truncated_normal(0.0))
    steepness = (np.exp(3 / 2**0.5) - 1) / 1.5 * 0.5**0.5
    assert found.entries == (0,)
    assert found.step_factor == pytest.approx(steepness**-1.25, rel=1e-12)
    assert found.data_passes == calls == 3


def test_without_a_covariance_the_gaussians_slope_is_that_of_a_small_step():
    slope, mode, sd = _log_of_truncated_normal(0.0)
    rough = 2 * sd  # which a scale by products may be off by
    found = steep_slopes_of_many(
        SimpleNamespace(full=lambda at: (0.0, slope(at))), np.array([mode]), np.array([rough]), (0,)
    )
    near = np.sinh(0.1 * rough * 2) / (0.1 * rough)  # of 1 - e^{2u}, over a step to either side
    length = near**-0.5
    steepness = (np.exp(2 * 1.5 * length) - 1) / 1.5 * length
    assert found.step_factor == pytest.approx(steepness**-1.25, rel=1e-12)
    assert found.data_passes == 5


@pytest.mark.parametrize(
    ("law", "transformed", "calls"),
    [
        (_log_of_truncated_normal(30.0), (0,), 0),  # far from zero: not looked at
        (_log_of_truncated_normal(0.0), (), 0),  # not a variable with an end
        ((lambda u: -u / 0.04, 0.0, 0.2), (0,), 3),  # log-normal: a Gaussian
        ((lambda u: 2 - 4 / (1 + np.exp(-u)), 0.0, 1.0), (0,), 3),  # logit of a Beta(2, 2)
    ],
)
def test_regular_posteriors_keep_their_step(law, transformed, calls):
    found, made = _found(*law, transformed)
    assert found.step_factor == 1.0
    assert found.entries == ()
    assert made == calls


@pytest.mark.parametrize(
    ("law", "exact", "wide_before"),
    [
        (_log_of_truncated_normal(-2.0), stats.truncnorm(2, np.inf, -2), 1.6),
        (_log_of_truncated_normal(0.0), stats.truncnorm(0, np.inf), 1.3),
        (_log_of_truncated_normal(2.0), stats.truncnorm(-2, np.inf, 2), 1.2),
        (_log_of_gamma(1.0), stats.gamma(1.0), 1.5),
    ],
)
def test_sds_are_as_wide_as_promised_with_the_factor(law, exact, wide_before):
    """Leimkuhler-Matthews on the law itself, in many chains at once."""
    slope, mode, sd = law
    found, _ = _found(*law)

    def sd_ratio(step):
        rng = np.random.default_rng(0)
        u, old = mode + sd * rng.normal(size=2000), rng.normal(size=2000)
        squares, total, count = 0.0, 0.0, 0
        for number in range(int(700 / min(step, 1.0))):
            new = rng.normal(size=len(u))
            u = np.minimum(u + step * sd**2 * slope(u) + sd * (step / 2) ** 0.5 * (old + new), 5.0)
            old = new
            if number > 100:
                value = np.exp(u)
                squares, total, count = squares + value**2, total + value, count + 1
        mean = np.sum(total) / (count * len(u))
        return (np.sum(squares) / (count * len(u)) - mean**2) ** 0.5 / exact.std()

    assert sd_ratio(LARGEST_STEP) > wide_before - 0.05
    assert abs(sd_ratio(found.step_factor * LARGEST_STEP) - 1) < TARGET_BIAS


def test_variables_with_an_end_are_those_whose_transform_has_one():
    with pm.Model() as model:
        a = pm.Normal("a", 0, 1)
        b = pm.HalfNormal("b", 1, shape=2)
        z = pm.ZeroSumNormal("z", 1, shape=3)
        c = pm.Uniform("c", -1, 1)
        pm.Normal("y", a + b.sum() + z.sum() + c, 1, observed=np.zeros(8))
    assert transformed_entries(read_rows(model)) == (1, 2, 5)


def _slopes_near_zero(n_rows=4000):
    """Positive slopes of orthogonal columns, whose least squares are some sds from zero."""
    rng = np.random.default_rng(21)
    columns, _ = np.linalg.qr(rng.normal(size=(n_rows, 6)))
    columns *= n_rows**0.5
    noise = rng.normal(size=n_rows)
    noise -= columns @ (columns.T @ noise) / n_rows
    least_squares = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, 4.0]) / n_rows**0.5
    with pm.Model() as model:
        b = pm.HalfNormal("b", 1, shape=6)
        pm.Normal("y", columns @ b, 1, observed=noise / noise.std() + columns @ least_squares)
    sd = (n_rows + 1) ** -0.5
    mean = least_squares * n_rows * sd**2
    return model, stats.truncnorm(-mean / sd, np.inf, mean, sd)


def _beside_groups(n_rows=4000, n_groups=12, scale_unknown=True, near=True):
    """Positive slopes at zero of their columns, beside effects of groups that are as many."""
    rng = np.random.default_rng(3)
    group = np.arange(n_rows) % n_groups
    columns = rng.normal(size=(n_rows, 4))
    for j in range(4):
        columns[:, j] -= (np.bincount(group, columns[:, j]) / np.bincount(group))[group]
    columns = np.linalg.qr(columns)[0] * n_rows**0.5
    noise = rng.normal(size=n_rows)
    noise -= columns @ (columns.T @ noise) / n_rows
    with pm.Model() as model:
        b = pm.HalfNormal("b", 1, shape=4, initval=np.full(4, n_rows**-0.5) if near else None)
        mu, tau = (pm.Normal("mu", 0, 1), pm.HalfNormal("tau", 1)) if scale_unknown else (0, 1)
        u = pm.Normal("u", mu, tau, shape=n_groups)
        pm.Normal("y", u[group] + columns @ b, 1, observed=noise + rng.normal(size=n_groups)[group])
    return model, stats.halfnorm(0, (n_rows + 1) ** -0.5)


@pytest.mark.parametrize(
    "way",
    [
        "dense",
        pytest.param("sparse", marks=pytest.mark.slow),
        pytest.param("by products", marks=pytest.mark.slow),
    ],
)
def test_steps_of_every_way_to_tune_are_shortened_alike(monkeypatch, way):
    by_products = way == "by products"
    n_groups = 80 if by_products else 12
    model, _ = _beside_groups(n_groups=n_groups, scale_unknown=not by_products)
    more = {"hyperparameters": "joint" if by_products else "gibbs"}
    if way == "sparse":
        monkeypatch.setattr(auto_gibbs, "LARGEST_DENSE", 1)
    if by_products:
        for module in (arguments, auto_choices, warmup):
            monkeypatch.setattr(module, "LARGEST_MEASURED", 1)
    step = psg.Auto(model=model, rng=0, verify=False, batch_size=400, **more)
    prepared = step.chain.tuner.prepared
    assert set(range(4)) <= set(prepared.steep.entries)  # b is the first variable
    steepness = (np.exp(3 / 2**0.5) - 1) / 1.5 * 0.5**0.5
    assert prepared.steep.step_factor == pytest.approx(steepness**-1.25, rel=0.2)
    if not by_products:  # there the plan of the chain asks what a draw forgets
        plain = steps_in_whitened_coordinates(all_rows=False)
        assert step.chain.settings.steps_per_draw >= plain / prepared.steep.step_factor
    choice = step.choice
    assert "steeper than a Gaussian" in choice.reason + choice.hyperparameters


@pytest.fixture(scope="module")
def from_afar():
    model, exact = _beside_groups(n_rows=20_000, scale_unknown=False, near=False)
    rows = read_rows(model)
    return rows, rows.block_function("NUMBA"), np.log(exact.std() / (1 - 2 / np.pi) ** 0.5)


@pytest.mark.parametrize("seed", range(6))
def test_no_newton_step_leaps_to_where_the_slope_is_small(from_afar, seed):
    """Far below its mode the log of a positive slope has a slope of one, and no curvature."""
    rows, function, mode = from_afar
    start = rows.ravel(rows.model.initial_point())
    found = find_laplace(function, start, np.random.default_rng(seed))
    assert found.arrived
    # it was below -300; a curvature that was measured elsewhere may call 2.5 sds an arrival
    np.testing.assert_allclose(found.position[:4], mode, atol=3)


def test_a_start_moves_the_log_of_a_positive_variable_by_one_at_most(from_afar):
    rows, function, mode = from_afar
    start = rows.ravel(rows.model.initial_point())
    start[:4] = mode
    moved, _ = jittered(function, start, np.random.default_rng(0), transformed=range(4))
    assert 0.1 < np.abs(moved - start)[:4].max() <= 1
    wide, _ = jittered(function, start, np.random.default_rng(0))
    assert np.abs(wide - start)[:4].max() > 10  # by their own scales


@pytest.mark.statistical
@pytest.mark.parametrize("way", ["dense", "sparse"])
def test_positive_slopes_beside_groups(monkeypatch, way):
    model, exact = _beside_groups()
    if way == "sparse":
        monkeypatch.setattr(auto_gibbs, "LARGEST_DENSE", 1)
    result = psg.sample(
        "auto", 4000, model=model, chains=4, cores=1, random_seed=1, hyperparameters="gibbs",
        progressbar=False, check=False,
    )  # fmt: skip
    draws = result["posterior"]["b"].to_numpy()
    np.testing.assert_allclose(draws.std((0, 1)), exact.std(), rtol=0.08)
    np.testing.assert_allclose(draws.mean((0, 1)), exact.mean(), rtol=0.08)


@pytest.mark.statistical
def test_positive_slopes_that_the_data_do_not_push_off_zero():
    model, exact = _slopes_near_zero()
    result = psg.sample(
        "auto", 4000, target_bias=TARGET_BIAS, model=model, chains=4, cores=1, random_seed=1,
        progressbar=False,
    )  # fmt: skip
    draws = result["posterior"]["b"].to_numpy()
    np.testing.assert_allclose(draws.std((0, 1)), exact.std(), rtol=0.08)
    np.testing.assert_allclose(draws.mean((0, 1)), exact.mean(), rtol=0.08)
    assert "steeper than a Gaussian" in result["tuning"].attrs["reason"]
