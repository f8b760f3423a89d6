"""Runs that survive: draws and states written to a folder, and continued from it."""

from pymc_sgld.checkpoints.as_written import AsWritten
from pymc_sgld.checkpoints.chain_folder import ChainFolder, DrawBlock, SavedState
from pymc_sgld.checkpoints.checkpoint import OF_A_SESSION, Checkpoint, asked_checkpoint
from pymc_sgld.checkpoints.checkpointed_step import (
    CheckpointedStep,
    continued,
    given_to_states,
    next_draw,
)
from pymc_sgld.checkpoints.dead_chains import (
    LOST,
    SeenChains,
    chains_as_numbered,
    draws_of_others,
)
from pymc_sgld.checkpoints.open_run import open_run
from pymc_sgld.checkpoints.run_folder import RunFolder, open_folder
from pymc_sgld.checkpoints.zarr_store import draws_to_zarr

__all__ = [
    "LOST",
    "OF_A_SESSION",
    "AsWritten",
    "ChainFolder",
    "Checkpoint",
    "CheckpointedStep",
    "DrawBlock",
    "RunFolder",
    "SavedState",
    "SeenChains",
    "asked_checkpoint",
    "chains_as_numbered",
    "continued",
    "draws_of_others",
    "draws_to_zarr",
    "given_to_states",
    "next_draw",
    "open_folder",
    "open_run",
]
