"""How batches are taken of rows that are not in the model."""

import numpy as np

from pymc_sgld.model_graph import RowError, RowModel
from pymc_sgld.row_sources import (
    SHUFFLED_BEFORE,
    RandomBlocks,
    SamplingScheme,
    ShuffledBefore,
    ShuffledFile,
    blocks_for,
)
from pymc_sgld.samplers import Rule, TestedRule

_BY_BLOCKS = ("independent", "epochs")  # which of the two is asked for makes no difference there


def scheme_of_rows(
    name: str, scheme: SamplingScheme, row_model: RowModel, rule: Rule
) -> SamplingScheme:
    """Return the scheme for rows on disk: in random order in a scratch folder, or as they are.

    Parameters
    ----------
    name : str
        Of the sampler.
    scheme : SamplingScheme
        What was asked for.
    row_model : RowModel
    rule : Rule
        One that tests its steps has windows at random places.
    """
    data = row_model.data or {}
    missing = [
        leaf.name for leaf in row_model.leaves if row_model.streamed[leaf.group] and not data
    ]
    if missing:
        raise RowError(
            f"{', '.join(map(repr, missing))} of {name} is streamed, but no rows were given. Write "
            "pymc_sgld.sample(data={...}), or rows=pymc_sgld.row_model(model, data={...})."
        )
    elsewhere = {
        n: one for n, one in data.items() if not isinstance(one, np.ndarray | ShuffledFile)
    }
    if elsewhere and not isinstance(scheme, RandomBlocks):
        if scheme.name not in _BY_BLOCKS or isinstance(rule, TestedRule):
            why = f"batches={scheme.name!r}" if scheme.name not in _BY_BLOCKS else "its tests"
            raise RowError(
                f"{', '.join(map(repr, elsewhere))} of {name} is too large to be read into memory, "
                f"and scratch=False has it written nowhere: blocks of it are read and mixed, which "
                f"{name} with {why} cannot take. Leave scratch out, or give scratch=<a folder>."
            )
        return blocks_for(elsewhere)
    shuffled = {
        leaf.group for leaf in row_model.leaves if isinstance(data.get(leaf.name), ShuffledFile)
    }
    if not shuffled or isinstance(scheme, ShuffledBefore):
        return scheme
    if scheme.name not in SHUFFLED_BEFORE:
        raise ValueError(
            f"{name} with batches={scheme.name!r} would gather all rows anew, but those of "
            f"{', '.join(row_model.groups[group].name for group in sorted(shuffled))} are on "
            f"disk, in random order. Take batches from {', '.join(map(repr, SHUFFLED_BEFORE))}; "
            "for a table of gradients take gradient='svrg' or 'control_variate'."
        )
    in_place = SHUFFLED_BEFORE[scheme.name]
    groups = tuple(group in shuffled for group in range(len(row_model.groups)))
    return in_place(groups, by_regions=not isinstance(rule, TestedRule))
