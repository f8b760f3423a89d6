"""How many rows a step needs, from the one number that the user sets: ``target_bias``."""

from collections.abc import Callable, Sequence

import numpy as np

from pymc_sgld.tuning.large_matrices import MANY, largest_eigenvector
from pymc_sgld.tuning.linear_law import LinearLaw
from pymc_sgld.tuning.local_gaussian import LocalGaussian
from pymc_sgld.types import Array

FEWEST_ROWS = 128  # below, a step costs the same
_DIRECTIONS = 50
_SURE = 2.0  # standard errors of the noise


def allowed_excess(target_bias: float) -> float:
    """Return the relative excess of a variance whose sd is too wide by ``target_bias``."""
    return (1 + target_bias) ** 2 - 1


def upper_end(gaussian: LocalGaussian) -> float:
    """Return how many times the measured noise the noise may be: the batch is chosen for that."""
    return 1 + _SURE * gaussian.noise_error


def smallest_batch(
    law: LinearLaw,
    gaussian: LocalGaussian,
    factor: Array,
    total_sizes: Sequence[int],
    *,
    target_bias: float,
    temperature: float = 1.0,
    cost: int = 1,
    with_replacement: bool = False,
) -> list[int]:
    r"""Return the fewest rows whose noise widens no sd by more than ``target_bias``.

    At the rule's largest step, in coordinates of unit posterior sd. With :math:`V_1` the covariance
    there of one row's contribution to the gradient, scaled to all rows, and :math:`k` the excess of
    the variance for gradient noise of variance one, that is

    .. math:: n = \frac{k\, \lambda_{\max}(V_1)}{T\,((1 + \text{target bias})^2 - 1)}.

    Parameters
    ----------
    law : LinearLaw
        Of the update rule.
    gaussian : LocalGaussian
        Its row noise is what the gradient estimator leaves.
    factor : array, shape (n_dim, n_dim)
        From the coordinates to parameters.
    total_sizes : sequence of int
        Rows of each group.
    target_bias : float
    temperature : float, default 1
    cost : int, default 1
        Gradients a row of a batch costs. Batches that cost as much as all rows become all rows.

    with_replacement : bool, default False
        Whether each row of a batch is drawn from all.

    Returns
    -------
    list of int
        Rows of a batch, for each group.
    """
    totals = np.asarray(total_sizes)
    at_most, one = upper_end(gaussian), None
    if len(factor) > MANY and len(totals) == 1 and gaussian.common_noise is None:
        # of one group of rows the noise of a batch is a multiple of that of a row
        value, _ = largest_eigenvector(factor, gaussian.row_noise[0])
        one = gaussian._replace(row_noise=np.full((1, 1, 1), at_most * value))

    def noise(n_rows: int) -> float:
        sizes = np.minimum(n_rows, totals)
        if one is not None:
            return float(one.gradient_noise(totals, sizes, with_replacement=with_replacement)[0, 0])
        left = gaussian.gradient_noise(totals, sizes, with_replacement=with_replacement)
        return at_most * float(np.linalg.eigvalsh(factor.T @ left @ factor)[-1])

    return fewest_rows(
        law, noise, total_sizes, target_bias=target_bias, temperature=temperature, cost=cost
    )


def fewest_rows(
    law: LinearLaw,
    noise: Callable[[int], float],
    total_sizes: Sequence[int],
    *,
    target_bias: float,
    temperature: float = 1.0,
    cost: int = 1,
) -> list[int]:
    """Return the fewest rows for which ``noise`` is small enough; as for :func:`smallest_batch`.

    Parameters
    ----------
    noise : callable
        Rows of a batch to the largest variance of its gradient in any direction, in coordinates of
        unit posterior sd.
    """
    wanted = allowed_excess(target_bias)
    step_size, totals = law.rule.largest_step, np.asarray(total_sizes)

    def enough(n_rows: int) -> bool:
        excess = law.variance(step_size, 1.0, noise(n_rows), temperature) / temperature - 1
        clean = law.variance(step_size, 1.0, 0.0, temperature) / temperature - 1
        return excess <= max(wanted, clean * (1 + 1e-9))

    low, high = FEWEST_ROWS, int(totals.max())
    if high <= low:
        return [int(total) for total in totals]
    if not enough(low):
        while high - low > max(1, low // _DIRECTIONS):
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        low = high
    sizes = np.minimum(low, totals)
    chosen = totals if cost * sizes.sum() >= totals.sum() else sizes
    return [int(size) for size in chosen]
