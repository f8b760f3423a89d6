import arviz as az
import numpy as np
import pytest

from scipy import special, stats

import pymc_sgld as psg

from models import digit_classifier
from models.digit_classifier import entropy, probabilities


@pytest.fixture(scope="module")
def data():
    return digit_classifier.load_data(rows=100)


def test_data(data):
    assert data.x.shape == (80, 64) and data.x_test.shape == (20, 64)
    whole = digit_classifier.load_data()
    assert (len(whole.y), len(whole.y_test), len(whole.unlike)) == (721, 180, 896)
    assert whole.y.max() == 4 and whole.x.max() == 1
    assert digit_classifier.SAMPLING["step_size"] ** 2 * 721 == pytest.approx(0.01, rel=0.02)


def test_logp_and_probabilities_against_the_formula(data):
    rng = np.random.default_rng(1)
    sizes = {"inward": (64, 30), "bias": 30, "outward": (30, 5), "level": 5}
    at = {name: rng.normal(size=size) for name, size in sizes.items()}
    hidden = np.tanh(data.x @ at["inward"] * 2 / 8 + at["bias"])
    logits = hidden @ at["outward"] * 3 / np.sqrt(30) + at["level"]
    chosen = special.log_softmax(logits, axis=1)[np.arange(len(data.y)), data.y]
    expected = chosen.sum() + sum(stats.norm.logpdf(one).sum() for one in at.values())
    model = digit_classifier.build_model(data)
    np.testing.assert_allclose(model.compile_logp(mode="FAST_COMPILE")(at), expected)

    draws = az.from_dict({"posterior": {name: one[None, None] for name, one in at.items()}})
    np.testing.assert_allclose(probabilities(draws, data.x)[0], special.softmax(logits, axis=1))


def test_entropy():
    assert entropy(np.full((1, 5), 0.2))[0] == pytest.approx(np.log(5))
    assert entropy(np.eye(5)).max() == 0


@pytest.mark.slow
def test_averaging_tells_images_apart_that_a_draw_does_not():
    data = digit_classifier.load_data()
    options = {"cores": 1, "random_seed": 1, "progressbar": False, "chains": 2}
    with digit_classifier.build_model(data):
        draws = psg.sample(**{**digit_classifier.SAMPLING, **options})
    table = digit_classifier.tables(draws, data)["images known and unlike"]
    alone, mean = table.loc["a draw alone, on average"], table.loc["mean over draws"]
    assert mean["accuracy"] > 0.95
    assert mean["log-likelihood"] > alone["log-likelihood"]
    assert mean["told apart (AUC)"] > alone["told apart (AUC)"] + 0.02
