"""More scores where those taken leave a width in doubt, until they do not, or there are no more."""

from collections.abc import Callable
from typing import Protocol

from pymc_sgld.posterior.scores import PosteriorScores
from pymc_sgld.posterior.verdicts import Measured, undecided

TIMES = (4, 16)  # as many scores as were taken first, in the rounds that may follow
_WORTH_IT = 1.5  # times the passes of the round before


class Judged(Protocol):
    """A check of draws."""

    @property
    def measured(self) -> Measured:
        """The figures by parameter."""


def until_decided[C: Judged](
    first: PosteriorScores | None,
    judged: Callable[[PosteriorScores | None], C],
    taken: Callable[[int], PosteriorScores | None],
    target_bias: float,
) -> C:
    """Return the check of draws, from more scores in each round that leaves a width in doubt.

    Parameters
    ----------
    first : PosteriorScores or None
    judged : callable
        From scores to the check.
    taken : callable
        From how many times as many scores to these; None where there are no more.
    target_bias : float
    """
    check, spent = judged(first), 0.0 if first is None else first.data_passes
    last = spent
    for times in TIMES:
        if first is None or not undecided(check.measured, target_bias):
            break
        more = taken(times)
        if more is None or more.data_passes < _WORTH_IT * last:
            break
        last, spent = more.data_passes, spent + more.data_passes
        check = judged(more._replace(data_passes=spent))
    return check
