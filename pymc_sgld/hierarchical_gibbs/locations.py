r"""Hyperparameters that are no more than the location of what rows see, such as a common mean.

Where the curvature of the prior over effects x and a hyperparameter :math:`\mu`,

.. math:: -\nabla_x \nabla_x \log p(x, \mu, \phi), \qquad -\nabla_x \nabla_\mu \log p(x, \mu, \phi),

does not depend on :math:`\mu`, effects and :math:`\mu` are as one Gaussian given the rest: no step
size is wrong for it, and drawn by itself given effects that go with it, :math:`\mu` moves slowly.
So it is moved with the effects, and what is left to be drawn apart are scales.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pymc_sgld.types import Array

_JITTER = 0.3  # of the place that is looked at, so that no derivative is zero by symmetry
_MOVED = (0.7, -1.6)
_ROUNDING = {"float64": 1e-8, "float32": 1e-3}  # relative


def locations(
    prior: Any, start: Array, hyperparameters: Sequence[tuple[str, Array]]
) -> tuple[str, ...]:
    """Return the names of the variables that are locations.

    Parameters
    ----------
    prior : callable
        See :func:`pymc_sgld.hierarchical_gibbs.prior_model.compile_prior`.
    start : array, shape (n_dim,)
        Where the prior is finite.
    hyperparameters : sequence of (str, array of int)
        Name and entries of each variable that no row depends on.
    """
    rng, found, left = np.random.default_rng(0), [], list(hyperparameters)
    unseen = np.concatenate([entries for _, entries in left]) if left else np.zeros(0, dtype=int)
    body = np.setdiff1d(np.arange(len(start)), unseen)
    at = (start + _JITTER * rng.standard_normal(len(start))).astype(start.dtype)
    again = True
    while again:  # the mean of means is known once these are
        again = False
        for name, entries in list(left):
            if _is_location(prior, at, body, entries, rng):
                left.remove((name, entries))
                body, again = np.union1d(body, entries), True
                found.append(name)
    return tuple(name for name, _ in hyperparameters if name in found)


def _is_location(
    prior: Any, at: Array, body: Array, entries: Array, rng: np.random.Generator
) -> bool:
    """Return whether the curvature over the body and some entries stays where these move."""
    way = np.zeros_like(at)
    way[body] = rng.standard_normal(len(body))
    both = np.union1d(body, entries)

    def curved(position: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(prior(position, way)[1], dtype=float)

    here = curved(at)
    if not np.isfinite(here).all() or not here[entries].any():  # it goes with none of them
        return False
    tolerance = _ROUNDING[np.dtype(at.dtype).name] * np.abs(here[both]).max()
    for distance in _MOVED:
        moved = at.copy()
        moved[entries] += distance * rng.uniform(0.5, 1.5, len(entries)).astype(at.dtype)
        there = curved(moved)
        if not (np.abs(there - here)[both] <= tolerance).all():
            return False
    return True
