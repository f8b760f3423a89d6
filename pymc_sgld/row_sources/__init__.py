"""Where rows come from: numpy only, never PyTensor."""

from pymc_sgld.row_sources.in_memory import ShuffledWindows, Windows, windows_of

__all__ = ["ShuffledWindows", "Windows", "windows_of"]
