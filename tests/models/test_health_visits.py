import numpy as np
import pytest

from scipy import stats

from models import health_visits


@pytest.fixture(scope="module")
def data():
    return health_visits.load_data()


def test_data(data):
    assert len(data) == 20_190
    assert data["mdvis"].sum() == 57_752
    assert not data.isna().any().any()
    # What the docstring says of overdispersion.
    assert round(data["mdvis"].mean(), 1) == 2.9
    assert round(data["mdvis"].var(), 1) == 20.3


def test_log_likelihoods_of_the_docstring(data):
    from statsmodels.api import add_constant
    from statsmodels.discrete.discrete_model import NegativeBinomial, Poisson

    design = add_constant(data.drop(columns="mdvis"))
    poisson = Poisson(data["mdvis"], design).fit(disp=0)
    negative_binomial = NegativeBinomial(data["mdvis"], design).fit(disp=0, maxiter=200)
    assert round(poisson.llf) == -62_420
    assert round(negative_binomial.llf) == -43_384
    assert f"{poisson.llf:,.0f}" in health_visits.__doc__
    assert f"{negative_binomial.llf:,.0f}" in health_visits.__doc__


def test_logp_against_scipy(data):
    data = data.iloc[::20]
    model = health_visits.build_model(data)
    rng = np.random.default_rng(1)
    intercept, log_shape = 0.9, -0.4
    slope = rng.normal(scale=0.2, size=9)

    columns = []
    for name in ["lncoins", "lpi", "fmde", "physlm", "disea"]:
        column = data[name].to_numpy(dtype=float)
        columns.append((column - column.mean()) / column.std(ddof=1))
    columns += [data[name].to_numpy(dtype=float) for name in ["idp", "hlthg", "hlthf", "hlthp"]]
    mean = np.exp(intercept + np.column_stack(columns) @ slope)
    shape = np.exp(log_shape)
    likelihood = stats.nbinom.logpmf(data["mdvis"], shape, shape / (shape + mean)).sum()
    prior = (
        stats.norm.logpdf(intercept, scale=2.0)
        + stats.norm.logpdf(slope, scale=1.0).sum()
        + stats.halfnorm.logpdf(shape, scale=2.0)
        + log_shape  # Jacobian of the log transform
    )

    point = {"intercept": intercept, "slope": slope, "shape_log__": log_shape}
    logp = model.compile_logp(mode="FAST_COMPILE")(point)
    np.testing.assert_allclose(logp, likelihood + prior, rtol=1e-8)
