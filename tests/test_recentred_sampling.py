"""Samplers move in group effects; what they report are the variables as the user wrote them."""

import logging

import numpy as np
import pymc as pm
import pytest
import xarray as xr

from scipy import stats

import pymc_sgld as psg

from pymc_sgld.posterior import check_run

G, N = 6, 3000
QUIET = {"progressbar": False, "cores": 1, "compute_convergence_checks": False}


def build(n_groups=G, noise=1.0):
    rng = np.random.default_rng(0)
    group = rng.integers(0, n_groups, N)
    y = (1 + 0.8 * rng.normal(size=n_groups))[group] + noise * rng.normal(size=N)
    with pm.Model(coords={"group": range(n_groups), "row": range(N)}) as model:
        mu, tau = pm.Normal("mu", 0, 2), pm.HalfNormal("tau", 1)
        z = pm.Normal("z", dims="group")
        level = pm.Deterministic("level", mu + tau * z, dims="group")
        pm.Normal("y", level[group], noise, observed=y, dims="row")
    return model, group, y


@pytest.fixture(scope="module")
def model():
    return build()[0]


@pytest.fixture(scope="module")
def step(model):
    with model:
        return psg.SGLD(batch_size=200, step_size=1e-4, preconditioner="identity", steps_per_draw=5)


@pytest.fixture(scope="module")
def idata(model, step):
    with model:
        return pm.sample(60, tune=5, chains=2, step=step, random_seed=1, **QUIET)


def test_the_trace_holds_the_variables_as_written(idata):
    posterior = idata.posterior
    assert set(posterior.data_vars) == {"mu", "tau", "z", "level"}
    assert posterior["z"].dims == ("chain", "draw", "group")
    assert {"step_size", "minibatch_logp", "diverging"} <= set(idata.sample_stats.data_vars)
    made = posterior["mu"] + posterior["tau"] * posterior["z"]
    np.testing.assert_allclose(posterior["level"], made, rtol=0, atol=1e-12)
    assert posterior["z"].std() > 0.1


def test_the_verdicts_are_on_the_variables_as_written(model, step):
    """R-hat and ESS too: z is stuck at zero in one chain, its effects are not."""
    rng = np.random.default_rng(2)
    z = rng.normal(size=(2, 100, G))
    z[1] = 0
    mu, tau = rng.normal(size=(2, 100)), np.exp(0.1 * rng.normal(size=(2, 100)))
    dims = ("chain", "draw")
    groups = {
        "posterior": xr.Dataset({"mu": (dims, mu), "tau": (dims, tau), "z": ((*dims, "group"), z)}),
        "sample_stats": xr.Dataset({"data_passes": (dims, np.full((2, 100), 10.0))}),
    }
    found = check_run(step.score_source(), model, xr.DataTree.from_dict(groups))
    assert [one.variable for one in found.verdicts] == ["mu", "tau", "z"]
    assert found.measured.labels[-1] == f"z[{G - 1}]" and found.attributes["draws_scored"]
    assert found.measured.r_hat[2:].min() > 1.05 > found.measured.r_hat[:2].max()
    assert found.verdicts[2].verdict == "not mixed"
    assert any(note.startswith("The width of z was measured by") for note in found.notes)


def test_a_step_starts_where_the_point_is(model, step):
    """From initvals, or where another step method has moved: with next to no step, it stays."""
    with model:
        still = psg.SGLD(
            rows=psg.row_model(model),
            batch_size=200,
            step_size=1e-18,
            preconditioner="identity",
            steps_per_draw=1,
            verify=False,
        )
    still.chain.loop = step.chain.loop
    still.setup_chain(np.random.default_rng(0), 0, 3)
    point = {"mu": np.array(1.5), "tau_log__": np.array(-0.7), "z": np.linspace(-2, 2, G)}
    for shift in (0.0, 0.3):
        moved = {name: value + shift for name, value in point.items()}
        after, _ = still.step(moved)
        for name in point:
            np.testing.assert_allclose(after[name], moved[name], rtol=1e-7, atol=1e-7)


def test_saved_state_gives_the_same_next_draws(model, step):
    def run(point, n_draws):
        points = []
        for _ in range(n_draws):
            point, _ = step.step(point)
            points.append(point)
        return points

    step.setup_chain(np.random.default_rng(0), 1, 10)
    last = run(model.initial_point(), 3)[-1]
    saved = step.sampling_state
    after = run(last, 2)
    step.setup_chain(np.random.default_rng(9), 1, 10)
    run(last, 1)
    step.sampling_state = saved
    for one, other in zip(after, run(last, 2), strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])


def marginal_of_tau(group, y, noise=1.0):
    """Return a grid of log tau with its posterior weights, and moments of mu given tau."""
    grid = np.linspace(-4, 2.5, 2000)
    tau = np.exp(grid)
    counts = np.bincount(group)
    means = np.bincount(group, y) / counts
    # the mean of a group given mu and tau: variance tau^2 + noise^2 / n; mu has a normal prior
    weight = 1 / (tau[:, None] ** 2 + noise**2 / counts)
    precision = weight.sum(axis=1) + 1 / 4
    centre = (weight * means).sum(axis=1) / precision
    log_p = 0.5 * np.log(weight).sum(axis=1) - 0.5 * (weight * means**2).sum(axis=1)
    log_p += 0.5 * centre**2 * precision - 0.5 * np.log(precision)
    log_p += stats.halfnorm.logpdf(tau) + grid
    p = np.exp(log_p - log_p.max())
    return grid, p / p.sum(), centre, 1 / precision


@pytest.mark.statistical
@pytest.mark.parametrize("sampler", ["auto", "sggmc", "baoab", "sghmc"])
def test_the_posterior_is_that_of_the_model(sampler):
    """Means and sds of log tau and mu by quadrature, for samplers with and without a test."""
    model, group, y = build(30)
    grid, p, centre, variance = marginal_of_tau(group, y)
    known = {"log_tau": (p @ grid, np.sqrt(p @ grid**2 - (p @ grid) ** 2))}
    mean = p @ centre
    known["mu"] = mean, np.sqrt(p @ (variance + centre**2) - mean**2)
    options = {} if sampler == "auto" else {"gradient": "control_variate"}
    with model:
        options["target_bias"] = 0.02
        idata = psg.sample(sampler, 3000, tune=300, chains=4, random_seed=2, **options, **QUIET)
    posterior = idata.posterior.to_dataset()
    draws = {"mu": posterior["mu"], "log_tau": np.log(posterior["tau"])}
    for name, (expected, sd) in known.items():
        ess = float(draws[name].azstats.ess(sample_dims=["chain", "draw"]))
        assert ess > 300
        assert abs(float(draws[name].mean()) - expected) / sd < 0.06 + 4 / np.sqrt(ess)
        assert abs(float(draws[name].std()) / sd - 1) < 0.05 + 4 / np.sqrt(2 * ess)


def test_what_is_moved_in_is_said(model, caplog):
    with model, caplog.at_level(logging.INFO, logger="pymc.sgld"):
        step = psg.SGLD(step_size=1e-4, verify=False, preconditioner="identity")
    assert "Sampling 'z' (6 entries) as 'level'" in caplog.text
    assert step.labels == ("mu", "tau", *(f"level[{i}]" for i in range(G)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": 2.0}, "at another temperature"),
        ({"preconditioner": np.ones(G + 2)}, "the preconditioner is given for it"),
    ],
)
def test_where_it_would_mean_something_else_all_is_as_written(options, said, model, caplog):
    options = {"step_size": 1e-4, "verify": False, "preconditioner": "identity", **options}
    with model, caplog.at_level(logging.INFO, logger="pymc.sgld"):
        step = psg.SGLD(compile_kwargs={"mode": "FAST_COMPILE"}, **options)
    assert said in caplog.text
    assert step.labels[-1] == f"z[{G - 1}]"


def test_a_row_model_has_decided_already(model):
    with model, pytest.raises(psg.RowError, match=r"Give it where that is made"):
        psg.SGLD(rows=psg.row_model(model), recentre=False)
