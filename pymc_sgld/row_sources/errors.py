"""What can be wrong with rows from elsewhere, and how it is said."""

from __future__ import annotations

import importlib

from types import ModuleType


class RowSourceError(ValueError):
    """Rows cannot be read from a source, or it did not give what it said it has."""


def optional(module: str, extra: str, needed_for: str) -> ModuleType:
    """Import a package that is not needed for anything else, or say how to get it.

    Parameters
    ----------
    module : str
        As it is imported, such as "pyarrow.dataset".
    extra : str
        Of this package, that brings it.
    needed_for : str
        What came, for the message.

    Raises
    ------
    RowSourceError
        Where it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RowSourceError(
            f"{needed_for} needs the package {module.split('.')[0]!r}, which is not installed "
            f'({error}). Install it with: pip install "pymc-sgld[{extra}]".'
        ) from None
