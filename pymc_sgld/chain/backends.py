"""The only file that names a backend: how a sampler is compiled, and into which loop."""

from collections.abc import Sequence
from typing import Any

from pytensor.compile.mode import Mode, get_mode

from pymc_sgld.chain import lean_products
from pymc_sgld.chain.generated_loop import compile_generated
from pymc_sgld.chain.loop import Loop
from pymc_sgld.chain.scan_loop import FixedShapes, compile_scan
from pymc_sgld.chain.settings import Settings
from pymc_sgld.model_graph import RowModel
from pymc_sgld.model_graph.density.modes import is_jax, is_numba, without_assertions

_STEPS_ON_JAX = 64  # of one compiled call, which has a fixed length there


def sampling_mode(backend: str | None = None, mode: Any = None) -> Mode:
    """Return the PyTensor mode that everything of a sampler is compiled with.

    Parameters
    ----------
    backend : {"numba", "jax"}, optional
        Default "numba".
    mode : optional
        A PyTensor mode of the user's, instead of a backend.
    """
    chosen = get_mode(mode if mode is not None else (backend or "numba").upper())
    return without_assertions(chosen) if is_jax(chosen) else chosen.including(lean_products.TAG)


def compile_loop(
    row_model: RowModel, settings: Settings, mode: Mode, batch_sizes: Sequence[int]
) -> Loop:
    """Return the compiled steps of a model and a sampler.

    Parameters
    ----------
    row_model : RowModel
    settings : Settings
    mode : Mode
        See :func:`sampling_mode`.
    batch_sizes : sequence of int
        Rows of a batch, by group; on JAX they are compiled in.
    """
    if is_numba(mode):
        return compile_generated(row_model, settings.kernel, mode)
    fixed = None
    if is_jax(mode):
        n_steps = min(settings.steps_per_piece or _STEPS_ON_JAX, _STEPS_ON_JAX)
        fixed = FixedShapes(n_steps, batch_sizes)
    return compile_scan(row_model, settings.kernel, mode, fixed=fixed)
