"""Random models are split exactly or refused: never wrongly, and never by another error."""

import numpy as np
import pytest

from hypothesis import HealthCheck, event, given, settings
from pytensor.compile.mode import Mode

from pymc_sgld.model_graph import RowError, row_model, verify
from tests.model_graph.random_models import models

pytestmark = pytest.mark.filterwarnings("ignore::pymc.exceptions.ImputationWarning")

MODE = Mode(linker="py", optimizer=None)
CALM = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


def check(drawn):
    try:
        split = row_model(drawn.model, **drawn.options)
    except RowError as error:
        event("refused")
        assert drawn.mixes_rows or drawn.has_latent, f"refused without need: {error}"
        return
    event("accepted")
    assert not drawn.mixes_rows, "rows are mixed, and it was not noticed"
    assert verify(split, MODE, rng=np.random.default_rng(0)) < 1e-9


@given(models())
@settings(max_examples=25, derandomize=True, **CALM)
def test_random_models_are_split_exactly_or_refused(drawn):
    check(drawn)


@pytest.mark.statistical
@given(models())
@settings(max_examples=600, derandomize=True, **CALM)
def test_many_random_models_are_split_exactly_or_refused(drawn):
    check(drawn)
