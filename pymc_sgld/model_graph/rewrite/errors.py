"""The two exceptions of the row rewrite: one for users, one for the rules."""

from __future__ import annotations


class RowError(ValueError):
    """A model, or a part of it, cannot be evaluated on a batch of rows.

    The message names the variable, says why, and ends with what to write instead.
    """


class DataError(RowError):
    """Data that no sampler can do with, on whatever rows it steps."""


class NotFiniteError(DataError):
    """The log-density of a model is not finite, whatever the parameters: its data, or a prior."""


class CannotTakeRows(Exception):
    """Raised by a row rule: the reason why rows cannot be requested of an expression.

    Never leaves the package. `row_model` turns it into a `RowError` that names the
    observed variable, or keeps the expression whole where that is exact and cheap.
    """
