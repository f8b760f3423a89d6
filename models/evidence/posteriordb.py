"""Five posteriors of posteriordb, with the reference draws published there."""

import importlib.util
import sys

from functools import partial
from types import ModuleType

import pymc as pm

from models._datasets import MissingData, data_folder
from models.evidence.problems import Problem

NAMES = (
    "sblri-blr",
    "kidiq-kidscore_momhsiq",
    "nes1976-nes",
    "eight_schools-eight_schools_noncentered",
    "diamonds-diamonds",
)


def module() -> ModuleType:
    """Return the module that declares the models, from the folder of the data."""
    path = data_folder() / "posteriordb" / "models.py"
    name = "posteriordb_models"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path) if path.exists() else None
        if spec is None or spec.loader is None:
            raise MissingData(f"no posteriordb in {data_folder()}: set PYMC_SGLD_DATA")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def build(name: str) -> pm.Model:
    """Declare one of the five."""
    database = module()
    model: pm.Model = database.build(name, rows="data" if database.is_rowwise(name) else "constant")
    return model


PROBLEMS = [
    Problem(
        f"posteriordb-{name.split('-')[0]}",
        partial(build, name),
        reference="posteriordb",
        log_concave=name != NAMES[3],
        details={"posterior": name},
    )
    for name in NAMES
]
