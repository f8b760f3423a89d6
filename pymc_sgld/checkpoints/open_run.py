"""The draws of a run in a folder, whether it has ended or not."""

import logging
import os

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pymc_sgld import records
from pymc_sgld.checkpoints.chain_folder import ChainFolder, DrawBlock
from pymc_sgld.checkpoints.run_folder import RunFolder, open_folder
from pymc_sgld.checkpoints.running_moments import RunningSummary
from pymc_sgld.types import Array

_log = logging.getLogger("pymc.sgld")

_PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)
_OF_KEY = 32  # letters of the name of a chain that PyMC did not number


def open_run(path: str | os.PathLike[str]) -> Any:
    """Read the draws of a run that is written to a folder: in progress, stopped, or done.

    Nothing in the folder is changed, and no model is needed.

    Parameters
    ----------
    path : str or path
        Folder given as ``checkpoint`` to :func:`pymc_sgld.sample`.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` and ``sample_stats``, dims ``chain, draw, ...``, and those of the tune
        phase with ``warmup_`` before the name. Of chains of different lengths, as many draws of as
        many chains as make most draws; the coordinate ``chain`` says which.

    Raises
    ------
    FileNotFoundError
        Where the folder holds no run.
    ValueError
        Where its files are of another format, or there is no draw yet.
    """
    run = open_folder(path)
    chains = {
        number: ChainFolder(place).readable_blocks()
        for number, place in enumerate_chains(run.chain_paths())
    }
    stops = {number: blocks[-1].stop if blocks else 0 for number, blocks in chains.items()}
    kept, length = most_draws(stops)
    if not length:
        raise ValueError(f"The run in {run.path} has no draws yet.")
    left_out = [f"{number} with {stop}" for number, stop in stops.items() if number not in kept]
    if left_out:
        _log.info(
            f"{length} draws of each chain, those of the tune phase counted, without the shorter "
            f"chains: {', '.join(left_out)}."
        )
    tune = chains[kept[0]][0].tune
    groups: dict[str, dict[str, Array]] = {}
    for prefix, first, stop in (("warmup_", 0, min(tune, length)), ("", tune, length)):
        if first < stop:
            drawn = [between(chains[number], first, stop) for number in kept]
            groups |= groups_of(run, drawn, prefix)
    paths = dict(enumerate_chains(run.chain_paths()))
    tree = tree_of(run, groups, kept)
    add_moments(tree, run, {number: paths[number] for number in kept})
    return tree


def groups_of(
    run: RunFolder, drawn: Sequence[DrawBlock], prefix: str
) -> dict[str, dict[str, Array]]:
    """Return variables and statistics of draws of several chains, by group and name."""
    posterior = [{**block.values, **block.posterior} for block in drawn]
    statistics = [block.statistics for block in drawn]
    return {
        f"{prefix}posterior": _by_chain(posterior, run.manifest["variables"]),
        f"{prefix}sample_stats": _by_chain(statistics, list(statistics[0])),
    }


def tree_of(
    run: RunFolder, groups: Mapping[str, Mapping[str, Array]], chains: Sequence[int]
) -> Any:
    """Return groups of draws as a tree, with the dims and coords of the run."""
    from arviz_base import from_dict  # as long to load as PyMC

    about = {records.SAMPLER: run.manifest["sampler"], "inference_library": "pymc_sgld"}
    return from_dict(
        groups,
        coords={**run.manifest["coords"], "chain": list(chains)},
        dims=run.manifest["dims"],
        save_warmup=True,
        attrs={name: about for name in groups if name.endswith("posterior")},
    )


def add_moments(tree: Any, run: RunFolder, chains: Mapping[int, Path]) -> None:
    """Add moments of all draws to a result, where a run has not stored all of them.

    Parameters
    ----------
    tree : xarray.DataTree
    run : RunFolder
    chains : mapping of int to Path
        Folders of chains.
    """
    import xarray as xr  # loaded with PyMC's results, not before

    moments = {number: ChainFolder(path).last_moments() for number, path in chains.items()}
    known = {number: of for number, of in moments.items() if of is not None and of.count}
    if not known:
        return
    variables, quantiles = {}, {number: _quantiles_of(of) for number, of in known.items()}
    moments_named = ["mean", "sd"]
    if all(of is not None for of in quantiles.values()):
        moments_named += [f"quantile {probability}" for probability in _PROBABILITIES]
    for name in run.manifest["variables"]:
        arrays = np.stack(
            [
                np.stack(
                    [of.means[name], of.sds[name], *_of_variable(quantiles[number], name)][
                        : len(moments_named)
                    ]
                )
                for number, of in known.items()
            ]
        )
        own = run.manifest["dims"].get(name)
        own = own or [f"{name}_dim_{number}" for number in range(arrays.ndim - 2)]
        variables[name] = (("chain", "moment", *own), arrays)
    coords = {dim: labels for dim, labels in run.manifest["coords"].items() if labels}
    used = {dim for dims, _ in variables.values() for dim in dims}
    dataset = xr.Dataset(
        variables,
        coords={
            "chain": list(known),
            "moment": moments_named,
            **{dim: labels for dim, labels in coords.items() if dim in used},
        },
        attrs={"draws": [of.count for of in known.values()], "thin": run.manifest["thin"]},
    )
    tree[records.ALL_DRAWS] = xr.DataTree(dataset=dataset)


def _quantiles_of(moments: Any) -> dict[str, Array] | None:
    """Return quantiles of all draws; None of many variables, and of a run without them."""
    return moments.quantiles(_PROBABILITIES) if isinstance(moments, RunningSummary) else None


def _of_variable(quantiles: dict[str, Array] | None, name: str) -> list[Array]:
    return [] if quantiles is None else list(quantiles[name])


def most_draws(stops: Mapping[int, int]) -> tuple[list[int], int]:
    """Return chains, and a length that all of them have, such that they have most draws.

    Parameters
    ----------
    stops : mapping of int to int
        Draws of each chain.
    """
    best: tuple[list[int], int] = ([], 0)
    for length in sorted(set(stops.values()), reverse=True):
        chains = [number for number, stop in stops.items() if stop >= length]
        if len(chains) * length > len(best[0]) * best[1]:
            best = (chains, length)
    return best


def enumerate_chains(paths: Sequence[Path]) -> list[tuple[int, Path]]:
    """Return chains with the numbers in their names; those named otherwise come after."""
    found = [(int(part), path) for path in paths if len(part := path.name.split("-")[1]) < _OF_KEY]
    others = [path for path in paths if path not in {path for _, path in found}]
    return [*found, *enumerate(others, len(found))]


def between(blocks: Sequence[DrawBlock], first: int, stop: int) -> DrawBlock:
    """Return draws of some blocks as one, numbered from the first of these."""
    kinds: dict[str, dict[str, Array]] = {}
    for kind in ("values", "posterior", "statistics"):
        names = list(getattr(blocks[0], kind))
        kinds[kind] = {
            name: np.concatenate([getattr(block, kind)[name] for block in blocks])[first:stop]
            for name in names
        }
    return DrawBlock(first, **kinds, tune=blocks[0].tune)


def _by_chain(chains: Sequence[Mapping[str, Array]], names: Sequence[str]) -> dict[str, Array]:
    return {name: np.stack([chain[name] for chain in chains]) for name in names}
