"""Priors that read few rows of long data, such as those of missing values."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.sparse.type import SparseTensorType
from pytensor.tensor.type import TensorType

from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows
from pymc_sgld.model_graph.rewrite.fold_and_cost import rebuild
from pymc_sgld.model_graph.rewrite.take_rows import RowRewriter


def without_long_data(name: str, logp: Variable, rewriter: RowRewriter) -> Variable:
    """Return a prior that reads only the rows it needs, where it would read all.

    PyMC writes the prior of missing values as ``logp(mu[missing])`` with `mu` evaluated for
    all N rows. Its entries are pushed like rows, with all of them in one fixed block.

    Parameters
    ----------
    name : str
        Name of the free variable.
    logp : TensorVariable
        Its elementwise log-density.
    rewriter : RowRewriter
        The main rewrite, for its parameters and its evaluator.

    Returns
    -------
    TensorVariable
        `logp` itself where it reads no long data or its entries cannot be separated.
    """
    if logp.type.ndim == 0:
        return logp
    n_entries = rewriter.evaluator.length(logp, 0)
    if not _reads_longer(logp, n_entries):
        return logp
    own = RowRewriter(rewriter.evaluator, rewriter.parameters)
    group = own.group_index(name, n_entries)
    try:
        taken = own.rows(group, keep_parameters=True).take_full(logp, 0)
    except CannotTakeRows:
        return logp
    if any(isinstance(leaf.block.type, SparseTensorType) for leaf in own.leaves):
        return logp
    fixed: dict[Variable, Variable] = {
        leaf.block: pt.constant(np.ascontiguousarray(leaf.values())) for leaf in own.leaves
    }
    fixed[own.counts[group]] = pt.constant(n_entries, dtype="int64")
    return rebuild([taken], fixed)[0]


def _reads_longer(logp: Variable, length: int) -> bool:
    """Whether data with an axis longer than `length` enter an expression."""
    for var in ancestors([logp]):
        if not isinstance(var, Constant | SharedVariable) or not isinstance(var.type, TensorType):
            continue
        value = var.data if isinstance(var, Constant) else var.get_value(borrow=True)
        if max(np.shape(value), default=0) > length:
            return True
    return False
