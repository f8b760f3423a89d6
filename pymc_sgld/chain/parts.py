"""What a chain is made of, and the making of it."""

from typing import Any, NamedTuple

from pymc_sgld.chain.chain import Chain
from pymc_sgld.chain.gibbs_beginning import Hierarchy
from pymc_sgld.chain.gibbs_chain import GibbsChain
from pymc_sgld.chain.interweaving import Interweaving
from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import ChainState, Tuned
from pymc_sgld.compiled_loops.scan_loop import FixedShapes, compile_loop
from pymc_sgld.model_graph import BlockFunction, RowModel
from pymc_sgld.model_graph.density.modes import is_jax
from pymc_sgld.row_sources import Independent, Windows, windows_of

_STEPS_ON_JAX = 64  # of one compiled call, which has a fixed length there


class Parts(NamedTuple):
    """What a chain is made of, besides the compiled loop."""

    settings: Settings
    rows_model: RowModel
    mode: Any
    batch_sizes: list[int]
    scheme: Independent
    prepared: Tuned | None = None
    hierarchy: Hierarchy | None = None  # of a sampler that draws hyperparameters apart
    interweaving: Interweaving | None = None

    @property
    def block_function(self) -> BlockFunction:
        """The value and gradient on any rows, compiled once."""
        return self.rows_model.block_function(self.mode)

    @property
    def windows(self) -> Windows:
        """The batches."""
        function = self.block_function
        arrays = function.arrays
        if self.scheme.weights is not None:  # they are the last of the arrays
            arrays = (*arrays[:-1], self.scheme.weights.astype(function.dtype))
        return windows_of(
            arrays,
            function.array_groups,
            function.total_sizes,
            self.batch_sizes,
            self.scheme,
        )


def build_chain(parts: Parts) -> Chain:
    """Compile the loop, and return the chain of these parts."""
    settings, function = parts.settings, parts.block_function
    fixed = None
    if is_jax(parts.mode):
        n_steps = min(settings.steps_per_piece or _STEPS_ON_JAX, _STEPS_ON_JAX)
        fixed = FixedShapes(n_steps, parts.batch_sizes)
    loop = compile_loop(parts.rows_model, settings.axes, parts.mode, fixed=fixed)
    state = ChainState((0, 0), 0, 0, settings.axes.metric)
    n_dim = parts.rows_model.n_dim
    made = (settings, loop, function, parts.windows, n_dim, state, parts.prepared)
    hierarchy = parts.hierarchy
    chain = Chain(*made) if hierarchy is None else GibbsChain(*made, hierarchy, parts.interweaving)
    chain.warm_up()
    return chain
