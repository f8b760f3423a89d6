"""Where rows come from: numpy only, never PyTensor."""

from pymc_sgld.row_sources.errors import RowSourceError
from pymc_sgld.row_sources.in_memory import Batches, ShuffledRows, batches_of
from pymc_sgld.row_sources.in_pieces import NumbersOf, row_bytes
from pymc_sgld.row_sources.on_disk import RowsOnDisk, rows_on_disk
from pymc_sgld.row_sources.open_rows import RowSource, as_row_source
from pymc_sgld.row_sources.random_blocks import RandomBlocks, blocks_for, number_of_blocks
from pymc_sgld.row_sources.random_order import RandomOrder
from pymc_sgld.row_sources.schemes import (
    SCHEMES,
    SHUFFLED_BEFORE,
    BlockLayout,
    Epochs,
    EpochsShuffledBefore,
    FixedBlocks,
    Independent,
    Replacement,
    SamplingScheme,
    ShuffledBefore,
    SymmetricEpochs,
    Weighted,
)
from pymc_sgld.row_sources.scratch import Scratch
from pymc_sgld.row_sources.shuffle_by_parts import shuffled_by
from pymc_sgld.row_sources.shuffle_on_disk import ShuffledFile, in_random_order, size_of_file
from pymc_sgld.row_sources.sweep import INDEPENDENT, Sweep
from pymc_sgld.row_sources.tables import Columns, column_names, columns, is_table

__all__ = [
    "INDEPENDENT",
    "SCHEMES",
    "SHUFFLED_BEFORE",
    "Batches",
    "BlockLayout",
    "Columns",
    "Epochs",
    "EpochsShuffledBefore",
    "FixedBlocks",
    "Independent",
    "NumbersOf",
    "RandomBlocks",
    "RandomOrder",
    "Replacement",
    "RowSource",
    "RowSourceError",
    "RowsOnDisk",
    "SamplingScheme",
    "Scratch",
    "ShuffledBefore",
    "ShuffledFile",
    "ShuffledRows",
    "Sweep",
    "SymmetricEpochs",
    "Weighted",
    "as_row_source",
    "batches_of",
    "blocks_for",
    "column_names",
    "columns",
    "in_random_order",
    "is_table",
    "number_of_blocks",
    "row_bytes",
    "rows_on_disk",
    "shuffled_by",
    "size_of_file",
]
