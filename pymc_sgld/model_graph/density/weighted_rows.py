"""A factor for each row, for batches in which some rows come more often than others."""

from dataclasses import replace

import numpy as np
import pytensor.tensor as pt

from pymc_sgld.model_graph.density.row_density import RowLeaf
from pymc_sgld.model_graph.density.row_model import RowModel


def with_row_weights(row_model: RowModel) -> RowModel:
    """Return the model with a factor on each row's log-likelihood; in the full data it is one.

    The weights of each group are the last of its leaves. A source of batches that draws row i with
    probability p_i puts 1 / (N p_i) there, and the gradient of a batch stays unbiased.

    Parameters
    ----------
    row_model : RowModel
    """
    dtype = row_model.position.type.dtype
    leaves = [
        RowLeaf(
            name=f"weights of {group.name}",
            group=number,
            block=pt.tensor(f"weights_{group.name}", shape=(None,), dtype=dtype),
            total_size=group.total_size,
            derived=np.ones(group.total_size, dtype),
        )
        for number, group in enumerate(row_model.groups)
    ]
    terms = [replace(term, logp=leaves[term.group].block * term.logp) for term in row_model.terms]
    return replace(row_model, terms=tuple(terms), leaves=(*row_model.leaves, *leaves), _compiled={})
