"""Two hundred posteriors with one mode: none of them is said to have another."""

import numpy as np
import pytest

import pymc_sgld as psg

from tests.random_log_concave import random_model

pytestmark = [pytest.mark.slow, pytest.mark.statistical]


@pytest.mark.parametrize("seed", range(200))
def test_raw_units_rare_levels_and_sorted_rows_have_one_mode(seed):
    step = psg.Auto(model=random_model(seed), rng=seed, verify=False)
    assert step.choice.other_mode == 0 and step.choice.score_at_centre < 0.1
    tuner, rng = step.chain.tuner, np.random.default_rng(seed)
    starts = [tuner.start(np.zeros(11), 1.0, generator, jitters=True) for generator in rng.spawn(4)]
    assert max(start.mode_distance for start in starts) < 0.2
