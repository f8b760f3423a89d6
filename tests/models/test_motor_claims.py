import numpy as np
import pytest

from scipy import stats

from models import motor_claims
from models._datasets import MissingData


@pytest.fixture(scope="module")
def data():
    try:
        return motor_claims.load_data(rows=2000)
    except MissingData as error:
        pytest.skip(str(error))


def test_data(data):
    assert len(data.claims) + len(data.test.claims) == 2000
    whole = motor_claims.load_data()
    assert (len(whole.claims), len(whole.test.claims)) == (130_570, 32_642)
    counts = np.bincount(np.concatenate([whole.area, whole.test.area]))
    assert (len(counts), counts.min(), counts.max()) == (80, 246, 6291)
    assert len(whole.areas) == len(whole.places) == 80
    assert f"{counts.min()} to {counts.max():,} policies" in motor_claims.__doc__
    # a place in Belgium, roughly
    assert (whole.places.min(axis=0) > [2.5, 49.4]).all()
    assert (whole.places.max(axis=0) < [6.5, 51.6]).all()


def test_logp_against_scipy(data):
    model = motor_claims.build_model(data)
    rng = np.random.default_rng(1)
    mu, between = -1.9, 0.2
    level, slope = rng.normal(mu, between, 80), rng.normal(0, 0.1, 11)
    mean = np.exp(data.log_exposure + level[data.area] + data.x @ slope)
    expected = stats.poisson.logpmf(data.claims, mean).sum()
    expected += stats.norm.logpdf(mu, -2, 1) + stats.halfnorm.logpdf(between, scale=0.5)
    expected += stats.norm.logpdf(level, mu, between).sum()
    expected += stats.norm.logpdf(slope, scale=0.5).sum() + np.log(between)
    point = {"mu": mu, "between_log__": np.log(between), "level": level, "slope": slope}
    found = model.compile_logp(mode="FAST_COMPILE")(point)
    np.testing.assert_allclose(found, expected)


def test_deviance_against_scikit_learn():
    from sklearn.metrics import mean_poisson_deviance

    rng = np.random.default_rng(1)
    expected, claims = rng.gamma(2, size=50), rng.poisson(1.0, 50)
    assert motor_claims.deviance(expected, claims) == pytest.approx(
        mean_poisson_deviance(claims, expected)
    )
