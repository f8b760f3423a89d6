"""Errors of tuning, as PyMC's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pymc.exceptions import SamplingError

from pymc_sgld.tuning import TuningError


@contextmanager
def as_sampling_errors() -> Iterator[None]:
    """Raise what tuning refuses, and matrices without an inverse, as PyMC's SamplingError."""
    try:
        yield
    except TuningError as error:
        raise SamplingError(str(error)) from error
    except np.linalg.LinAlgError as error:
        raise SamplingError(
            f"The curvature of the model has no inverse where a mode was looked for ({error}): "
            "parameters that the data do not tell apart, or numbers beyond what floats hold. Give "
            "these parameters proper priors, or data in other units."
        ) from error
