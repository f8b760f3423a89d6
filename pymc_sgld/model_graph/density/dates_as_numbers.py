"""Refuse dates that became whole numbers on their way into a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm

from pytensor.graph.basic import Constant

from pymc_sgld.model_graph.rewrite.errors import DataError

_UNITS = {"ns": "nanoseconds", "us": "microseconds"}  # pandas' own; coarser ones could be counts
_EARLIEST, _LATEST = np.datetime64("1980-01-01"), np.datetime64("2100-01-01")


def refuse_dates(model: pm.Model) -> None:
    """Raise if observed values or a pm.Data are dates, by which a likelihood makes no sense.

    PyMC takes dates for numbers since 1970: whole numbers about 1e15 (microseconds) or 1e18
    (nanoseconds), all of which fall between 1980 and 2100. Other data are not like that.

    Raises
    ------
    DataError
    """
    observed = {rv.name: model.rvs_to_values[rv] for rv in model.observed_RVs}
    for name, variable in {**observed, **{one.name: one for one in model.data_vars}}.items():
        unit = _unit_of_dates(_values(variable))
        if unit:
            first = np.array(_values(variable).flat[0]).astype(f"datetime64[{unit}]")
            raise DataError(
                f"'{name}' holds dates, the first of them {np.datetime_as_string(first, 'D')}, "
                f"which have become {_UNITS[unit]} since 1970. Write numbers of a size that suits "
                "the priors, such as days since the first: "
                "(dates - dates.min()) / np.timedelta64(1, 'D')."
            )


def _values(variable: Any) -> np.ndarray:
    """Return the numbers of a constant or of shared data; none of what a graph makes."""
    if isinstance(variable, Constant):
        return np.asarray(variable.data) if variable.type.numpy_dtype.kind in "if" else np.empty(0)
    get_value = getattr(variable, "get_value", None)
    return np.empty(0) if get_value is None else np.asarray(get_value(borrow=True))


def _unit_of_dates(values: np.ndarray) -> str:
    if values.size == 0 or values.dtype.kind not in "if":
        return ""
    for unit in _UNITS:
        first, last = (
            one.astype(f"datetime64[{unit}]").astype(int) for one in (_EARLIEST, _LATEST)
        )
        if first <= values.flat[0] <= last:
            # a whole array is read only where its first entry looks like a date
            return unit if ((first <= values) & (values <= last)).all() else ""
    return ""
