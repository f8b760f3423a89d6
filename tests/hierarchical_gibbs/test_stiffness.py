"""No step of a Gibbs split is too long for what its coordinates leave out, or rows that few saw."""

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.hierarchical_gibbs import conditional_curvature
from pymc_sgld.hierarchical_gibbs.stiffness import stiffest_of_split


@pytest.fixture(scope="module")
def crossed():
    """Two groupings of ten, each pair of which has forty rows of unit error."""
    rng = np.random.default_rng(0)
    a, b = np.repeat(np.arange(10), 10), np.tile(np.arange(10), 10)
    a, b = np.tile(a, 40), np.tile(b, 40)
    with pm.Model() as model:
        scale = pm.HalfNormal("scale", 1)
        u, v = pm.Normal("u", 0, scale, shape=10), pm.Normal("v", 0, 1, shape=10)
        y = rng.normal(size=10)[a] + rng.normal(size=10)[b] + rng.normal(size=4000)
        pm.Normal("y", u[a] + v[b], 1, observed=y)
    return model, np.hstack([np.eye(10)[a], np.eye(10)[b]])


@pytest.fixture(scope="module")
def split(crossed):
    step = psg.Auto(model=crossed[0], rng=0, verify=False, hyperparameters="gibbs")
    return step.chain.tuner.tuned


@pytest.mark.parametrize("left_out", [True, False])
def test_what_two_groupings_have_in_common(crossed, split, monkeypatch, left_out):
    model, design = crossed
    tuned = split
    if left_out:
        for bound in ("_LARGEST_BORDER", "_LARGEST_WHOLE"):
            monkeypatch.setattr(conditional_curvature, bound, 5)
        step = psg.Auto(model=model, rng=0, verify=False, hyperparameters="gibbs")
        tuned = step.chain.tuner.tuned
    metric, moving = tuned.metric, tuned.curvature.moving
    factor = metric.matrix()[np.ix_(moving, moving)]
    scale = np.exp(tuned.mode[tuned.curvature.hyperparameters[0]])
    prior = np.diag(np.r_[np.full(10, scale**-2.0), np.ones(10)])
    largest = np.linalg.eigvalsh(factor.T @ (design.T @ design + prior) @ factor)[-1]
    assert (largest > 1.9) == left_out
    step_size = tuned.predicted_law.threshold_step_size()
    assert step_size**2 * largest <= 2 and (step_size == 1.2) == (not left_out)


def test_rows_that_the_sample_did_not_see(crossed, split):
    """Of many rows the curvature is that of all: here it is thought to be a sixth."""
    (model, _), tuned = crossed, split
    many = 6  # times as many rows
    blocks = psg.row_model(model).block_function(sampling_mode())
    repeated = tuple(np.concatenate([one] * many) for one in blocks.arrays)
    function = type(blocks)(
        **{
            **{name: getattr(blocks, name) for name in blocks.__dataclass_fields__},
            "arrays": repeated,
            "total_sizes": (many * 4000,),
        }
    )
    rng, draws = np.random.default_rng(1), tuned.draws
    found, passes = stiffest_of_split(function, tuned.curvature, tuned.mode, draws, rng)
    assert found == pytest.approx(1.03 * many, rel=0.05) and 0 < passes < 20
    assert stiffest_of_split(blocks, tuned.curvature, tuned.mode, draws, rng) == (1.0, 0.0)
