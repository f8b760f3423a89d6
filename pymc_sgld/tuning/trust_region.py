r"""Newton steps in a trust region, in coordinates that the information of rows whitens.

Raw columns make the parameters' own scales differ by ten powers of ten, and squares and products of
columns make them almost collinear. In coordinates :math:`\theta = c + F z`, with :math:`F F^\top`
the inverse of the information of single rows' scores plus the prior's curvature, both are gone;
what is left is curvature that the scores do not know, for which conjugate gradients on products of
the Hessian, differences of two gradients, are made. The information is measured anew where a round
has ended, so that a start from where it is far off does no harm.

References
----------
.. [1] Steihaug, T. (1983). The conjugate gradient method and trust regions in large scale
   optimization. SIAM Journal on Numerical Analysis 20. https://doi.org/10.1137/0720042
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.types import Array

_FEWEST_SCORES, _SCORES_PER_PARAMETER = 500, 5
_FEWEST_OF_A_GROUP = 20  # rows, where a model has many groups, as one for each likelihood of a loop
_FLATTEST = 1e-9  # of the information, over the largest, in units of its diagonal
_SIGNS = 4
_OTHERWISE = 4.0  # times as curved over a scale as over one: that scale is not taken
_MOST_ROUNDS, _STEPS = 20, 20
# A start far off has scores, and with them units, that are off too: too large a region is cut down
# in a few evaluations, too small a one grows no quicker than it doubles.
_FAR = 1000.0
_DIFFERENCES = {"float64": 1e-4, "float32": 0.1}  # along a direction of one posterior sd
_REFUSED = 1e100  # value of a point where the log-posterior is not finite
_LEAST_GAIN = 1e-3  # of log-density, in a round


def information_scales(block_function: BlockFunction, position: Array, of_rows: Array) -> Array:
    """Return rough posterior sds from the information of rows, with the prior's own curvature.

    Parameters
    ----------
    block_function : BlockFunction
    position : array, shape (n_dim,)
    of_rows : array, shape (n_dim,)
        Information on each parameter alone.
    """
    whole = of_rows + prior_curvatures(block_function, position, np.ones(len(position)))
    scales = 1 / np.sqrt(np.where(whole > 0, whole, 1.0))
    # a scale beyond one is taken where the prior is as curved over it: a log of a scale is not
    wide = of_rows + prior_curvatures(block_function, position, scales)
    alike = (wide <= _OTHERWISE * whole) & (_OTHERWISE * wide >= whole)
    return np.asarray(np.where((scales > 1) & ~alike, 1.0, scales))


def prior_curvatures(block_function: BlockFunction, position: Array, scales: Array) -> Array:
    """Return the prior's curvature of each parameter over a scale, at least 0.

    From products with random signs, which are exact where the parameters are independent; the signs
    are the same at each call.
    """
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(_SIGNS, len(position)))
    curvatures = np.zeros(len(position))
    with np.errstate(invalid="ignore", over="ignore"):
        for way in signs * scales:
            behind = block_function.prior((position - way).astype(position.dtype))[1]
            ahead = block_function.prior((position + way).astype(position.dtype))[1]
            curvatures += (np.asarray(behind, dtype=float) - ahead) / (2 * way)
    return np.maximum(np.nan_to_num(curvatures / _SIGNS, posinf=0.0, neginf=0.0), 0)


def rough_factor(block_function: BlockFunction, position: Array, information: Array) -> Array:
    """Return a square root of a covariance, from information of rows and curvature of the prior.

    Parameters
    ----------
    information : array, shape (n_dim, n_dim)
        Of all rows.
    """
    own = np.diag(information)
    scales = information_scales(block_function, position, own)
    whole = information + np.diag(np.maximum(1 / scales**2 - own, 0))
    values, vectors = np.linalg.eigh(whole * np.outer(scales, scales))
    values = np.maximum(values, _FLATTEST * max(values[-1], 1.0))
    return np.asarray(scales[:, None] * vectors / np.sqrt(values))


def rows_of_a_group(most: int, n_groups: int) -> int:
    """Return how many rows of each group are looked at, where it would be so many of one group."""
    return max(_FEWEST_OF_A_GROUP, -(-most // max(n_groups, 1)))


def information_factor(
    block_function: BlockFunction, position: Array, generator: np.random.Generator
) -> tuple[Array, float]:
    """Return the factor for the scores of some rows, and data passes."""
    n_dim, seen = len(position), 0
    most = max(_FEWEST_SCORES, _SCORES_PER_PARAMETER * n_dim)
    most = rows_of_a_group(most, len(block_function.total_sizes))
    information = np.zeros((n_dim, n_dim))
    sizes = [None if total <= most else most for total in block_function.total_sizes]
    for group, rows in enumerate(block_function.random_rows(sizes, generator)):
        scores = np.nan_to_num(block_function.row_gradients(position, group, rows).astype(float))
        seen += len(rows)
        information += block_function.total_sizes[group] / len(rows) * (scores.T @ scores)
    factor = rough_factor(block_function, position, information)
    return factor, seen / max(sum(block_function.total_sizes), 1)


def newton_climb(
    value_and_gradient: Callable[[Array], tuple[float, Array]],
    start: Array,
    factor: Callable[[Array], Array],
    tolerance: float,
    dtype: str,
    n_rows: int,
) -> tuple[Array, int]:
    """Maximise and return the best point and the number of evaluations.

    Parameters
    ----------
    value_and_gradient : callable
        Log-posterior.
    start : array, shape (n_dim,)
    factor : callable
        From a position to the coordinates there.
    tolerance : float
        Largest slope at the end, in posterior sds.
    dtype : str
        Of the gradients.
    n_rows : int
        Of the model: sets how far the first step may go.
    """
    position, evaluations, before = start, 0, -np.inf
    for _ in range(_MOST_ROUNDS):
        result, used = _round(
            value_and_gradient, position, factor(position), tolerance, dtype, n_rows
        )
        evaluations += used
        position = result.position
        if result.value - before < _LEAST_GAIN or result.arrived:
            break
        before = result.value
    return position, evaluations


class _Ended:
    def __init__(self, position: Array, value: float, arrived: bool) -> None:
        self.position, self.value, self.arrived = position, value, arrived


def _round(
    value_and_gradient: Callable[[Array], tuple[float, Array]],
    start: Array,
    factor: Array,
    tolerance: float,
    dtype: str,
    n_rows: int,
) -> tuple[_Ended, int]:
    """Take some steps in one system of coordinates."""
    used, step, n_dim = [0], _DIFFERENCES[np.dtype(dtype).name], len(start)

    def at(offset: Array) -> tuple[float, Array]:
        used[0] += 1
        with np.errstate(all="ignore"):
            value, gradient = value_and_gradient((start + factor @ offset).astype(start.dtype))
            slope = factor.T @ np.asarray(gradient, dtype=float)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            return _REFUSED, np.zeros(n_dim)
        return -float(value), -slope

    def product(offset: Array, direction: Array) -> Array:
        move = step * direction / max(float(np.linalg.norm(direction)), 1e-300)
        ahead, behind = at(offset + move)[1], at(offset - move)[1]
        return np.asarray((ahead - behind) * np.linalg.norm(direction) / (2 * step))

    radius = _FAR * float(np.sqrt(n_dim * max(n_rows, 1)))
    options: dict[str, Any] = {
        "gtol": tolerance / 2 * np.sqrt(n_dim),  # of the length of the slope, so of each
        "maxiter": _STEPS,
        "initial_trust_radius": radius,
        "max_trust_radius": 1e6 * radius,
    }
    value, _ = at(np.zeros(n_dim))
    if value == _REFUSED:
        return _Ended(start, -np.inf, arrived=True), used[0]
    result = scipy.optimize.minimize(
        at, np.zeros(n_dim), jac=True, hessp=product, method="trust-ncg", options=options
    )
    position = (start + factor @ result.x).astype(start.dtype)
    # the information where the round began may be of another place: seen at the start of the next
    arrived = bool(result.success and result.nit == 0)
    return _Ended(position, -float(result.fun), arrived), used[0]
