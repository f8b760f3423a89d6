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
from functools import partial
from typing import Any

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.types import Array

_FEWEST_OF_A_GROUP = 20  # rows, where a model has many groups, as one for each likelihood of a loop
_FLATTEST = 1e-9  # of the information, over the largest, in units of its diagonal
_SIGNS = 4
_OTHERWISE = 4.0  # times as curved over a scale as over one: that scale is not taken
_MOST_ROUNDS, _STEPS = 20, 20
_MOST_PRODUCTS = 200  # of the conjugate gradients of one step
_SHRINKS, _GROWS, _ACCEPTED = 0.25, 0.75, 0.15  # gain of a step over what was predicted
_WIDER = 1e6  # times the first region, at most
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


def newton_climb(
    value_and_gradient: Callable[[Array], tuple[float, Array]],
    start: Array,
    factor: Callable[[Array], Array],
    tolerance: float,
    dtype: str,
    n_rows: int,
    slope_of_some: Callable[[Array], Array] | None = None,
) -> tuple[Array, int]:
    """Maximise and return the best point and the number of evaluations.

    Parameters
    ----------
    value_and_gradient : callable
        Log-posterior.
    start : array, shape (n_dim,)
    factor : callable
        From a position to the coordinates there, an array or a LinearOperator.
    tolerance : float
        Largest slope at the end, in posterior sds.
    dtype : str
        Of the gradients.
    n_rows : int
        Of the model: sets how far the first step may go.
    slope_of_some : callable, optional
        Gradient on some of the rows, scaled up: products of the Hessian are made of it.
    """
    position, evaluations, before = start, 0, -np.inf
    for _ in range(_MOST_ROUNDS):
        result, used = _round(
            value_and_gradient, position, factor(position), tolerance, dtype, n_rows, slope_of_some
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
    factor: Any,
    tolerance: float,
    dtype: str,
    n_rows: int,
    slope_of_some: Callable[[Array], Array] | None,
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

    def slope_at(offset: Array) -> Array:
        if slope_of_some is None:
            return at(offset)[1]
        with np.errstate(all="ignore"):
            gradient = slope_of_some((start + factor @ offset).astype(start.dtype))
        return -np.asarray(factor.T @ np.asarray(gradient, dtype=float))

    def product(offset: Array, direction: Array) -> Array:
        move = step * direction / max(float(np.linalg.norm(direction)), 1e-300)
        ahead, behind = slope_at(offset + move), slope_at(offset - move)
        return np.asarray((ahead - behind) * np.linalg.norm(direction) / (2 * step))

    if at(np.zeros(n_dim))[0] == _REFUSED:
        return _Ended(start, -np.inf, arrived=True), used[0]
    radius = _FAR * float(np.sqrt(n_dim * max(n_rows, 1)))
    # of the length of the slope, so of each
    offset, value, steps = _newton_steps(at, product, n_dim, tolerance / 2 * np.sqrt(n_dim), radius)
    position = (start + factor @ offset).astype(start.dtype)
    # the information where the round began may be of another place: seen at the start of the next
    return _Ended(position, -value, arrived=steps == 0), used[0]


type _Product = Callable[[Array, Array], Array]


def _newton_steps(
    at: Callable[[Array], tuple[float, Array]],
    product: _Product,
    n_dim: int,
    tolerance: float,
    radius: float,
) -> tuple[Array, float, int]:
    """Minimise from the origin; return where, the value there, and the steps it took.

    As SciPy's "trust-ncg", but for a bound on the products of one step: where coordinates are far
    from white the conjugate gradients would else take as many as there are parameters.
    """
    offset, largest = np.zeros(n_dim), _WIDER * radius
    value, slope = at(offset)
    for number in range(_STEPS):
        if np.linalg.norm(slope) < tolerance:
            return offset, value, number
        step, predicted, at_edge = _steihaug(slope, partial(product, offset), radius)
        if not predicted > 0:
            return offset, value, number + 1
        there, slope_there = at(offset + step)
        gained = (value - there) / predicted
        if gained < _SHRINKS:
            radius /= 4
        elif gained > _GROWS and at_edge:
            radius = min(2 * radius, largest)
        if gained > _ACCEPTED:
            offset, value, slope = offset + step, there, slope_there
    return offset, value, _STEPS


def _steihaug(
    slope: Array, product: Callable[[Array], Array], radius: float
) -> tuple[Array, float, bool]:
    """Return a step within the radius, how much it should gain, and whether it is at the edge."""
    size = float(np.linalg.norm(slope))
    enough = min(0.5, np.sqrt(size)) * size
    step, left, image = np.zeros_like(slope), slope, np.zeros_like(slope)
    way, at_edge = -left, False
    for _ in range(_MOST_PRODUCTS):
        bent = product(way)
        curvature, square = float(way @ bent), float(left @ left)
        length = square / curvature if curvature > 0 else np.inf
        if curvature <= 0 or np.linalg.norm(step + length * way) >= radius:
            edges, at_edge = _to_edge(step, way, radius), True
            length = edges[1]
            if curvature <= 0:  # there is an edge on either side, and one is lower
                down = float(way @ left)
                length = min(edges, key=lambda t: t * down + t**2 * curvature / 2)
            step, image = step + length * way, image + length * bent
            break
        step, image = step + length * way, image + length * bent
        left = left + length * bent
        if np.linalg.norm(left) < enough:
            break
        way = -left + float(left @ left) / square * way
    return step, -float(slope @ step + step @ image / 2), at_edge


def _to_edge(step: Array, way: Array, radius: float) -> tuple[float, float]:
    """Return how far along a way the edge of the region is, on either side."""
    square, along = float(way @ way), 2 * float(step @ way)
    left = float(step @ step) - radius**2
    # of the two forms of a root the one without cancellation
    sum_ = along + np.copysign(np.sqrt(along**2 - 4 * square * left), along)
    one, other = -sum_ / (2 * square), -2 * left / sum_
    return min(one, other), max(one, other)
