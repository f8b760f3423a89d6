"""Draws of a run in a folder, put into a Zarr store block by block, as they come."""

import os

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pymc_sgld.checkpoints.chain_folder import ChainFolder, DrawBlock
from pymc_sgld.checkpoints.open_run import between, enumerate_chains, groups_of, tree_of
from pymc_sgld.checkpoints.run_folder import open_folder

_AT_ONCE = 1000  # draws of each chain that are in memory together


def draws_to_zarr(path: str | os.PathLike[str], store: str | os.PathLike[str]) -> int:
    """Put the draws of a run into a Zarr 3 store, those that are not in it yet.

    At no time are more than a thousand draws of each chain in memory. May be called again and again
    while the run goes on; ``xarray.open_datatree(store, engine="zarr", chunks={})`` reads the store
    without loading it. Nothing in the folder of the run is changed, and no model is needed.

    Parameters
    ----------
    path : str or path
        Folder given as ``checkpoint`` to :func:`pymc_sgld.sample`.
    store : str or path
        Folder of the store; one that this function has made of the same run, or none yet.

    Returns
    -------
    int
        Draws of each chain in the store, those of the tune phase counted: as many as all chains of
        the run have.

    Raises
    ------
    ImportError
        Where Zarr is not installed.
    FileNotFoundError
        Where the folder holds no run.
    ValueError
        Where the store has draws of another run.
    """
    try:
        import zarr  # of an extra
    except ImportError as error:
        raise ImportError(
            'draws_to_zarr needs the package zarr: pip install "pymc-sgld[zarr]".'
        ) from error
    run, place = open_folder(path), Path(store)
    wanted = run.manifest.get("chains", len(run.chain_paths()))
    chains = {n: ChainFolder(one) for n, one in enumerate_chains(run.chain_paths())}
    stop = min((chain.n_draws for chain in chains.values()), default=0)
    if len(chains) < wanted or not stop:
        return 0
    identity = f"{run.manifest['density']} {run.manifest.get('keys')}"
    done = 0
    if place.exists():
        attributes = dict(zarr.open_group(place, mode="r").attrs)
        if attributes.get("run") != identity:
            raise ValueError(
                f"{place} has draws of another run, or is no store of draws. Give another place, "
                "or remove it."
            )
        done = int(str(attributes["draws"]))
    blocks = {number: _Reader(chain) for number, chain in chains.items()}
    tune = next(iter(blocks.values())).block_of(0).tune
    ends = sorted({*range(done, stop, _AT_ONCE), max(done, min(tune, stop)), stop})
    for first, last in pairwise(ends):
        drawn = [reader.between(first, last) for reader in blocks.values()]
        groups = groups_of(run, drawn, "warmup_" if first < tune else "")
        _append(tree_of(run, groups, list(blocks)), place, first - (tune if first >= tune else 0))
        zarr.open_group(place, mode="a").attrs.update({"run": identity, "draws": last})
    return stop


def _append(tree: Any, place: Path, at: int) -> None:
    """Append the groups of a tree along their draws, which are numbered from one on."""
    for name, node in tree.children.items():
        dataset = node.to_dataset()
        dataset = dataset.assign_coords(draw=at + np.arange(dataset.sizes["draw"]))
        there = (place / name).exists()
        more: Mapping[str, Any] = {"append_dim": "draw"} if there else {"mode": "a"}
        dataset.to_zarr(place, group=name, zarr_format=3, consolidated=False, **more)


class _Reader:
    """Reads draws of a chain in order; the last block is kept."""

    def __init__(self, chain: ChainFolder) -> None:
        self.chain = chain
        self._block: DrawBlock | None = None

    def block_of(self, number: int) -> DrawBlock:
        """Return the block that has a draw."""
        if self._block is None or not self._block.first <= number < self._block.stop:
            first, stop = next(one for one in self.chain.blocks() if one[0] <= number < one[1])
            self._block = self.chain.read_block(first, stop)
        return self._block

    def between(self, first: int, stop: int) -> DrawBlock:
        """Return draws as one block."""
        parts = [self.block_of(first)]
        while parts[-1].stop < stop:
            parts.append(self.block_of(parts[-1].stop))
        return between(parts, first - parts[0].first, stop - parts[0].first)
