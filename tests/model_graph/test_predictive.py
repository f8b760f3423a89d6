"""Log-likelihoods and new data for the rows of a whole posterior, in blocks."""

import arviz as az
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr

from pytensor.compile.mode import Mode

from pymc_sgld.model_graph import RowError
from pymc_sgld.posterior import posterior_predictive, row_log_likelihood
from tests.model_graph.accepted_models import ACCEPTED, BINARY, GROUP, N, X, Y

LIKELIHOODS = [
    "linear_data_dims_deterministic",
    "two_likelihoods_different_rows",
    "two_dimensional_rows_last",
    "three_dimensional",
    "side_likelihood_in_full",
    "missing_values",
    "mvnormal_rows_lkj",
    "varying_slopes_lkj",
    "categorical_p",
    "dirichlet_rows",
    "named_dimensions",
]
ALL_ROWS = ["minibatch_linear", "minibatch_two_dimensional_total_size_list"]


def draws_of(model, n_draws=4):
    """Return draws of the prior, in two chains, as a posterior."""
    names = [rv.name for rv in model.free_RVs]
    prior = pm.sample_prior_predictive(
        2 * n_draws,
        model=model,
        random_seed=1,
        var_names=names,
        compile_kwargs={"mode": Mode(linker="py", optimizer=None)},
    )
    draws = prior.prior.to_dataset()
    halves = [draws.isel(draw=slice(i, None, 2)).drop_vars("draw") for i in range(2)]
    posterior = xr.concat(halves, dim="chain").assign_coords(
        chain=np.arange(2), draw=np.arange(n_draws)
    )
    return xr.DataTree.from_dict({"posterior": posterior})


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_log_likelihood_is_pymcs_own(name, as_kwargs):
    model, options = ACCEPTED[name]()
    options = {k: v for k, v in options.items() if k == "rows"}
    idata = draws_of(model)
    found = row_log_likelihood(
        idata,
        model,
        chunk=7,
        extend_inferencedata=False,
        compile_kwargs=as_kwargs,
        **options,
    )
    expected = pm.compute_log_likelihood(
        idata, model=model, extend_inferencedata=False, progressbar=False,
        compile_kwargs=as_kwargs,
    )  # fmt: skip
    assert set(found.data_vars) == set(expected.data_vars)
    for variable in expected.data_vars:
        xr.testing.assert_allclose(found[variable], expected[variable], rtol=1e-10, atol=1e-12)


def linear(x, y, **options):
    with pm.Model() as model:
        b, s = pm.Normal("b", shape=3), pm.HalfNormal("s")
        pm.Normal("y", x @ b, s, observed=y, **options)
    return model


def test_log_likelihood_of_a_minibatch_model_is_that_of_all_rows(as_kwargs):
    on_batches = linear(*pm.Minibatch(X, Y, batch_size=10), total_size=N)
    plain = linear(X, Y)
    idata = draws_of(plain)
    row_log_likelihood(idata, on_batches, compile_kwargs=as_kwargs)
    expected = pm.compute_log_likelihood(
        idata, model=plain, extend_inferencedata=False, progressbar=False,
        compile_kwargs=as_kwargs,
    )  # fmt: skip
    assert idata.log_likelihood.y.dims == ("chain", "draw", "y_dim_0")
    np.testing.assert_allclose(idata.log_likelihood.y, expected.y, rtol=1e-10)
    # PyMC's own has ten random rows, times N / n.
    wrong = pm.compute_log_likelihood(
        idata, model=on_batches, extend_inferencedata=False, progressbar=False,
        compile_kwargs=as_kwargs,
    )  # fmt: skip
    assert wrong.y.shape[-1] == 10


@pytest.mark.filterwarnings("ignore:Estimated shape parameter:UserWarning")
def test_arviz_takes_the_log_likelihood(as_kwargs):
    model = linear(X, Y)
    rng = np.random.default_rng(0)
    b = np.linalg.lstsq(X, Y)[0] + 0.1 * rng.normal(size=(2, 100, 3))
    posterior = az.from_dict({"posterior": {"b": b, "s": 1 + 0.05 * rng.normal(size=(2, 100))}})
    row_log_likelihood(posterior, model, ["y"], compile_kwargs=as_kwargs)
    loo = az.loo(posterior, pointwise=True)
    # The log of the mean density is what it is without leaving rows out.
    at_mean = posterior.log_likelihood.y.mean(("chain", "draw")).to_numpy()
    assert loo.elpd_i.shape == (N,)
    assert np.corrcoef(loo.elpd_i, at_mean)[0, 1] > 0.99


def test_log_likelihood_of_streamed_rows(as_kwargs):
    with pm.Model() as streamed:
        x, y = pm.Data("x", np.zeros((2, 3))), pm.Data("y_data", np.zeros(2))
        b, s = pm.Normal("b", shape=3), pm.HalfNormal("s")
        pm.Normal("y", x @ b, s, observed=y)
    idata = draws_of(linear(X, Y))
    found = row_log_likelihood(
        idata, streamed, total_size=N, data={"x": X, "y_data": Y}, chunk=11,
        extend_inferencedata=False, compile_kwargs=as_kwargs,
    )  # fmt: skip
    expected = row_log_likelihood(
        idata, linear(X, Y), extend_inferencedata=False, compile_kwargs=as_kwargs
    )
    np.testing.assert_allclose(found.y, expected.y, rtol=1e-12)


def test_more_draws_than_a_block_holds(monkeypatch, as_kwargs):
    model = linear(X, Y)
    idata = draws_of(model)
    once = row_log_likelihood(idata, model, extend_inferencedata=False, compile_kwargs=as_kwargs)
    monkeypatch.setattr("pymc_sgld.posterior.log_likelihood._DRAWS", 3)
    again = row_log_likelihood(idata, model, extend_inferencedata=False, compile_kwargs=as_kwargs)
    xr.testing.assert_identical(once, again)


PREDICTED = {
    "linear_data_dims_deterministic": 0,
    "heteroscedastic": 0,
    "zero_inflated_poisson": 0,
    "censored_per_row": 0,
    "mixture_of_regressions": 0,
    "two_dimensional_rows_last": 1,
    "mvnormal_rows_lkj": 0,
    "multinomial_row_totals": 0,
    "custom_dist_dist": 0,
    "named_dimensions_of_groups": 0,
    "side_likelihood_in_full": 0,
}


@pytest.mark.parametrize("name", PREDICTED)
def test_new_data_have_pymcs_mean_and_spread_in_every_row(name, as_kwargs):
    model, options = ACCEPTED[name]()
    options = {k: v for k, v in options.items() if k == "rows"}
    one = draws_of(model, n_draws=1)["posterior"].to_dataset().isel(chain=[0])
    repeated = one.isel(draw=[0] * 600).assign_coords(draw=np.arange(600))
    idata = xr.DataTree.from_dict({"posterior": repeated})
    found = posterior_predictive(
        idata, model, chunk=23, random_seed=3, extend_inferencedata=False, compile_kwargs=as_kwargs,
        **options,
    )  # fmt: skip
    expected = pm.sample_posterior_predictive(
        idata, model=model, random_seed=4, progressbar=False, var_names=list(found.data_vars),
        compile_kwargs=as_kwargs,
    ).posterior_predictive  # fmt: skip
    assert set(found.data_vars) == {rv.name for rv in model.observed_RVs}
    for variable in found.data_vars:
        a, b = found[variable][0].to_numpy(), expected[variable][0].to_numpy()
        assert (found[variable].dims, a.shape, a.dtype) == (
            expected[variable].dims,
            b.shape,
            b.dtype,
        )
        spread = np.sqrt((a.var(axis=0) + b.var(axis=0)) / len(a)) + 1e-9
        z = (a.mean(axis=0) - b.mean(axis=0)) / spread
        # Some hundred comparisons of random means: 5 is out of reach without an error.
        assert np.abs(z).max() < 5
        assert np.sqrt(np.mean(z**2)) < 1.5
        # Rows are drawn independently, also across chunks.
        if name in ("linear_data_dims_deterministic", "heteroscedastic"):
            together = np.corrcoef(a.T)
            assert np.abs(together[np.triu_indices(N, 1)]).max() < 0.25


def test_new_data_are_in_the_order_of_the_rows(as_kwargs):
    with pm.Model() as model:
        b = pm.Normal("b", shape=3)
        effect = pm.Normal("effect", shape=7)
        x, group, y = pm.Minibatch(X, GROUP.astype("int32"), Y, batch_size=9)
        pm.Normal("y", x @ b + effect[group], 1e-9, observed=y, total_size=N)
    idata = draws_of(model)
    posterior_predictive(idata, model, chunk=13, compile_kwargs=as_kwargs)
    posterior = idata["posterior"]
    expected = posterior.b.to_numpy() @ X.T + posterior.effect.to_numpy()[:, :, GROUP]
    np.testing.assert_allclose(idata.posterior_predictive.y, expected, atol=1e-6)


def test_the_seed_decides(as_kwargs):
    model = linear(X, Y)
    idata = draws_of(model)
    arguments = {"extend_inferencedata": False, "compile_kwargs": as_kwargs}
    first = posterior_predictive(idata, model, random_seed=1, **arguments)
    again = posterior_predictive(idata, model, random_seed=1, **arguments)
    other = posterior_predictive(idata, model, random_seed=2, **arguments)
    xr.testing.assert_identical(first, again)
    assert float(np.abs(first.y - other.y).min()) > 0


def test_new_data_for_streamed_rows_need_no_observed_values(as_kwargs):
    with pm.Model() as streamed:
        x, y = pm.Data("x", np.zeros((2, 3))), pm.Data("y_data", np.zeros(2))
        pm.Normal("y", x @ pm.Normal("b", shape=3), 1e-9, observed=y)
    idata = draws_of(streamed)
    found = posterior_predictive(
        idata,
        streamed,
        total_size=N,
        data={"x": X},
        extend_inferencedata=False,
        compile_kwargs=as_kwargs,
    )
    np.testing.assert_allclose(found.y, idata["posterior"].b.to_numpy() @ X.T, atol=1e-6)


def shared_noise():
    with pm.Model() as model:
        noise = pm.Normal.dist(0, 1, shape=3)
        pm.CustomDist(
            "y", pm.Normal("b"), dist=lambda b, size: pm.Normal.dist(b + noise.sum(), 1, size=size),
            logp=lambda value, b: -pt.sqr(value - b), observed=Y,
        )  # fmt: skip
    return model


def mixed_rows():
    def ranks(p, size):
        return pt.sort(pm.Normal.dist(p, 1, size=size))

    with pm.Model() as model:
        pm.CustomDist(
            "y", pm.Normal("b") * np.ones(N), dist=ranks,
            logp=lambda value, b: -pt.sqr(value - b), observed=Y,
        )  # fmt: skip
    return model


def reversed_noise():
    def backwards(p, size):
        return pm.Normal.dist(p, 1, size=size)[::-1]

    with pm.Model() as model:
        pm.CustomDist(
            "y", pm.Normal("b") * np.ones(N), dist=backwards,
            logp=lambda value, b: -pt.sqr(value - b), observed=Y,
        )  # fmt: skip
    return model


@pytest.mark.parametrize("build", [shared_noise, mixed_rows, reversed_noise])
def test_rows_that_share_random_numbers_are_refused(build, as_kwargs):
    model = build()
    message = r"^'y' cannot be drawn by rows: .*Use pm.sample_posterior_predictive"
    with pytest.raises(RowError, match=message):
        posterior_predictive(draws_of(model), model, compile_kwargs=as_kwargs)


@pytest.mark.parametrize("function", [row_log_likelihood, posterior_predictive])
def test_wrong_arguments_are_refused(function, as_kwargs):
    model = linear(X, Y)
    idata = draws_of(model)
    without = xr.DataTree.from_dict({"posterior": idata["posterior"].to_dataset()[["b"]]})
    with pytest.raises(RowError, match=r"^The draws lack 's', free in the model"):
        function(without, model, compile_kwargs=as_kwargs)
    with pytest.raises(RowError, match=r"^'z' in var_names is no observed variable; these are 'y'"):
        function(idata, model, ["z"], compile_kwargs=as_kwargs)
    with pytest.raises(RowError, match=r"^idata has no group 'posterior'"):
        function(xr.DataTree(), model, compile_kwargs=as_kwargs)
    stacked = idata["posterior"].to_dataset().isel(chain=0)
    with pytest.raises(RowError, match=r"^posterior has dimensions .* but 'chain' and 'draw' are"):
        function(
            xr.DataTree.from_dict({"posterior": stacked}),
            model,
            compile_kwargs=as_kwargs,
        )


def test_a_model_of_potentials_has_no_log_likelihood(as_kwargs):
    with pm.Model() as model:
        b = pm.Normal("b")
        pm.Potential("p", -pt.sqr(BINARY - b))
    with pytest.raises(RowError, match=r"^The model has no observed variable, hence no log-likel"):
        row_log_likelihood(draws_of(linear(X, Y)), model, compile_kwargs=as_kwargs)


@pytest.mark.parametrize("reads_data", [True, False])
def test_potentials_that_read_data_are_named(reads_data, caplog):
    """Censored rows in a potential are in no log-likelihood; a prior in one is no likelihood."""
    with pm.Model() as model:
        rate = pm.HalfNormal("rate", 1)
        pm.Exponential("y", rate, observed=np.linspace(0.1, 2.0, 40))
        of_data = pt.sum(-rate * np.linspace(2.0, 3.0, 9))
        pm.Potential("censored", of_data if reads_data else -rate)
    draws = xr.Dataset(
        {"rate": (("chain", "draw"), np.full((2, 4), 0.5))}, {"chain": [0, 1], "draw": range(4)}
    )
    idata = xr.DataTree.from_dict({"posterior": draws})
    found = row_log_likelihood(idata, model, compile_kwargs={"mode": "FAST_COMPILE"})
    assert found["log_likelihood"]["y"].shape == (2, 4, 40)
    said = [record.getMessage() for record in caplog.records]
    assert ("leaves out 'censored'" in " ".join(said)) == reads_data
