"""Arrays in, arrays out: what draws say of themselves."""

from pymc_sgld.diagnostics.score_moments import ScoreMoments, score_moments

__all__ = ["ScoreMoments", "score_moments"]
