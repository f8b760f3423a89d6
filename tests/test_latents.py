"""Models with latents of rows, end to end: how many nodes, what is said, and what is refused."""

import logging

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr

import pymc_sgld as psg

from pymc_sgld import records
from pymc_sgld.model_graph import RowError, read_rows
from pymc_sgld.model_graph.latents.number_of_nodes import ShiftOfMeans
from pymc_sgld.model_graph.latents.quadrature_rules import QuadratureRule
from pymc_sgld.model_graph.latents.row_latents import row_latents
from pymc_sgld.step_methods import auto_latents
from pymc_sgld.step_methods.auto_latents import (
    _mode_of_shared,
    integrate_latents,
    integrated_where_wanted,
)
from pymc_sgld.step_methods.auto_nuts import Reading
from tests.model_graph.test_row_latents import (
    gaussian,
    gaussian_exact,
    three_latents,
    two_correlated,
)

N_ROWS = 3000


def overdispersed_counts(sigma, n_rows=N_ROWS, mean=0.5):
    rng = np.random.default_rng(4)
    x = rng.normal(size=n_rows)
    counts = rng.poisson(mean * np.exp(0.3 * x + sigma * rng.normal(size=n_rows)))
    with pm.Model(coords={"visit": np.arange(n_rows)}) as model:
        base, slope = pm.Normal("base", 0, 2), pm.Normal("slope", 0, 2)
        scale = pm.HalfNormal("scale", 1)
        z = pm.Normal("z", 0, scale, dims="visit")
        pm.Poisson("counts", pt.exp(base + slope * x + z), observed=counts, dims="visit")
    return model


@pytest.fixture(scope="module")
def narrow():
    return integrate_latents(row_latents(overdispersed_counts(0.7)), np.random.default_rng(1))


@pytest.fixture(scope="module")
def at_mode(narrow):
    """Mode and covariance of what the rows share."""
    position, covariance, _ = _mode_of_shared(narrow.taken, np.random.default_rng(2), None)
    return position, covariance


def test_rows_that_are_nearly_gaussian_take_few_nodes(narrow):
    assert narrow.nodes in (5, 9)
    assert narrow.shift.largest <= narrow.shift.bound < 0.02
    assert narrow.in_words().startswith(
        f"z (3,000 values, one per row) is integrated out by quadrature with {narrow.nodes} nodes"
    )


def test_the_error_that_is_said_is_that_of_the_mode(narrow, at_mode):
    """Against modes of the marginal density with 41 nodes, by Newton steps on all rows."""
    (position, covariance), rng = at_mode, np.random.default_rng(2)
    said = ShiftOfMeans(narrow.taken, position[None], covariance, rng).of(3)
    gradients = []
    for nodes in (3, 41):
        rule = QuadratureRule.gauss_hermite(nodes, 1)
        model = read_rows(narrow.taken.marginal_model(rule))
        kwargs = {"compile_kwargs": {"mode": "FAST_COMPILE"}}
        gradients.append(model.logp_and_gradient(position, **kwargs)[1])
    true = covariance @ (gradients[0] - gradients[1]) / np.sqrt(np.diag(covariance))
    assert said.largest > 0.1  # three nodes are too few here
    np.testing.assert_allclose(said.by_parameter, true, atol=0.1 * said.largest)


@pytest.mark.parametrize(("nodes", "is_biased"), [(1, True), (9, False)])
def test_the_check_sees_means_that_integration_biased(narrow, at_mode, nodes, is_biased):
    """One node is the Laplace approximation; draws of its posterior, and of that by nine nodes."""
    (position, covariance), rng = at_mode, np.random.default_rng(3)
    off = ShiftOfMeans(narrow.taken, position[None], covariance, rng).of(nodes).by_parameter
    position = position + off * np.sqrt(np.diag(covariance))
    drawn = rng.multivariate_normal(position, covariance, (4, 100))
    by_name = {"base": drawn[..., 0], "slope": drawn[..., 1], "scale": np.exp(drawn[..., 2])}
    posterior = xr.Dataset({name: (("chain", "draw"), by_name[name]) for name in by_name})
    posterior.attrs[records.NODES] = nodes
    draws = xr.DataTree.from_dict({"posterior": posterior})
    found = psg.check(draws, overdispersed_counts(0.7), n_scored=100, target_bias=0.5)
    shift = found.attributes[records.INTEGRATION_SHIFT]
    assert f"integrated out with {nodes} nodes" in found.notes[-1]
    if is_biased:
        assert shift > 1 and shift == pytest.approx(np.abs(off).max(), rel=0.3)
        assert any("posterior means are off by" in warning for warning in found.warnings)
    else:
        assert shift < 0.02 and not found.warnings


@pytest.mark.slow
def test_wide_rows_take_more_nodes(narrow):
    taken = row_latents(overdispersed_counts(1.5, mean=1.1))
    wide = integrate_latents(taken, np.random.default_rng(1))
    assert wide.nodes > narrow.nodes and wide.shift.bound < 0.02


def two_modes():
    """The square of the latent is seen: each row has it on both sides of zero."""
    y = np.random.default_rng(3).normal(9, 1, size=400)
    with pm.Model() as model:
        centre = pm.Normal("centre", 0, 1)
        pm.Normal("y", pm.Normal("z", 0.5, 3, shape=400) ** 2 + centre, 1.0, observed=y)
    return model


def with_a_start():
    with pm.Model() as model:
        tau = pm.HalfNormal("tau", initval=0.7)
        pm.Normal("y", pm.Normal("z", 0, tau, shape=9), 1.0, observed=np.arange(9.0))
    return model


def test_modes_far_from_each_other_are_seen_and_one_mode_is_one():
    """At z = 3 and -3, 36 standard deviations of the row apart; and where there is one alone."""
    for build, share in ((two_modes, 1.0), (gaussian, 0.0), (two_correlated, 0.0)):
        taken = row_latents(build())
        point = taken.shared.initial_point()
        taken.move_starts(point)
        assert taken.rows_of_several_modes(point).mean() == share


def test_a_default_run_says_why_latents_were_kept(caplog, monkeypatch):
    """Where minibatches would be taken, and the latents cannot be integrated out."""
    monkeypatch.setattr(auto_latents, "read_for_auto", lambda *_, **__: Reading(""))
    assert integrated_where_wanted(two_modes(), "auto", "auto", 1, None, 1000) is None
    assert "Latents of rows are not integrated out. z: in 100.00% of the rows" in caplog.text
    with pytest.raises(RowError, match="other modes"):  # a sampler that was named
        integrated_where_wanted(two_modes(), "auto", "auto", 1, None, 0)


def rows_that_none_sees():
    with pm.Model() as model:
        tau = pm.HalfNormal("tau")
        pm.Normal("y", pm.Normal("z", 0, tau, shape=15)[:9], 1.0, observed=np.arange(9.0))
    return model


def rows_of_two_lengths():
    with pm.Model() as model:
        z = pm.Normal("z", 0, pm.HalfNormal("tau"), shape=9)
        pm.Normal("y", z, 1.0, observed=np.arange(9.0))
        pm.Normal("w", z[np.repeat(np.arange(9), 2)], 1.0, observed=np.arange(18.0))
    return model


def flat_in_the_latent():
    with pm.Model() as model:
        z = pm.Normal("z", 0, pm.HalfNormal("tau"), shape=9)
        pm.Normal("y", pm.Normal("mu") + 0 * z, 1.0, observed=np.arange(9.0))
    return model


def flat_prior():
    with pm.Model() as model:
        pm.Normal("y", pm.Flat("z", shape=9), pm.HalfNormal("s"), observed=np.arange(9.0))
    return model


def test_a_scale_that_the_data_do_not_tell_is_named(caplog):
    """One 0/1 outcome a row, with a scale of its latents: it keeps its prior."""
    with pm.Model() as model:
        z = pm.Normal("z", 0, pm.HalfNormal("tau"), shape=60)
        pm.Bernoulli("y", logit_p=pm.Normal("mu") + z, observed=np.arange(60) % 3 == 0)
    with caplog.at_level(logging.WARNING, logger="pymc.sgld"):
        psg.marginal_model(model, random_seed=1)
    assert "The data hardly tell 'tau'" in caplog.text and "60 rows" in caplog.text


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (rows_that_none_sees, r"'z' has more entries than there are rows \(9\): no observation"),
        (rows_of_two_lengths, r"^'z' has one entry per row, and enters 'w' as a whole"),
        (
            flat_in_the_latent,
            r"^z: no observed variable depends on it; the likelihood of y",
        ),
        (flat_prior, r"^'z': a flat prior has no integral"),
        (two_modes, r"^z: in 100.00% of the rows the latents have other modes"),
        (with_a_start, r"^Latents of rows cannot be integrated out of this model: .*initval"),
        (three_latents, r"^'z' are 3 latents in each row"),
        (gaussian_exact, r"^No free variable has one entry per row"),
    ],
)
def test_what_quadrature_cannot_do_is_said(build, message):
    with pytest.raises(RowError, match=message):
        psg.marginal_model(build())


def test_who_asks_for_nothing_gets_what_the_model_allows(caplog):
    assert integrated_where_wanted(gaussian_exact(), "auto", "auto", 1, None, 0) is None
    assert integrated_where_wanted(gaussian(), False, "auto", 1, None, 0) is None
    # forty rows are left to NUTS, as they are written
    assert integrated_where_wanted(gaussian(), "auto", "auto", 1, None, 1000) is None
    with caplog.at_level(logging.INFO, logger="pymc.sgld"):
        model = psg.marginal_model(two_correlated(), random_seed=1)
    assert "intercept, slope (80 values, 2 for each of 40 rows) are integrated out" in caplog.text
    assert [v.name for v in model.free_RVs] == ["mean", "sigma"]


def test_a_run_says_what_it_integrated_out_and_keeps_the_others():
    with gaussian():
        idata = psg.sample(
            "baoa", 5, tune=5, chains=1, cores=1, random_seed=1, check=False, progressbar=False,
            step_size=1e-3, compute_convergence_checks=False,
        )  # fmt: skip
    assert set(idata.posterior.data_vars) == {"slope", "tau"}
    assert "z (40 values, one per row) is integrated out" in idata.posterior.attrs["integrated_out"]
    allowed = r"latents must be one of 'auto', 'quadrature'"
    with gaussian(), pytest.raises(ValueError, match=allowed):
        psg.sample("baoa", latents="laplace")
    with gaussian(), pytest.raises(RowError, match=r"'z' has one entry per row"):
        psg.sample("baoa", latents=False)
