"""Draws that came from elsewhere, handed to PyMC one after the other."""

import bisect

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pymc.step_methods.compound import BlockedStep

from pymc_sgld.checkpoints.cluster.driver import ChainUnderWay
from pymc_sgld.checkpoints.cluster.starts import key_of
from pymc_sgld.types import Point


class ArrivedDraws(BlockedStep):
    """A step method that hands out draws, so that PyMC puts the result together as it always does.

    Parameters
    ----------
    step : StochasticGradientStep or CheckpointedStep
        That would make them.
    chains : sequence of ChainUnderWay
        A chain that is not whole ends with an interrupt, of which PyMC keeps what there is.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> "ArrivedDraws":
        """Make a step method; the one it stands for has looked at its variables."""
        return object.__new__(cls)

    def __init__(self, step: Any, chains: Sequence[ChainUnderWay]) -> None:
        self.vars = step.vars
        self.stats_dtypes, self.stats_dtypes_shapes = step.stats_dtypes, step.stats_dtypes_shapes
        self.default_tune_steps, self.tune = step.default_tune_steps, True
        self._progressbar_config = step._progressbar_config
        self._make_progressbar_update_functions = step._make_progressbar_update_functions
        self._chains: Mapping[tuple[int, int], ChainUnderWay] = {
            chain.start.key: chain for chain in chains
        }
        self._chain, self._done = chains[0], 0
        self._ends: list[int] = []

    @property
    def sampling_state(self) -> None:
        """None: a chain is found when it is set up."""

    @sampling_state.setter
    def sampling_state(self, state: None) -> None:
        pass

    def setup_chain(self, rng: Any, tune: int, draws: int) -> None:
        """Find a chain by its random numbers."""
        chain = self._chains.get(key_of(rng))
        if chain is None or (chain.tune, chain.draws) != (tune, draws):
            raise RuntimeError(
                "This version of PyMC seeds chains in another way than the one that client= was "
                "written for. Leave client out, and tell the authors of pymc-sgld."
            )
        self._chain, self._done = chain, 0
        self._ends = [block.stop for block in chain.blocks]

    def stop_tuning(self) -> None:
        """End the tune phase."""
        self.tune = False

    def step(self, point: Point) -> tuple[Point, list[dict[str, Any]]]:
        """Hand out the next draw."""
        number, chain = self._done, self._chain
        if number == 0:
            _check_start(point, chain.start.point)
        if number >= chain.done:
            raise KeyboardInterrupt
        block = chain.blocks[bisect.bisect_right(self._ends, number)]
        values = block.point(number)
        self._done += 1
        # in the order of the point that came: PyMC reads points by the order of their entries
        return {name: values[name] for name in point}, [block.statistics_of(number)]


def _check_start(point: Point, start: Point) -> None:
    same = set(point) == set(start) and all(np.array_equal(point[n], start[n]) for n in point)
    if not same:
        raise RuntimeError(
            "This version of PyMC starts chains elsewhere than the one that client= was written "
            "for. Leave client out, and tell the authors of pymc-sgld."
        )
