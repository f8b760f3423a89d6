"""What a chain is made of, and the making of it."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.chain.backends import compile_loop
from pymc_sgld.chain.between_draws import Moves, Tuner
from pymc_sgld.chain.chain import Chain
from pymc_sgld.chain.latent_rows import LatentRows
from pymc_sgld.chain.latent_warmup import LatentWarmup
from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import ChainState
from pymc_sgld.chain.steps import run_once
from pymc_sgld.gradient_estimators import ControlVariate, TabledControlVariate
from pymc_sgld.model_graph import BlockFunction, RowModel
from pymc_sgld.model_graph.latents.joint_rows import JointRowModel
from pymc_sgld.row_sources import (
    Batches,
    BlockLayout,
    FixedBlocks,
    Independent,
    SamplingScheme,
    batches_of,
)
from pymc_sgld.samplers.rows import ROW_KERNELS
from pymc_sgld.tuning import Tuned, TuningProblem, Warmup


class Parts(NamedTuple):
    """What a chain is made of, besides the compiled loop."""

    settings: Settings
    row_model: RowModel
    mode: Any
    batch_sizes: list[int]
    scheme: SamplingScheme
    prepared: Tuned | None = None  # what was worked out before the chains are started
    tuner: Tuner | None = None  # of a sampler that has its own warm-up
    moves: Moves | None = None  # between the runs of steps of two draws

    @property
    def block_function(self) -> BlockFunction:
        """The value and gradient on any rows, compiled once."""
        return self.row_model.block_function(self.mode)

    @property
    def batches(self) -> Batches:
        """The batches."""
        function = self.block_function
        arrays = function.arrays
        if self.scheme.weights is not None:  # they are the last of the arrays
            arrays = (*arrays[:-1], self.scheme.weights.astype(function.dtype))
        return batches_of(
            arrays,
            function.array_groups,
            function.total_sizes,
            self.batch_sizes,
            self.scheme,
        )


def by_table(parts: Parts) -> Parts:
    """Let a control variate read the gradients at its centre from a table, where it can.

    That is where batches are independent and their rows come alike: they are then fixed blocks of
    rows, which come again and again. The estimate has the same law, for half of the gradients.
    """
    kernel, total_sizes = parts.settings.kernel, parts.block_function.total_sizes
    plain = type(kernel.estimator) is ControlVariate and type(parts.scheme) is Independent
    if not plain or parts.batch_sizes == list(total_sizes):
        return parts
    layouts = [BlockLayout(*sizes) for sizes in zip(total_sizes, parts.batch_sizes, strict=True)]
    n_numbers = sum(layout.count for layout in layouts) * parts.row_model.n_dim
    estimator = TabledControlVariate(kernel.estimator.move_centre)
    if n_numbers * np.dtype(parts.block_function.dtype).itemsize > estimator.largest_table:
        return parts
    settings = replace(parts.settings, kernel=kernel._replace(estimator=estimator))
    return parts._replace(settings=settings, scheme=FixedBlocks())


def build_chain(parts: Parts) -> Chain:
    """Compile the loop, and return the chain of these parts."""
    parts = by_table(parts)
    settings, function, batches = parts.settings, parts.block_function, parts.batches
    loop = compile_loop(parts.row_model, settings, parts.mode, parts.batch_sizes)
    state = ChainState((0, 0), 0, 0, settings.kernel.metric)
    tuner = parts.tuner or Warmup(
        problem_of(settings, function, batches), settings.needs_tuning, parts.prepared
    )
    n_dim, latents = parts.row_model.n_dim, None
    if isinstance(parts.row_model, JointRowModel):
        latents = latents_of(parts.row_model, parts.mode, batches)
        start = parts.row_model.start
        tuner = LatentWarmup(tuner, settings.needs_tuning, function, latents, start)
    chain = Chain(settings, loop, function, batches, n_dim, state, tuner, parts.moves, latents)
    run_once(chain.steps)
    return chain


def latents_of(row_model: JointRowModel, mode: Any, batches: Batches) -> LatentRows:
    """Return how the latents of the rows of a model are moved."""
    density = row_model.latent_density(mode)
    group = density.leaves.group
    total, batch = int(batches.total_sizes[group]), int(batches.batch_sizes[group])
    return LatentRows(density, ROW_KERNELS["hmc"], total, batch)


def problem_of(
    settings: Settings,
    function: BlockFunction,
    batches: Batches,
    labels: tuple[str, ...] = (),
) -> TuningProblem:
    """Return what is to be tuned for a chain; labels of the parameters serve messages."""
    kernel = settings.kernel
    return TuningProblem(
        function,
        batches,
        kernel.rule,
        kernel.estimator,
        settings.preconditioner,
        kernel.metric,
        kernel.noise_compensation,
        settings.step_size is None,
        settings.purpose,
        labels or settings.labels,
        1 if settings.cycles is not None else settings.steps_per_draw,
        settings.transformed,
    )
