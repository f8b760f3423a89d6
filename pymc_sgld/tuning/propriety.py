"""Whether a search has ended at a mode, and whether the posterior has a width at all there."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.errors import TuningError
from pymc_sgld.tuning.laplace import Laplace
from pymc_sgld.tuning.mode_search import sample_rows
from pymc_sgld.types import Array
from pymc_sgld.validate import and_more

_NO_MODE = 100.0  # posterior sds of slope
_FAR = 10.0  # posterior sds of the Gaussian picture
_LEAST_FALL = 1.0  # of the log-density that far away; a Gaussian's falls by 50
_ROWS_LOOKED_AT = 2000


def check_mode(
    function: BlockFunction,
    laplace: Laplace,
    generator: np.random.Generator,
    labels: Sequence[str] = (),
) -> None:
    """Raise where a search ended at no mode, or where the posterior has no width.

    Parameters
    ----------
    function : BlockFunction
    laplace : Laplace
        Where the search ended.
    generator : numpy.random.Generator
    labels : sequence of str, optional
        Of the parameters, for messages.

    Raises
    ------
    TuningError
    """
    finite = np.isfinite(laplace.logp) and np.isfinite(laplace.covariance).all()
    unbounded = not finite or _narrower_than_floats(laplace)
    if unbounded or not laplace.score < _NO_MODE:
        raise TuningError(
            "No mode was found to tune at: where the search ended, the log-posterior is "
            f"{laplace.logp:.4g} and its slope {laplace.score:.3g} posterior sds (0 at a mode). It "
            "may grow without bound, as where data without scatter let a scale go to zero, or "
            "not be finite. Give proper priors that keep scales away from zero, initvals where "
            "the model is finite, or a step_size and preconditioner='identity'.",
            model_at_fault=unbounded,
            unbounded=unbounded,
        )
    direction = improper_direction(function, laplace, generator)
    if direction is not None:
        raise TuningError(
            f"The posterior is improper along {_named(direction, labels)}: the log-density does "
            "not fall there. A flat prior leaves that to the data, and these say nothing: a "
            "column of zeros, collinear columns, or outcomes that a column separates. Give "
            "these parameters proper priors, such as pm.Normal.",
            model_at_fault=True,
        )


def _narrower_than_floats(laplace: Laplace) -> bool:
    """Whether some posterior sd is below the spacing of numbers: only rounding made a mode there.

    Data without scatter let a scale go to zero until the rounding of the residuals stops it.
    """
    spacing = np.spacing(np.abs(laplace.position))
    return bool((np.sqrt(np.diag(laplace.covariance)) < spacing).any())


def _named(direction: Array, labels: Sequence[str]) -> str:
    """Name the parameters that a direction is made of."""
    weight = np.abs(direction) / np.abs(direction).max()
    large = [j for j in np.argsort(-weight) if weight[j] > 0.1]
    return and_more(labels[j] if labels else f"entry {j}" for j in large)


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
