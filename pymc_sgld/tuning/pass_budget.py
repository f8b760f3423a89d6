"""How often tuning may read the data."""

from collections.abc import Iterator
from contextlib import contextmanager

from pymc_sgld.model_graph import PassCounter, TooManyPasses, counted
from pymc_sgld.tuning.errors import TuningError

MOST_PASSES = 100
MOST_PASSES_OF_FEW_ROWS = 200
_FEW_ROWS = 100_000
_ROWS_READ = 4_000_000  # where these are fewer in all, a pass costs next to nothing
# More parameters take more products with the curvature: in proportion, up to ten times as many.
_FEW_PARAMETERS = 50
_MOST_TIMES = 10.0


def most_passes(n_rows: int, n_dim: int) -> float:
    """Return the passes through the data that tuning takes at most, unless it is asked to."""
    if n_rows >= _FEW_ROWS:
        most = float(MOST_PASSES)
    else:
        most = max(float(MOST_PASSES_OF_FEW_ROWS), _ROWS_READ / max(n_rows, 1))
    return most * min(max(n_dim / _FEW_PARAMETERS, 1.0), _MOST_TIMES)


@contextmanager
def within_passes(most: float, n_rows: int, *, instead: str = "") -> Iterator[PassCounter]:
    """Count passes, and stop with what to do where they become more than ``most``.

    ``instead`` is what lets tuning go on, or goes without; default: ``tuning_passes`` of "auto".

    Raises
    ------
    TuningError
    """
    counter = PassCounter(most)
    try:
        with counted(counter):
            yield counter
    except TooManyPasses as error:
        if counter.passes <= most:  # the bound of another
            raise
        at = f" {counter.doing}" if counter.doing else " at work"
        raise TuningError(
            f"Tuning stopped: it has read the {n_rows:,} rows {most:.0f} times and was still{at} "
            f"({instead or f'tuning_passes={4 * most:.0f} lets it go on'}). It takes fewer from a "
            "start near the mode (initval= of the variables), with proper priors, and without "
            "parameters that rows say nothing of."
        ) from error
