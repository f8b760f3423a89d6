"""What is worked out before the first step."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.preconditioners import Averages, Metric
from pymc_sgld.tuning.noise_by_size import NoiseBySize
from pymc_sgld.tuning.predicted_law import PredictedLaw
from pymc_sgld.tuning.steep_slopes import GAUSSIAN, SteepSlopes
from pymc_sgld.types import Array

LARGEST_MEASURED = 2000  # parameters; beyond, no n_dim x n_dim matrix is made


@dataclass(frozen=True)
class Tuned:
    """What is worked out at a mode."""

    mode: Array  # (n_dim,)
    covariance: Array | None  # (n_dim, n_dim), of the Gaussian picture; none where too large
    metric: Metric
    predicted_law: PredictedLaw | None
    estimator_parameters: tuple[Array, ...] = ()
    gradient_noise: Array | None = None  # by coordinate, where it is compensated
    learned: Averages | None = None  # what a preconditioner that learns begins with
    expected_squares: Array | None = None  # of the gradient, by coordinate
    score: float = 0.0  # root mean square of the gradient at the mode, in posterior sds
    data_passes: float = 0.0
    uneven: NoiseBySize | None = None  # of rows drawn by size, where no matrix is made
    steep: SteepSlopes = GAUSSIAN  # variables near an end, and what that means for steps

    @property
    def centre(self) -> tuple[Array, ...] | None:
        """The centre of a control variate and the rows' gradient there, if there is one."""
        shapes = [parameter.shape for parameter in self.estimator_parameters]
        return self.estimator_parameters if shapes == [self.mode.shape] * 2 else None

    def distance(self, position: Array) -> float:
        """Return how far a position is from the mode, root mean square in posterior sds."""
        if self.covariance is None:
            metric = self.metric
            whitened = metric.to_coordinates(position) - metric.to_coordinates(self.mode)
            square = float(np.mean(whitened**2))
        else:
            apart = (position - self.mode).astype(float)
            square = float(apart @ np.linalg.solve(self.covariance, apart) / len(apart))
        return float(np.sqrt(square)) if np.isfinite(square) else np.inf


class Start(NamedTuple):
    """Where a chain starts, and what it is to know there."""

    position: Array
    tuned: Tuned | None = None  # None where nothing was to be tuned
    mode_distance: float = np.nan  # from the mode that was known beforehand, in posterior sds
    data_passes: float = 0.0
    moves: Any = None  # what moves between draws begin with, if there are any


class Centre(NamedTuple):
    """Where a control variate is centred, and the law of the chain with it."""

    estimator_parameters: tuple[Array, ...]
    predicted_law: PredictedLaw
    gradient_noise: Array | None = None
    moves: Any = None  # what moves between draws know
