"""Whether the posterior has a width at all, where priors are flat."""

from collections.abc import Callable, Iterator

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.laplace import Laplace
from pymc_sgld.tuning.mode_search import sample_rows
from pymc_sgld.types import Array

_FAR = 10.0  # posterior sds of the Gaussian picture
_LEAST_FALL = 1.0  # of the log-density that far away; a Gaussian's falls by 50
_ROWS_LOOKED_AT = 2000


def improper_direction(
    block_function: BlockFunction, found: Laplace, generator: np.random.Generator
) -> Array | None:
    """Return a direction along which a posterior is improper; None if there is none in sight.

    Only parameters whose prior is flat are looked at: a proper prior makes a proper posterior. The
    posterior is taken to be improper where the log-density, ten sds of the Gaussian picture away,
    has hardly fallen: first on some rows, and where these raise the suspicion, on all.

    Parameters
    ----------
    block_function : BlockFunction
    found : Laplace
    generator : numpy.random.Generator
        Chooses the rows.

    Returns
    -------
    array, shape (n_dim,), or None
    """
    flat = _flat_priors(block_function, found)
    if not flat.any():
        return None
    if found.gaussian.flat is not None and np.abs(found.gaussian.flat[flat]).max() > 1e-3:
        return found.gaussian.flat
    rows = sample_rows(block_function, _ROWS_LOOKED_AT, generator)

    def on_sample(position: Array) -> float:
        return block_function.batch(position, rows)[0]

    def on_all(position: Array) -> float:
        return block_function.full(position)[0]

    for direction in _directions(found, flat):
        away = _FAR * direction
        if all(_hardly_falls(value, found.position, away) for value in (on_sample, on_all)):
            return np.asarray(away)
    return None


def _directions(found: Laplace, flat: Array) -> Iterator[Array]:
    """Yield directions of about one posterior sd to look along.

    Outwards along the position, which is where a search runs to if the data are separable, and by
    parameter: with the others as the Gaussian picture has them, and alone.
    """
    yield np.where(flat, found.position, 0.0)
    for j in np.flatnonzero(flat):
        width = np.sqrt(found.covariance[j, j])
        alone = np.where(np.arange(len(flat)) == j, width, 0.0)
        for direction in (found.covariance[:, j] / width, alone):
            yield direction
            yield -direction


def _hardly_falls(value: Callable[[Array], float], position: Array, away: Array) -> bool:
    there, here = value((position + away).astype(position.dtype)), value(position)
    return bool(np.isfinite(there) and there > here - _LEAST_FALL)


def _flat_priors(block_function: BlockFunction, found: Laplace) -> Array:
    """Return which parameters the prior does not depend on, shape (n_dim,)."""
    slopes = [
        block_function.prior(position.astype(found.position.dtype))[1]
        for position in (found.position, found.position + 1, found.position - 2)
    ]
    return np.asarray(np.all(np.array(slopes) == 0, axis=0))
