"""What a chain is made of, and the making of it."""

from typing import Any, NamedTuple

from pymc_sgld.chain.between_draws import Moves, Tuner
from pymc_sgld.chain.chain import Chain
from pymc_sgld.chain.scan_loop import FixedShapes, compile_loop
from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import ChainState
from pymc_sgld.model_graph import BlockFunction, RowModel
from pymc_sgld.model_graph.density.modes import is_jax
from pymc_sgld.row_sources import SamplingScheme, Windows, windows_of
from pymc_sgld.tuning import Tuned, TuningProblem, Warmup

_STEPS_ON_JAX = 64  # of one compiled call, which has a fixed length there


class Parts(NamedTuple):
    """What a chain is made of, besides the compiled loop."""

    settings: Settings
    rows_model: RowModel
    mode: Any
    batch_sizes: list[int]
    scheme: SamplingScheme
    prepared: Tuned | None = None  # what was worked out before the chains are started
    tuner: Tuner | None = None  # of a sampler that has its own warm-up
    moves: Moves | None = None  # between the runs of steps of two draws

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
    settings, function, windows = parts.settings, parts.block_function, parts.windows
    fixed = None
    if is_jax(parts.mode):
        n_steps = min(settings.steps_per_piece or _STEPS_ON_JAX, _STEPS_ON_JAX)
        fixed = FixedShapes(n_steps, parts.batch_sizes)
    loop = compile_loop(parts.rows_model, settings.axes, parts.mode, fixed=fixed)
    state = ChainState((0, 0), 0, 0, settings.axes.metric)
    tuner = parts.tuner or Warmup(
        problem_of(settings, function, windows), settings.needs_tuning, parts.prepared
    )
    n_dim = parts.rows_model.n_dim
    chain = Chain(settings, loop, function, windows, n_dim, state, tuner, parts.moves)
    chain.steps.run_once()
    return chain


def problem_of(
    settings: Settings,
    function: BlockFunction,
    windows: Windows,
    labels: tuple[str, ...] = (),
) -> TuningProblem:
    """Return what is to be tuned for a chain; labels of the parameters serve messages."""
    axes = settings.axes
    return TuningProblem(
        function,
        windows,
        axes.rule,
        axes.estimator,
        settings.preconditioner,
        axes.metric,
        axes.noise_compensation,
        settings.step_size is None,
        settings.purpose,
        labels,
    )
