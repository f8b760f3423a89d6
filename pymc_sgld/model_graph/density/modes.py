"""Compilation modes: what JAX cannot run is left out of the graph, with its warning."""

from __future__ import annotations

from typing import Any

from pytensor.compile.mode import Mode, get_mode
from pytensor.link.jax import JAXLinker


def is_jax(mode: Any) -> bool:
    """Return whether a mode runs on JAX."""
    return isinstance(get_mode(mode).linker, JAXLinker)


def without_assertions(mode: Any) -> Mode:
    """Return a mode that compiles for JAX without warning of assertions it cannot keep.

    The assertions are PyTensor's, that blocks which broadcast are equally long, which the
    rows of a group are; and PyMC's checks of parameters, which become minus infinity.

    Parameters
    ----------
    mode : str or pytensor Mode
    """
    mode = get_mode(mode)
    if not is_jax(mode):
        return mode
    return mode.including("local_remove_all_assert", "local_check_parameter_to_ninf_switch")
