import itertools

import arviz as az
import numpy as np
import pytest

from scipy import stats

import pymc_sgld as psg

from models import bayesian_neural_network as network
from models._datasets import MissingData


@pytest.fixture(scope="module")
def data():
    try:
        return network.load_data(rows=80)
    except MissingData as error:
        pytest.skip(str(error))


def test_splits_are_standardised_by_what_is_learnt_from(data):
    assert (data.x.shape, data.x_test.shape) == ((72, 8), (8, 8))
    whole = network.load_data(name="concrete", split=3)
    assert (len(whole.y), len(whole.y_test)) == (927, 103)
    np.testing.assert_allclose(whole.x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(whole.y.std(), 1)
    # of all 1030 targets, whatever the split, back in their unit
    both = np.concatenate([whole.y, whole.y_test]) * whole.target_sd + whole.target_mean
    np.testing.assert_allclose(both.mean(), 35.818, atol=2e-3)


def point(rng, sizes):
    values = {}
    for layer, (fan_in, units) in enumerate(itertools.pairwise(sizes)):
        values[f"weights_{layer}"] = rng.normal(size=(fan_in, units))
        values[f"biases_{layer}"] = rng.normal(size=units)
    return values | {"outward": rng.normal(size=sizes[-1]), "level": np.array(rng.normal())}


def forward(values, x):
    """Return the network's value at one row, unit by unit."""
    at, layer = x, 0
    while f"weights_{layer}" in values:
        weights, biases = values[f"weights_{layer}"], values[f"biases_{layer}"]
        at = [
            np.tanh(sum(a * w / len(at) ** 0.5 for a, w in zip(at, weights[:, j], strict=True)) + b)
            for j, b in enumerate(biases)
        ]
        layer += 1
    outward = values["outward"] / len(at) ** 0.5
    return sum(a * w for a, w in zip(at, outward, strict=True)) + values["level"]


@pytest.mark.parametrize("hidden", [(4,), (4, 3)])
def test_logp_and_predictions_against_the_formula(data, hidden):
    model = network.build_model(data, hidden)
    values = point(np.random.default_rng(2), [8, *hidden])
    sigma = 0.6
    f = np.array([forward(values, row) for row in data.x])
    expected = stats.norm.logpdf(data.y, f, sigma).sum()
    expected += sum(stats.norm.logpdf(value).sum() for value in values.values())
    expected += stats.halfnorm.logpdf(sigma) + np.log(sigma)
    found = model.compile_logp(mode="FAST_COMPILE")(values | {"sigma_log__": np.log(sigma)})
    np.testing.assert_allclose(found, expected)

    named = {name: np.asarray(one)[None, None] for name, one in values.items()}
    draws = az.from_dict({"posterior": named | {"sigma": np.array([[sigma]])}})
    at_test, of_noise = network.predictions(draws, data.x_test)
    np.testing.assert_allclose(at_test[0], [forward(values, row) for row in data.x_test])
    assert of_noise == sigma


def test_scores_of_a_gaussian_predictive(data):
    """Draws of f from a normal law: the predictive is normal, with both variances."""
    rng = np.random.default_rng(3)
    values = 0.3 + 0.5 * rng.standard_normal((20_000, len(data.y_test)))
    found = network.scores(values, np.full(20_000, 0.8), data)
    predictive = stats.norm(0.3, np.hypot(0.5, 0.8))
    exact = predictive.logpdf(data.y_test).mean() - np.log(data.target_sd)
    assert found["log-likelihood"] == pytest.approx(exact, abs=0.01)
    rmse = data.target_sd * np.sqrt(np.mean((data.y_test - 0.3) ** 2))
    assert found["RMSE"] == pytest.approx(rmse, rel=0.01)
    inside = np.abs(predictive.cdf(data.y_test) - 0.5) < 0.45
    assert found["coverage of 90 %"] == pytest.approx(inside.mean())


def test_settings_are_rates_per_mean_loss(data):
    model = network.build_model(data, (4,))
    own = network.settings("sghmc", model, 927, 1000)
    assert own["step_size"] ** 2 * 927 == pytest.approx(0.01)
    assert 1 - own["step_size"] * own["friction"] == pytest.approx(0.9)
    steps = own["steps_per_draw"] * (own["draws"] + own["tune"])
    assert steps * own["batch_size"] / 927 == pytest.approx(1000, rel=0.01)
    langevin = network.settings("sgld", model, 927, 1000)
    assert langevin["step_size"] * 927 == pytest.approx(0.1)
    large = network.settings("baoa", model, 41_157, 60)
    assert np.exp(-large["step_size"] * large["friction"]) == pytest.approx(0.9)
    assert large["batch_size"] == 512 and large["step_size"] ** 2 * 41_157 == pytest.approx(0.1)


@pytest.mark.slow
def test_predictions_against_nuts():
    """A small network on few rows, where NUTS converges: root mean square gap of predictions."""
    data = network.load_data(rows=200)
    model = network.build_model(data, (5,))
    comparison = psg.compare(
        {"sghmc": network.settings("sghmc", model, len(data.y), 10_000), "nuts": {"draws": 500}},
        model,
        chains=4,
        cores=1,
        random_seed=1,
        elpd=False,
        stein=False,
        var_names=["prediction", "sigma"],
        progressbar=False,
    )
    dims = ("chain", "draw")
    own, other = (one["posterior"]["prediction"] for one in comparison.results.values())
    gap = (own.mean(dims) - other.mean(dims)) / other.std(dims)
    assert float(np.sqrt((gap**2).mean())) < 0.3
    assert 0.8 < float((own.std(dims) / other.std(dims)).median()) < 1.35
