"""The noise that an estimator of the gradient leaves, near a point."""

import numpy as np

from pymc_sgld.gradient_estimators import GradientEstimator
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.large_matrices import MANY
from pymc_sgld.tuning.local_gaussian import LocalGaussian
from pymc_sgld.tuning.remaining_noise import control_variate_noise
from pymc_sgld.tuning.row_scores import lean
from pymc_sgld.types import Array

_ROWS_AT_A_DRAW = 20
_LEAST_GAIN = 0.1  # of the noise, for a centre to be worth a pass through the data


def with_noise_left(
    block_function: BlockFunction,
    estimator: GradientEstimator,
    position: Array,
    gaussian: LocalGaussian,
    temperature: float,
    generator: np.random.Generator,
    probabilities: Array | None = None,
) -> LocalGaussian:
    """Return the picture at a point with the noise of the estimator instead of the plain one's.

    The distance between the position and what is compared with is taken as that of a chain that
    moves through the whole posterior in between, which is the most it can be.

    Parameters
    ----------
    block_function : BlockFunction
    estimator : GradientEstimator
    position : array, shape (n_dim,)
        The mode, or where the chain is.
    gaussian : LocalGaussian
        The picture there, with the noise of plain batches.
    temperature : float
    generator : numpy.random.Generator
        Chooses rows and points.
    probabilities : array, shape (total_size,), optional
        With which batches draw the rows; uniform if not given.
    """
    if not estimator.reference_distance:
        return gaussian
    covariance = np.linalg.inv(gaussian.precision) * temperature
    left = control_variate_noise(
        block_function,
        position,
        estimator.reference_distance * covariance,
        generator,
        probabilities,
        kinked=gaussian.kinked,
        sizes=gaussian.sizes,
    )
    # blocks that were last seen at different positions: H Cov H, with Cov that of the posterior
    common = temperature * gaussian.precision if estimator.remembers else None
    return gaussian._replace(
        row_noise=left.row_noise,
        common_noise=common,
        uneven=left.uneven,
        noise_error=left.error,
        data_passes=gaussian.data_passes + left.data_passes,
    )


def is_better_centre(
    block_function: BlockFunction,
    new: Array,
    old: Array,
    draws: Array,
    factor: Array,
    generator: np.random.Generator,
) -> tuple[bool, float]:
    """Return whether a control variate has clearly less noise at draws with another centre.

    Both centres are tried on the same rows at the same draws.

    Parameters
    ----------
    block_function : BlockFunction
    new, old : array, shape (n_dim,)
        The centres.
    draws : array, shape (n_draws, n_dim)
    factor : array, shape (n_dim, n_dim)
        From the coordinates that the noise is measured in to parameters.
    generator : numpy.random.Generator
        Chooses the rows.

    Returns
    -------
    better : bool
    data_passes : float
    """
    evaluated = 0
    noise = np.zeros((2, len(draws)))
    for number, draw in enumerate(draws):
        for group, total in enumerate(block_function.total_sizes):
            rows = generator.choice(total, min(_ROWS_AT_A_DRAW, int(total)), replace=False)
            evaluated += 3 * len(rows)
            here = block_function.row_gradients(draw, group, rows)
            for which, centre in enumerate((new, old)):
                left = here - block_function.row_gradients(centre, group, rows)
                left = (lean(left) if len(new) > MANY else left) @ factor
                noise[which, number] += float(total) ** 2 * left.var(axis=0).sum()
    gain = noise[1] - noise[0]
    error = gain.std(ddof=1) / np.sqrt(len(draws))
    better = bool(gain.mean() > max(2 * error, _LEAST_GAIN * noise[1].mean()))
    return better, evaluated / float(sum(block_function.total_sizes))
