"""How everything is compiled: without fast-math, and for JAX without what it cannot run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytensor

from pytensor.compile.mode import Mode, get_mode
from pytensor.link.jax import JAXLinker
from pytensor.link.numba import NumbaLinker

from pymc_sgld.model_graph.density import known_shape, wide_indices
from pymc_sgld.model_graph.density.numba_rules import register_rules
from pymc_sgld.validate import BACKENDS, check_one_of, shown


def chosen_mode(backend: str | None, compile_kwargs: Mapping[str, Any] | None) -> Any:
    """Return the mode of PyMC's two arguments, or None where nothing is asked for.

    Parameters
    ----------
    backend : {"numba", "jax", "c"}, optional
    compile_kwargs : dict, optional
        ``mode``: a PyTensor mode, instead of a backend.
    """
    options = {} if compile_kwargs is None else compile_kwargs
    other = sorted(set(options) - {"mode"})
    if other:
        raise TypeError(f"compile_kwargs may hold 'mode' alone, but has {', '.join(other)}.")
    mode = options.get("mode")
    if mode is not None:
        try:
            known = isinstance(get_mode(mode), Mode)
        except Exception:  # PyTensor's are of several kinds
            known = False
        if not known:
            raise ValueError(
                "compile_kwargs['mode'] must be a PyTensor mode or the name of one, such as "
                f"'FAST_COMPILE', got {shown(mode)}."
            )
    if mode is not None or backend is None:
        return mode
    return check_one_of("backend", backend, BACKENDS).upper()


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


class StrictNumbaLinker(NumbaLinker):
    """Compiles for numba without fast-math, whatever PyTensor's flags say.

    Fast-math lets the compiler assume that nothing is nan or inf, and regroup sums by what it
    happened to inline: tests of finiteness would mean nothing, and the same seed would give other
    bits from a cold compile cache than from a warm one. A linker and no context, because it goes
    with a compiled function that is sent to another process and compiled anew there.

    Attributes
    ----------
    converted : tuple
        What the graph was translated to, for other compiled functions to call, and its key in
        PyTensor's cache on disk; the key is None where it is not kept there.
    """

    converted: tuple[Any, str | None]

    def fgraph_convert(self, *args: Any, **kwargs: Any) -> Any:
        """Translate a graph."""
        register_rules()
        with pytensor.config.change_flags(numba__fastmath=False):
            self.converted = super().fgraph_convert(*args, **kwargs)
        return self.converted

    def jit_compile(self, *args: Any, **kwargs: Any) -> Any:
        """Compile what the graph was translated to."""
        with pytensor.config.change_flags(numba__fastmath=False):
            return super().jit_compile(*args, **kwargs)


def strict_mode(mode: Any = None) -> Mode:
    """Return a mode, with numba's linker replaced by :class:`StrictNumbaLinker`.

    Shapes are not asserted in what numba compiles, and indices are integers of 64 bits: see
    :mod:`pymc_sgld.model_graph.density.known_shape` and
    :mod:`pymc_sgld.model_graph.density.wide_indices`.

    Parameters
    ----------
    mode : str or pytensor Mode, optional
        Default: PyTensor's own.
    """
    mode = get_mode(mode)
    if type(mode.linker) is not NumbaLinker:
        return mode
    return Mode(StrictNumbaLinker(), mode.provided_optimizer).including(
        known_shape.TAG, wide_indices.TAG
    )


def is_numba(mode: Any) -> bool:
    """Return whether a mode compiles by numba."""
    return isinstance(get_mode(mode).linker, NumbaLinker)


def converted(function: Any) -> tuple[Any, str | None]:
    """Return a function of :func:`compile_function` as numba functions can call it, and its key.

    It takes the inputs and returns a tuple of the outputs. Nothing is compiled until it is called.
    """
    found: tuple[Any, str | None] = function.maker.linker.converted
    return found


def compile_function(
    inputs: Sequence[Any],
    outputs: Any,
    *,
    mode: Any = None,
    **options: Any,
) -> Any:
    """Compile as ``pytensor.function`` does, in :func:`strict_mode`; inputs may be unused.

    Parameters
    ----------
    inputs : sequence of variables
    outputs : variable or sequence of variables
    mode : str or pytensor Mode, optional
        Default: PyTensor's own.
    **options
        Passed on.
    """
    return pytensor.function(
        inputs, outputs, mode=strict_mode(mode), on_unused_input="ignore", **options
    )
