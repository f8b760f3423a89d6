"""The noise that an estimator of the gradient leaves, near a point."""

import numpy as np

from pymc_sgld.gradient_estimators import GradientEstimator
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.local_gaussian import LocalGaussian, control_variate_noise
from pymc_sgld.types import Array


def with_noise_left(
    block_function: BlockFunction,
    estimator: GradientEstimator,
    position: Array,
    gaussian: LocalGaussian,
    temperature: float,
    generator: np.random.Generator,
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
    """
    if not estimator.reference_distance:
        return gaussian
    covariance = np.linalg.inv(gaussian.precision) * temperature
    noise, passes = control_variate_noise(
        block_function, position, estimator.reference_distance * covariance, generator
    )
    # blocks that were last seen at different positions: H Cov H, with Cov that of the posterior
    common = temperature * gaussian.precision if estimator.remembers else None
    return gaussian._replace(
        row_noise=noise, common_noise=common, data_passes=gaussian.data_passes + passes
    )
