import pytest

from pymc_sgld.model_graph import RowError, row_model
from tests.model_graph import refused_structure  # noqa: F401  (fills REFUSED)
from tests.model_graph.refused_models import REFUSED


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_the_variable_and_what_to_write_instead(name):
    make, message = REFUSED[name]
    model, options = make()
    with pytest.raises(RowError) as error:
        row_model(model, **options)
    assert str(error.value) == message
