"""A step method has read the data of its model when it was made: they may not change after."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pymc as pm

from pytensor.compile.sharedvalue import SharedVariable


class DataAsRead(NamedTuple):
    """The `pm.Data` of a model, and the arrays that they held.

    The arrays are those of the variables themselves, not copies: `pm.set_data` puts others in their
    place.
    """

    variables: Sequence[SharedVariable]
    arrays: Sequence[Any]

    @classmethod
    def of(cls, model: pm.Model) -> Self:
        """Remember what the data of a model hold now."""
        variables = [var for var in model.data_vars if isinstance(var, SharedVariable)]
        return cls(variables, [var.get_value(borrow=True) for var in variables])

    def refuse_change(self, sampler: str) -> None:
        """Raise if any of them holds something else by now.

        Raises
        ------
        ValueError
            Names the data.
        """
        for variable, before in zip(self.variables, self.arrays, strict=True):
            now = variable.get_value(borrow=True)
            if now is before or _same(now, before):
                continue
            raise ValueError(
                f"The data {variable.name!r} were changed (pm.set_data) after the step method "
                f"{sampler!r} was made, which has read them as they were. Make it after "
                "pm.set_data, or use psg.sample, which makes its own."
            )


def _same(now: Any, before: Any) -> bool:
    if not (isinstance(now, np.ndarray) and isinstance(before, np.ndarray)):
        return False  # a sparse matrix: of the same numbers it is taken for another
    return np.array_equal(now, before, equal_nan=now.dtype.kind == before.dtype.kind == "f")
