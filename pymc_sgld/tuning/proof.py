r"""A precision that was measured on a sample of rows, tested on all of them and mended.

In the coordinates that it whitens, minus the Hessian of all rows should be the identity. Lanczos
iterations find its extreme eigenvalues in a few products, each a difference of gradients on all
rows; from a spectrum that is one but for a few directions they find these exactly. Along
directions with another eigenvalue the precision is measured anew by that,

.. math:: P \leftarrow P + L^{-\top} V (\Lambda - I) V^\top L^{-1}.

References
----------
.. [1] Golub, G. H. and Van Loan, C. F. (2013). Matrix Computations, 4th edition, section 10.1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.row_sample import ROWS_OF_A_SAMPLE, WIDE_DIFFERENCES
from pymc_sgld.types import Array

_MOST_PRODUCTS, _FEWEST_PRODUCTS = 10, 4
_MOST_ROUNDS = 2
SETTLED = 0.03  # change of the extreme eigenvalues by one more product
AS_MEASURED = (0.8, 1.25)  # eigenvalues that are left as they are
_FLATTEST = 1e-3  # below, a direction is no scale to go by


def slopes_of_all_rows(block_function: BlockFunction) -> Callable[[Array], Array]:
    """Return the gradient of the log-likelihood of all rows, as a function of the position."""

    def of_rows(at: Array) -> Array:
        slopes = (np.asarray(f(at)[1], float) for f in (block_function.full, block_function.prior))
        return np.asarray(np.subtract(*slopes))

    return of_rows


class Proof(NamedTuple):
    """What all rows say of a precision."""

    precision: Array  # (n_dim, n_dim), mended
    lowest: float  # eigenvalues of all rows in the coordinates of the precision as it was
    highest: float
    products: int
    stiffest: float = 1.0  # largest eigenvalue in the coordinates of the mended precision


def proven(
    precision: Array, product: Callable[[Array], Array], generator: np.random.Generator
) -> Proof:
    """Test a precision against products of the true one, and mend it.

    Parameters
    ----------
    precision : array, shape (n_dim, n_dim)
        Positive definite.
    product : callable
        The true precision times a vector of about one posterior sd.
    generator : numpy.random.Generator
        Chooses the first vectors.
    """
    ends, products = [], 0
    for number in range(_MOST_ROUNDS + 1):
        factor = np.linalg.cholesky(np.linalg.inv(precision))
        values, vectors, used = extremes(product, factor, generator)
        products += used
        ends.append((float(values.min()), float(values.max())))
        off = (values < AS_MEASURED[0]) | (values > AS_MEASURED[1])
        off &= values > _FLATTEST
        if not np.isfinite(values).all() or not off.any() or number == _MOST_ROUNDS:
            break
        ways = np.linalg.solve(factor.T, vectors[:, off])
        mended = precision + (ways * (values[off] - 1)) @ ways.T
        precision = (mended + mended.T) / 2
    lowest, highest = ends[0]
    last = ends[-1][1]
    stiffest = max(1.0, (1 + SETTLED) * last) if np.isfinite(last) else 1.0
    return Proof(precision, lowest, highest, products, stiffest)


def on_all_rows_proven(
    block_function: BlockFunction,
    position: Array,
    hessian: Array,
    of_prior: Array,
    generator: np.random.Generator,
) -> tuple[Array, float, float]:
    """Return a precision after its proof on all rows, where it is of a sample, and data passes.

    In between, the largest curvature of all rows that is left, over that of the precision.

    Parameters
    ----------
    block_function : BlockFunction
    position : array, shape (n_dim,)
    hessian, of_prior : array, shape (n_dim, n_dim)
        Minus that of the log-posterior, of a sample of the rows, and of the log-prior.
    generator : numpy.random.Generator
    """
    if max(block_function.total_sizes, default=0) <= ROWS_OF_A_SAMPLE:
        return hessian, 1.0, 0.0
    step = WIDE_DIFFERENCES[np.dtype(block_function.dtype).name]
    of_rows = slopes_of_all_rows(block_function)
    here = of_rows(position)

    def product(direction: Array) -> Array:
        # to one side: the skewness that this leaves is small beside a quarter
        ahead = of_rows((position + step * direction).astype(position.dtype))
        return np.asarray((here - ahead) / step + of_prior @ direction)

    proof = proven(hessian, product, generator)
    return proof.precision, proof.stiffest, 1.0 + proof.products


def extremes(
    product: Callable[[Array], Array], factor: Any, generator: np.random.Generator
) -> tuple[Array, Array, int]:
    """Return Ritz values and vectors once the extreme ones have settled, and products.

    Of ``factor' H factor``, with the array or LinearOperator ``factor`` and the products of H.
    """
    n_dim = int(factor.shape[1])
    vector = generator.standard_normal(n_dim)
    basis = [vector / np.linalg.norm(vector)]
    images: list[Array] = []
    before = np.array([np.inf, -np.inf])
    values, small = np.ones(1), np.ones((1, 1))
    for number in range(min(_MOST_PRODUCTS, n_dim)):
        images.append(factor.T @ product(factor @ basis[-1]))
        space = np.array(basis).T
        inner = space.T @ np.array(images).T
        if not np.isfinite(inner).all():
            return np.full(1, np.nan), space[:, :1], number + 1
        values, small = np.linalg.eigh((inner + inner.T) / 2)
        ends = values[[0, -1]]
        left = images[-1] - space @ (space.T @ images[-1])
        left -= space @ (space.T @ left)
        size = np.linalg.norm(left)
        settled = np.abs(ends - before).max() < SETTLED and number + 1 >= _FEWEST_PRODUCTS
        if settled or size < SETTLED / n_dim:
            break
        before = ends
        basis.append(left / size)
    used = len(images)
    return values, np.array(basis[:used]).T @ small, used
