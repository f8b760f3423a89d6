"""Which factor of a model is not finite, in which row, and what is allowed there.

Found before anything is chosen, compiled or handed to another sampler: the log-density of each
factor is evaluated by numpy, as it is written, at the model's initial point and near it. What is
not finite at any of the points is no matter of a start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from pymc_sgld.model_graph.density.by_numpy import numpy_function, takes_long_by_numpy, value_of
from pymc_sgld.model_graph.density.dates_as_numbers import refuse_dates
from pymc_sgld.model_graph.rewrite.errors import NotFiniteError
from pymc_sgld.model_graph.rewrite.named_dims import lowered
from pymc_sgld.model_graph.rewrite.naming import name_of
from pymc_sgld.model_graph.rewrite.private_api import ParameterValueError, PartialObservedRV
from pymc_sgld.types import Point
from pymc_sgld.validate import and_more

# Points ever nearer to the initial one.
_N_POINTS, _WIDEST, _NEARER = 10, 0.3, 0.4
_HUGE = 1e100  # squares of larger numbers leave what floats can hold within a few operations

ALLOWED = {
    "bernoulli": "0 or 1",
    "beta": "numbers in (0, 1)",
    "binomial": "whole numbers from 0 to n",
    "beta_binomial": "whole numbers from 0 to n",
    "categorical": "whole numbers from 0 to the number of categories less one",
    "chisquare": "numbers > 0",
    "dirichlet": "positive numbers that add up to 1",
    "exponential": "numbers >= 0",
    "gamma": "numbers > 0",
    "geometric": "whole numbers >= 1",
    "halfcauchy": "numbers >= 0",
    "halfnormal": "numbers >= 0",
    "halfstudentt": "numbers >= 0",
    "inverse_gamma": "numbers > 0",
    "invgamma": "numbers > 0",
    "lognormal": "numbers > 0",
    "multinomial": "whole numbers >= 0 that add up to n",
    "negative_binomial": "whole numbers >= 0",
    "nbinom": "whole numbers >= 0",
    "pareto": "numbers >= m",
    "poisson": "whole numbers >= 0",
    "truncated_normal": "numbers within its bounds",
    "uniform": "numbers within its bounds",
    "wald": "numbers > 0",
    "weibull": "numbers > 0",
}


def refuse_nonfinite_model(model: pm.Model) -> None:
    """Raise if a factor of a model is finite neither at its initial point nor near it.

    Costs two evaluations of the log-density where all is well. Graphs with loops, which numpy
    takes a long time over, are left to the identity check.

    Raises
    ------
    DataError
        Where data are dates that have become numbers.
    NotFiniteError
        Names the factor, the first row and its value, what is allowed, and what to write.
    """
    refuse_dates(model)
    factors = _Factors(model)
    if factors.are_slow:
        return
    start, near = factors.points(2)
    if factors.are_finite(start) and factors.are_finite(near):
        return
    explain_nonfinite(model)


def explain_nonfinite(model: pm.Model) -> None:
    """Raise what :func:`refuse_nonfinite_model` does, if some factor is not finite anywhere."""
    factors = _Factors(model)
    start, *near = factors.points(_N_POINTS)
    for number, variable in enumerate(factors.variables):
        everywhere: Any = None
        for point in near:
            wrong = factors.wrong_entries(number, point)
            everywhere = wrong if everywhere is None else everywhere & wrong
            if not np.any(everywhere):
                break
        else:
            raise NotFiniteError(_Fault(factors, variable, number, everywhere, start).message())


class _Factors:
    """The log-densities of a model's variables and potentials, by entry, with no scaling."""

    def __init__(self, model: pm.Model) -> None:
        self.model = model
        self.variables = [*model.free_RVs, *model.observed_RVs, *model.potentials]
        graphs = model.logp(vars=self.variables, sum=False) if self.variables else []
        self.graphs = lowered([pt.as_tensor(g, allow_xtensor_conversion=True) for g in graphs])
        self.inputs = list(model.value_vars)
        self._functions: dict[int, Any] = {}
        self._whole: Any = None

    @property
    def are_slow(self) -> bool:
        """Whether numpy takes long over them: they have loops, over much data."""
        return takes_long_by_numpy(self.graphs)

    def points(self, count: int) -> list[Point]:
        """Return the initial point and others ever nearer to it."""
        start = self.model.initial_point(random_seed=0)
        generator = np.random.default_rng(0)
        found = [start]
        for attempt in range(count - 1):
            scale = _WIDEST * _NEARER**attempt
            moved = {}
            for name, value in start.items():
                kind = np.asarray(value).dtype.kind
                offset = scale * generator.normal(size=np.shape(value)) if kind == "f" else 0
                moved[name] = np.asarray(value + offset, dtype=np.asarray(value).dtype)
            found.append(moved)
        return found

    def are_finite(self, point: Point) -> bool:
        """Whether all factors are finite at a point."""
        if self._whole is None:
            self._whole = numpy_function(self.inputs, self.graphs)
        try:
            with np.errstate(all="ignore"):
                found = self._whole(**{name: point[name] for name in self._names})
        except ParameterValueError:
            return False
        except NotImplementedError:  # sums of more terms than numpy takes at once
            return True
        return all(np.isfinite(value).all() for value in found)

    def wrong_entries(self, number: int, point: Point) -> Any:
        """Return which entries of a factor are not finite; True where that is all of it."""
        value = self.value(number, point)
        return True if isinstance(value, ParameterValueError) else ~np.isfinite(value)

    def value(self, number: int, point: Point) -> Any:
        """Return a factor at a point, or PyMC's error about its parameters."""
        if number not in self._functions:
            self._functions[number] = numpy_function(self.inputs, [self.graphs[number]])
        values = self._evaluated(self._functions[number], point)
        return values if isinstance(values, Exception) else values[0]

    def evaluated(self, graphs: Sequence[Variable], point: Point) -> list[np.ndarray]:
        """Return other expressions of the model's variables at a point."""
        values = self.model.replace_rvs_by_values(list(graphs))
        values = [pt.as_tensor(value, allow_xtensor_conversion=True) for value in values]
        function = numpy_function(self.inputs, lowered(values))
        found = self._evaluated(function, point)
        return [] if isinstance(found, Exception) else [np.asarray(one) for one in found]

    @property
    def _names(self) -> list[str]:
        return [variable.name for variable in self.inputs]

    def _evaluated(self, function: Any, point: Point) -> Any:
        try:
            with np.errstate(all="ignore"):
                return function(**{name: point[name] for name in self._names})
        except ParameterValueError as error:
            return error


class _Fault:
    """One factor that is not finite, in words.

    Parameters
    ----------
    factors : _Factors
    variable : Variable
        The random variable or potential.
    number : int
        Of the factor.
    wrong : array of bool, or True
        Which of its entries are not finite at any of the points.
    point : dict
        The initial one.
    """

    def __init__(
        self, factors: _Factors, variable: Variable, number: int, wrong: Any, point: Point
    ) -> None:
        self.factors, self.variable, self.number = factors, variable, number
        self.model, self.point = factors.model, point
        self.name = str(variable.name)
        self.wrong = np.atleast_1d(wrong)
        self.first = tuple(int(i) for i in np.argwhere(self.wrong)[0])

    def message(self) -> str:
        """Return what is wrong, where, what is allowed, and what to write."""
        data = self._bad_data()
        if data:
            return data
        if self.variable in self.model.potentials:
            return (
                f"Potential '{self.name}' is {self._logp} at the initial point and wherever it was "
                "tried near it. Give the variables that it is made of an initval=... at which it "
                "is finite."
            )
        parameters = self._bad_parameters()
        if parameters:
            return parameters
        if self.variable in self.model.observed_RVs:
            return self._impossible()
        return (
            f"The prior of '{self.name}' ({self._kind}) has the log-density {self._logp} at the "
            f"initial point and wherever it was tried near it{self._with_parameters}. Give "
            f"'{self.name}' an initval=... inside of its support, or correct its parameters."
        )

    @property
    def _logp(self) -> str:
        value = self.factors.value(self.number, self.point)
        if isinstance(value, Exception):
            return "-inf"
        entry = np.atleast_1d(value)[self.first]
        return f"{entry:g}" if not np.isfinite(entry) else "not finite"

    @property
    def _kind(self) -> str:
        op = self.variable.owner.op
        printed = getattr(op, "_print_name", None)
        return str(printed[0]) if printed else type(op).__name__.removesuffix("RV")

    @property
    def _where(self) -> str:
        rows = self.wrong.reshape(len(self.wrong), -1).any(axis=1)
        if len(rows) == 1:
            return ""
        return f" in {int(rows.sum())} of {len(rows)} rows, the first of them row {self.first[0]}"

    def _bad_data(self) -> str:
        """Say which data hold NaN, or numbers whose squares are too large."""
        for kind, test in (("NaN", np.isnan), ("infinite", np.isinf)):
            for array, name in self._arrays():
                entries = test(array)
                if entries.any() and self._reaches(entries):
                    return _of_entries(name, entries, kind, self.name)
        for array, name in self._arrays():
            with np.errstate(invalid="ignore"):
                large = np.isfinite(array) & (np.abs(array) > _HUGE)
            if large.any():
                most = float(np.abs(array[large]).max())
                return (
                    f"The log-density of '{self.name}' overflows: {name} has entries up to "
                    f"{most:.0e}{self._where}. Divide its columns by their standard deviations."
                )
        return ""

    def _reaches(self, entries: np.ndarray) -> bool:
        """Whether entries of an array are in rows that are not finite."""
        if len(entries) != len(self.wrong):
            return True
        by_row = entries.reshape(len(entries), -1).any(axis=1)
        return bool((by_row & self.wrong.reshape(len(entries), -1).any(axis=1)).any())

    def _arrays(self) -> list[tuple[np.ndarray, str]]:
        """Return the arrays of floats that a factor is made of, with what they are called."""
        own = self.model.rvs_to_values.get(self.variable)
        found = []
        for leaf in ancestors([self.factors.graphs[self.number]]):
            value = value_of(leaf)
            value = value.data if hasattr(value, "indptr") else value
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim:
                called = f"'{self.name}'" if leaf is own else name_of(leaf)
                found.append((value, called))
        return found

    def _parameters(self) -> list[np.ndarray]:
        node = self.variable.owner
        if not hasattr(node.op, "dist_params") or isinstance(node.op, PartialObservedRV):
            return []
        given = [p for p in node.op.dist_params(node) if hasattr(p.type, "dtype")]
        return self.factors.evaluated(given, self.point)

    def _bad_parameters(self) -> str:
        error = self.factors.value(self.number, self.point)
        parameters = self._parameters()
        broken = [p for p in parameters if p.dtype.kind == "f" and np.isnan(p).any()]
        if not isinstance(error, Exception) and not broken:
            return ""
        needs = str(error).splitlines()[0] if isinstance(error, Exception) else "no NaN"
        return (
            f"The parameters of '{self.name}' ({self._kind}) are not allowed{self._with_parameters}"
            f": it needs {needs}. Correct them."
        )

    @property
    def _with_parameters(self) -> str:
        parameters = self._parameters()
        if not parameters:
            return ""
        words = [_shown(parameter) for parameter in parameters]
        if len(words) == 1:
            return f" (its parameter is {words[0]})"
        return f" (its parameters are {', '.join(words[:-1])} and {words[-1]})"

    def _impossible(self) -> str:
        """Say which observed value cannot be."""
        graph = self.model.rvs_to_values[self.variable]
        found = self.factors.evaluated([graph], self.point)
        value = ""
        if found:
            values = np.atleast_1d(found[0])
            at = self.first[: values.ndim]
            if all(i < n for i, n in zip(at, values.shape, strict=False)):
                value = f", where it is {_shown(values[at])}"
        allowed = ALLOWED.get(getattr(self.variable.owner.op, "name", None) or "")
        allows = f"{self._kind} " + (f"allows {allowed}" if allowed else "does not allow that")
        return (
            f"'{self.name}' is impossible under its distribution{self._where}{value}: {allows}"
            f"{self._with_parameters}. Correct or drop these rows, or take another distribution."
        )


def _of_entries(name: str, wrong: np.ndarray, kind: str, factor: str) -> str:
    row = int(np.argwhere(wrong)[0][0])
    return (
        f"{name} has {int(wrong.sum())} {kind} entries of {wrong.size}, the first in row {row}, "
        f"so that the log-density of '{factor}' is not finite. Drop these rows or impute the "
        "entries before building the model."
    )


def _shown(value: np.ndarray) -> str:
    """Return a number, or the first of several that differ."""
    array = np.asarray(value)
    array = array.reshape(()) if array.size == 1 else array
    if array.ndim == 0:
        return f"{array.item():.6g}" if array.dtype.kind in "fiu" else str(array.item())
    different = np.unique(array) if array.dtype.kind in "iu" else array.ravel()
    if array.size > 3:
        finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
        if not finite.size:
            return f"an array of {array.ravel()[0]}"
        return f"an array from {finite.min():.4g} to {finite.max():.4g}"
    return "[" + and_more((f"{one:.6g}" for one in different.tolist()), 3) + "]"
