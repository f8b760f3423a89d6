"""Random models are split exactly or refused: never wrongly, and never by another error."""

import numpy as np
import pytensor
import pytest

from hypothesis import HealthCheck, event, given, seed, settings
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
    # Entries of a parameter, picked like those of a table, may be mixed: a step reads them anyway.
    assert not drawn.mixes_rows or drawn.has_latent, "rows are mixed, and it was not noticed"
    assert verify(split, MODE, rng=np.random.default_rng(0)) < 1e-9


@given(models())
@settings(max_examples=12, derandomize=True, **CALM)
def test_random_models_are_split_exactly_or_refused(drawn):
    check(drawn)


@pytest.mark.statistical
@pytest.mark.parametrize("first", range(4))
def test_many_random_models_are_split_exactly_or_refused(first):
    """Six hundred in four parts, each from a seed of its own and a minute or two long."""

    @seed(first)
    @settings(max_examples=150, **CALM)
    @given(models())
    def many(drawn):
        check(drawn)

    # where in the source each node was made is kept for messages, and costs a fifth of the time
    with pytensor.config.change_flags(traceback__limit=0):
        many()
