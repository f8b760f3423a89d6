import numpy as np
import pytest

from scipy import stats

import pymc_sgld as psg

from models import adult_income
from models._datasets import MissingData
from models._running import Options


@pytest.fixture(scope="module")
def data():
    try:
        return adult_income.load_data(rows=500)
    except MissingData as error:
        pytest.skip(str(error))


def test_splits(data):
    assert data.x.shape == (400, 123) and data.x_test.shape == (100, 123)
    other = adult_income.load_data(rows=500, split=1)
    assert data.y.sum() + data.y_test.sum() == other.y.sum() + other.y_test.sum()
    assert not np.array_equal(data.y, other.y)
    whole = adult_income.load_data()
    assert (len(whole.y), len(whole.y_test)) == (26_049, 6512)


def test_log_joint_and_accuracy_are_the_models(data):
    rng = np.random.default_rng(1)
    intercept, slope = rng.normal(size=3), 0.3 * rng.normal(size=(3, 123))
    logp = adult_income.build_model(data).compile_logp(mode="FAST_COMPILE")
    of_model = [logp({"intercept": a, "slope": b}) for a, b in zip(intercept, slope, strict=True)]
    found = adult_income.log_joint(intercept, slope, data)
    np.testing.assert_allclose(found * len(data.y), of_model)

    probability = 1 / (1 + np.exp(-(data.x_test @ slope.T + intercept)))
    each, so_far = adult_income.accuracies(intercept, slope, data)
    np.testing.assert_allclose(each, [np.mean((p > 0.5) == data.y_test) for p in probability.T])
    assert so_far[0] == each[0]
    assert so_far[2] == np.mean((probability.mean(axis=1) > 0.5) == data.y_test)


@pytest.mark.slow
def test_it_is_learnt_within_a_pass():
    """The paper: accuracy converges after less than one pass, to near 0.85."""
    history, _ = adult_income.learn(adult_income.load_data(), 1, progressbar=False)
    accuracy = history["accuracy"]
    final = float(accuracy[-40:].mean())
    assert 0.84 < final < 0.86
    assert float(accuracy.sel(passes=1, method="nearest")) > final - 0.02
    assert float(history["log joint"][0]) < float(history["log joint"][-1]) - 0.1


@pytest.mark.slow
def test_the_experiment_runs_and_says_that_the_threshold_is_far():
    import matplotlib.pyplot as plt

    result = adult_income.run(Options(rows=3000, chains=2, cores=1, progress=False))
    table = result.tables["held-out accuracy and log joint"]
    assert table.loc["10", "log joint / N"] > table.loc["0.25", "log joint / N"] + 0.1
    assert "not reached" in result.notes[0]
    plt.close("all")


@pytest.mark.statistical
def test_the_posterior_against_nuts(data):
    comparison = psg.compare(
        {"auto": {"target_bias": 0.05}, "nuts": {}},
        adult_income.build_model(data),
        draws=1000,
        cores=1,
        random_seed=1,
        elpd=False,
        stein=False,
        progressbar=False,
    )
    own, other = (comparison.results[name]["posterior"]["slope"] for name in ("auto", "nuts"))
    dims = ("chain", "draw")
    z = (own.mean(dims) - other.mean(dims)) / other.std(dims)
    # 123 means, each with the error of two sets of draws, and a bias of at most 0.1
    errors = np.sqrt(1 / 300 + 1 / 2000)
    assert np.abs(z).max() < 0.1 + errors * stats.norm.ppf(1 - 0.001 / 123)
    assert 0.9 < float(np.median(own.std(dims) / other.std(dims))) < 1.1
