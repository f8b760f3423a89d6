"""Between the runs of steps of a chain: the hyperparameters, given all else."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.chain import Conditions
from pymc_sgld.hierarchical_gibbs.arrowhead_metric import ConditionalNoise
from pymc_sgld.hierarchical_gibbs.conditional_curvature import ConditionalCurvature
from pymc_sgld.hierarchical_gibbs.hierarchy import Hierarchy
from pymc_sgld.hierarchical_gibbs.interweaving import Interweaving
from pymc_sgld.hierarchical_gibbs.sparse_curvature import SparseCurvature
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.samplers import RestartedLangevin
from pymc_sgld.types import Array


class MovesMemory(NamedTuple):
    """What a chain remembers of its moves."""

    noise: ConditionalNoise | None  # where it is compensated
    learned: Any = None  # by the step method of the hyperparameters


@dataclass(frozen=True)
class HierarchicalMoves:
    r"""Draws of the hyperparameters between runs of steps for everything that rows depend on.

    The steps are made with the hyperparameters fixed and in coordinates that follow them, and then
    these are drawn from

    .. math:: p(\phi \mid \theta) \propto p(\phi)\, p(\theta \mid \phi),

    which holds no row. So the funnel of a scale and its effects needs no step size.

    Parameters
    ----------
    function : BlockFunction
    rule : RestartedLangevin
        Starts anew with each run of steps.
    hierarchy : Hierarchy
    curvature : ConditionalCurvature
        Of effects and coefficients given the hyperparameters.
    interweaving : Interweaving or None
        Moves of the hyperparameters with the effects following.
    """

    function: BlockFunction
    rule: RestartedLangevin
    hierarchy: Hierarchy
    curvature: ConditionalCurvature
    interweaving: Interweaving | None = None

    @property
    def knows_all_rows(self) -> bool:
        """Whether the curvature of the coordinates is that of all rows, by their own Hessians."""
        return isinstance(self.curvature, SparseCurvature)

    def before_draw(
        self,
        position: Array,
        memory: MovesMemory,
        generator: np.random.Generator,
        *,
        step_size: float,
        temperature: float,
    ) -> Conditions:
        """Return coordinates, noise and momentum for the hyperparameters of a position."""
        metric, noise = self.curvature.metric(position), None
        if memory.noise is not None:
            noise = metric.noise_by_coordinate(memory.noise).astype(position.dtype)
        normal = generator.standard_normal(len(position)).astype(position.dtype)
        return Conditions(metric, noise, self.rule.restart(normal, step_size, temperature))

    def after_draw(
        self,
        position: Array,
        memory: MovesMemory,
        generator: np.random.Generator,
        *,
        draw_number: int,
        tuning: bool,
    ) -> tuple[Array, MovesMemory, float]:
        """Draw the hyperparameters, and now and then with the effects following."""
        moved, learned = self.hierarchy.hyperparameters.draw(
            position, generator, memory.learned, tuning
        )
        moves, passes = self.interweaving, 0.0
        if moves is not None and draw_number % moves.every == 0:
            moved, passes = moves.move(moved, self.function, self.hierarchy.density, generator)
        return moved, memory._replace(learned=learned), passes
