"""Several samplers on one model: tables of errors and times, plots, a report, draws as files."""

from pymc_sgld.comparison.result import Comparison
from pymc_sgld.comparison.running import compare, summarise

__all__ = ["Comparison", "compare", "summarise"]
