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
_SHARE = 0.5  # of the precision of a direction that is the prior's


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


def hardly_told(
    taken: RowLatents, point: Mapping[str, Any], covariance: Array
) -> HardlyTold | None:
    """Return a direction that the prior tells more of than the data, at a mode; None if none.

    Parameters
    ----------
    taken : RowLatents
    point : dict of str to array
        The mode of what rows share, by name.
    covariance : array, shape (n_dim, n_dim)
        Of the posterior there.
    """
    shared = taken.shared
    if shared.observed_RVs or shared.potentials:
        return None  # its density is not the prior alone
    hessian = shared.compile_d2logp(mode="FAST_COMPILE", negate_output=False)
    precision = np.atleast_2d(-hessian(point))
    factor = np.linalg.cholesky(covariance)
    shares, directions = np.linalg.eigh(factor.T @ precision @ factor)
    if not shares[-1] > _SHARE:
        return None
    along = np.abs(factor @ directions[:, -1]) / np.sqrt(np.diag(covariance))
    names = [
        variable.name
        for variable in shared.free_RVs
        for _ in range(np.size(point[shared.rvs_to_values[variable].name]))
    ]
    return HardlyTold(names[int(np.argmax(along))], float(min(shares[-1], 1.0)))
