"""Where PyMC starts its chains, and with which random numbers, before it does so.

The one file that repeats what :func:`pymc.sample` does inside; that it does the same is looked at
when PyMC starts the chains (:class:`ArrivedDraws`).
"""

from typing import Any, NamedTuple

import numpy as np
import pymc as pm

from pymc.initial_point import make_initial_point_fns_per_chain
from pymc.util import get_random_generator

from pymc_sgld.chain.random_streams import draw_key
from pymc_sgld.checkpoints.checkpoint import SEEDS_OF_STARTS
from pymc_sgld.types import Point


class Start(NamedTuple):
    """Of a chain.

    Attributes
    ----------
    rng : Generator
    point : dict of array
        The value variables.
    """

    rng: np.random.Generator
    point: Point

    @property
    def key(self) -> tuple[int, int]:
        """What the random numbers of the chain follow from."""
        return key_of(self.rng)


def starts_of(model: pm.Model, random_seed: Any, chains: int, initvals: Any) -> list[Start]:
    """Return the starts of the chains that PyMC will run for a seed.

    Parameters
    ----------
    model : pm.Model
    random_seed : int, sequence of int, or Generator
    chains : int
    initvals : dict, sequence of dict, or None
    """
    generators = get_random_generator(random_seed).spawn(chains)
    seeds = [generator.integers(SEEDS_OF_STARTS) for generator in generators]
    functions = make_initial_point_fns_per_chain(
        model=model, overrides=initvals, jitter_rvs=set(), chains=chains
    )
    return [
        Start(generator, function(seed))
        for generator, function, seed in zip(generators, functions, seeds, strict=True)
    ]


def key_of(generator: np.random.Generator) -> tuple[int, int]:
    """Return the key of a chain, and leave its generator as it was."""
    return draw_key(get_random_generator(generator, copy=True))
