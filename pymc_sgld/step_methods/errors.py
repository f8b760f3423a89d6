"""Errors of tuning, as PyMC's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from pymc.exceptions import SamplingError

from pymc_sgld.tuning import TuningError


@contextmanager
def as_sampling_errors() -> Iterator[None]:
    """Raise what tuning refuses as PyMC's SamplingError, with the same message."""
    try:
        yield
    except TuningError as error:
        raise SamplingError(str(error)) from error
