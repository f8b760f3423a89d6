"""Models to learn from and to compare samplers on, one a file.

A model is a file of this folder with two functions: ``load_data()`` returns the data, and
``build_model(data)`` declares the model in plain PyMC. Its docstring says what it shows; the first
line is what ``python -m models list`` prints. A new model is a new file, nothing else.
"""

import importlib
import pkgutil

from types import ModuleType


def names() -> list[str]:
    """Return the names of the models, in alphabetical order."""
    found = (one for one in pkgutil.iter_modules(__path__) if not one.ispkg)
    return sorted(one.name for one in found if one.name[0] != "_")


def load(name: str) -> ModuleType:
    """Return the module of a model."""
    return importlib.import_module(f"{__name__}.{name}")
