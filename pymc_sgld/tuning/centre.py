"""The centre of a control variate: the gradient there, and whether another one is better."""

import numpy as np

from pymc_sgld.gradient_estimators import GradientEstimator
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.estimator_noise import is_better_centre, with_noise_left
from pymc_sgld.tuning.local_gaussian import LocalGaussian
from pymc_sgld.types import Array

FEWEST_DRAWS = 20  # to choose a centre by


def centre_parameters(function: BlockFunction, centre: Array) -> tuple[Array, Array]:
    """Return a centre and the gradient of all rows there: one pass through the data."""
    everything = function.full(centre)[1]
    return centre, (everything - function.prior(centre)[1]).astype(centre.dtype)


def better_centre(
    function: BlockFunction,
    estimator: GradientEstimator,
    new: Array,
    old: Array,
    draws: Array,
    factor: Array,
    gaussian: LocalGaussian,
    *,
    temperature: float,
    generator: np.random.Generator,
    probabilities: Array | None,
) -> tuple[LocalGaussian | None, float]:
    """Return the picture with the noise that another centre leaves, if that is the better one.

    Parameters
    ----------
    function : BlockFunction
        Of the parameters that move; of a hierarchy the others are fixed at their means.
    estimator : GradientEstimator
    new, old : array, shape (n_moving,)
        The mean of the draws, and the centre as it is.
    draws : array, shape (n_draws, n_moving)
    factor : array, shape (n_moving, n_moving)
        From the coordinates that noise is measured in to parameters.
    gaussian : LocalGaussian
        Its precision is that of the posterior.
    temperature : float
    generator : numpy.random.Generator
    probabilities : array or None
        With which batches draw the rows; None if they are equal.

    Returns
    -------
    gaussian : LocalGaussian or None
        None where the centre as it is is about as good.
    data_passes : float
        Without those in ``gaussian``.
    """
    better, passes = is_better_centre(function, new, old, draws, factor, generator)
    if not better:
        return None, passes
    left = with_noise_left(
        function, estimator, new, gaussian, temperature, generator, probabilities
    )
    return left, passes
