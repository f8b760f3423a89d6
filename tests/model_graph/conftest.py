"""Each named model is built and split once a session."""

import pytensor
import pytest

from pytensor.compile.mode import Mode

from pymc_sgld.model_graph import row_model
from tests.model_graph import (  # the modules fill ACCEPTED
    accepted_coincident,  # noqa: F401
    accepted_special,  # noqa: F401
    accepted_structure,  # noqa: F401
)
from tests.model_graph.accepted_models import ACCEPTED

# What PyMC and PyTensor say of the models themselves, whoever reads them.
EXPECTED_WARNINGS = [
    "ignore:Data in y contains missing values:pymc.exceptions.ImputationWarning",
    "ignore:Initial distribution not specified:UserWarning",
    "ignore:total_size not provided for observed variable:UserWarning",
    "ignore:PyTensor could not link to a BLAS installation:UserWarning",
]


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/model_graph/" in item.nodeid:
            for warning in EXPECTED_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def split():
    """Return the row model of a named accepted model."""
    made = {}

    def build(name):
        if name not in made:
            model, options = ACCEPTED[name]()
            made[name] = row_model(model, **options)
        return made[name]

    return build


@pytest.fixture(scope="package", autouse=True)
def without_a_c_compiler():
    """The Python linker would compile the graphs inside of ops such as logsumexp with one."""
    with pytensor.config.change_flags(cxx=""):
        yield


@pytest.fixture(scope="session")
def python_mode():
    """Compiles in no time and runs slowly."""
    return Mode(linker="py", optimizer=None)


@pytest.fixture(scope="session")
def as_kwargs(python_mode):
    """The same as an argument of the public functions."""
    return {"mode": python_mode}
