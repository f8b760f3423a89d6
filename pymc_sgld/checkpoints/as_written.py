"""Points as the model has them: constrained variables and deterministics."""

from collections.abc import Callable, Sequence

import numpy as np
import pymc as pm

from pymc_sgld.types import Array, Point


class AsWritten:
    """The variables of a model that are not value variables, of a point.

    Parameters
    ----------
    model : pm.Model
    var_names : sequence of str, optional
        Those to keep. Default: all.
    """

    def __init__(self, model: pm.Model, var_names: Sequence[str] | None) -> None:
        kept = model.unobserved_RVs
        if var_names is not None:
            kept = [variable for variable in kept if variable.name in set(var_names)]
        values = {value.name for value in model.value_vars}
        self.kept = [str(variable.name) for variable in kept]
        self.names = [name for name in self.kept if name not in values]
        self._function: Callable[[Point], Sequence[Array]] | None = None
        if self.names:
            wanted = [variable for variable in kept if variable.name in self.names]
            self._function = model.compile_fn(
                model.replace_rvs_by_values(wanted),
                inputs=model.value_vars,
                on_unused_input="ignore",
            )

    def __call__(self, point: Point) -> dict[str, Array]:
        """Return the variables by name."""
        if self._function is None:
            return {}
        return dict(zip(self.names, map(np.asarray, self._function(point)), strict=True))

    def all_of(self, point: Point) -> dict[str, Array]:
        """Return every variable that is kept, by name."""
        computed = self(point)
        return {name: computed[name] if name in computed else point[name] for name in self.kept}
