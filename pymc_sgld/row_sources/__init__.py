"""Where rows come from: numpy only, never PyTensor."""

from pymc_sgld.row_sources.in_memory import Batches, ShuffledRows, batches_of
from pymc_sgld.row_sources.on_disk import RowsOnDisk, RowSource, as_row_source, rows_on_disk
from pymc_sgld.row_sources.schemes import (
    SCHEMES,
    BlockLayout,
    Epochs,
    FixedBlocks,
    Independent,
    Replacement,
    SamplingScheme,
    SymmetricEpochs,
    Weighted,
)
from pymc_sgld.row_sources.sweep import INDEPENDENT, Sweep

__all__ = [
    "INDEPENDENT",
    "SCHEMES",
    "Batches",
    "BlockLayout",
    "Epochs",
    "FixedBlocks",
    "Independent",
    "Replacement",
    "RowSource",
    "RowsOnDisk",
    "SamplingScheme",
    "ShuffledRows",
    "Sweep",
    "SymmetricEpochs",
    "Weighted",
    "as_row_source",
    "batches_of",
    "rows_on_disk",
]
