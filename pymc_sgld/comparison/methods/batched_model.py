"""An ordinary model as one on minibatches, for methods that know nothing of rows."""

import numpy as np
import pymc as pm
import pytensor

from pytensor.graph.replace import graph_replace

from pymc_sgld.model_graph import RowError, RowModel, read_rows


def rows_or_whole(model: pm.Model) -> RowModel:
    """Return a model by rows; as one whole where its rows cannot be taken apart."""
    try:
        return read_rows(model, allow_no_rows=True)
    except RowError:
        whole = {variable.name: None for variable in model.observed_RVs}
        return read_rows(model, rows=whole, allow_no_rows=True)


def batched_model(rows: RowModel, batch_size: int) -> pm.Model:
    r"""Return a model of one vector, whose log-density is estimated on random rows at each call.

    .. math:: \log p(\theta) + \sum_k \frac{N_k}{n_k} \sum_{i \in B_k} \log p(y_i \mid \theta)

    with the rows of each group k drawn by :func:`pymc.Minibatch`. The vector is the unconstrained
    position, as of :class:`pymc_sgld.RowModel`, with Jacobians in the prior; groups of no more than
    `batch_size` rows are read whole.

    Parameters
    ----------
    rows : RowModel
    batch_size : int
        Rows of each group.
    """
    start = rows.ravel(rows.model.initial_point())
    with pm.Model() as model:
        position = pm.Flat("position", shape=rows.n_dim, initval=start, dtype=str(start.dtype))
        replaced = {rows.position: rows.position.type.filter_variable(position)}
        factors = []
        for number, group in enumerate(rows.groups):
            leaves = [leaf for leaf in rows.leaves if leaf.group == number]
            size = min(batch_size, group.total_size)
            whole = [pytensor.shared(np.asarray(leaf.values()), borrow=True) for leaf in leaves]
            blocks = whole
            if size < group.total_size:
                drawn = pm.Minibatch(*whole, batch_size=size)
                blocks = drawn if len(whole) > 1 else [drawn]
            for leaf, block in zip(leaves, blocks, strict=True):
                replaced[leaf.block] = leaf.block.type.filter_variable(block)
            factors.append(group.total_size / size)
        density = rows.prior
        for term in rows.terms:
            density = density + factors[term.group] * term.logp.sum()
        pm.Potential("log_density", graph_replace(density, replaced, strict=False))
    return model
