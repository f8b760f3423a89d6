"""Latents that data say nothing of, and what rows share that they hardly tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.model_graph.latents.row_latents import RowLatents
from pymc_sgld.model_graph.latents.row_modes import in_terms_of
from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.types import Array

_FLAT = 1e-10  # slope of a log-likelihood, in unconstrained latents
_STEP = 1e-4  # of differences, in posterior standard deviations
_SHARE = 0.8  # of the precision of a direction that is the prior's


def refuse_flat_likelihood(taken: RowLatents, point: Mapping[str, Any]) -> None:
    """Refuse latents that no observation depends on.

    Slopes of the likelihood in each latent are taken where the starts are, and on either side.

    Raises
    ------
    RowError
    """
    shared, k = taken.shared, taken.n_latents
    joint, prior = (
        in_terms_of(one, shared, taken.placeholders) for one in (taken.integral, taken.prior)
    )
    pairs = zip(joint.derivatives[:k], prior.derivatives[:k], strict=True)
    of_likelihood = [both - alone for both, alone in pairs]
    slopes = compile_function(
        [*shared.value_vars, *joint.latents],
        shared.replace_rvs_by_values(of_likelihood),
        mode="FAST_COMPILE",
    )
    values = [point[value.name] for value in shared.value_vars]
    start = np.stack([one.get_value() for one in taken.starts])
    largest = np.zeros(k)
    for aside in (-1.0, 0.0, 1.0):
        here = np.abs(np.stack(slopes(*values, *(start + aside))))
        largest = np.maximum(largest, np.nanmax(here, axis=1))
    flat = {taken.places[j][0] for j in np.flatnonzero(largest < _FLAT)}
    if flat:
        raise RowError(
            f"{', '.join(sorted(flat))}: no observed variable depends on it; the likelihood of "
            f"{', '.join(taken.observed)} is flat in it, in every row. Leave it out, or write it "
            "into the likelihood."
        )


class HardlyTold(NamedTuple):
    """A direction of what rows share along which the prior has most of the precision."""

    name: str  # of the value variable that is most of it
    share: float  # of the precision that is the prior's

    def in_words(self, taken: RowLatents) -> str:
        """Return what the data cannot tell, and what to do about it."""
        return (
            f"The data hardly tell '{self.name}': {self.share:.0%} of the precision along it is "
            f"that of its prior, in spite of {taken.n_rows:,} rows. Where a row has a single "
            f"observation, the scale of {', '.join(taken.latents)} may not be identified, as of "
            "0/1 outcomes: fix it, or leave the latent out."
        )


def hardly_told(taken: RowLatents, position: Array, covariance: Array) -> HardlyTold | None:
    """Return a direction that the prior tells more of than the data, at a mode; None if none.

    Parameters
    ----------
    taken : RowLatents
    position : array, shape (n_dim,)
        The mode of what rows share.
    covariance : array, shape (n_dim, n_dim)
        Of the posterior there.
    """
    shared = taken.shared
    if shared.observed_RVs or shared.potentials:
        return None  # its density is not the prior alone
    start = shared.initial_point()
    shapes = {value.name: np.shape(start[value.name]) for value in shared.value_vars}
    slope = shared.compile_dlogp(mode="FAST_COMPILE")
    factor = np.linalg.cholesky(covariance)

    def along(direction: Array, step: float) -> Array:
        return np.asarray(slope(_by_name(position + step * direction, shapes)))

    # minus the prior's second derivatives, in units of the posterior, by differences
    bends = [(along(one, -_STEP) - along(one, _STEP)) / (2 * _STEP) for one in factor.T]
    curvature = np.array(bends) @ factor
    shares, directions = np.linalg.eigh((curvature + curvature.T) / 2)
    if not shares[-1] > _SHARE:
        return None
    weight = np.abs(factor @ directions[:, -1]) / np.sqrt(np.diag(covariance))
    names = [
        variable.name
        for variable, shape in zip(shared.free_RVs, shapes.values(), strict=True)
        for _ in range(int(np.prod(shape)))
    ]
    return HardlyTold(names[int(np.argmax(weight))], float(min(shares[-1], 1.0)))


def _by_name(position: Array, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Return the parts of a position by name."""
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    parts = np.split(position, np.cumsum(sizes)[:-1])
    return {name: part.reshape(shapes[name]) for name, part in zip(shapes, parts, strict=True)}
