"""Numbers out of the model graph at build time: shapes, folded constants, derived leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.shape import Shape, Shape_i

from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows
from pymc_sgld.model_graph.rewrite.private_api import MinibatchOp, RandomVariable


class Evaluator:
    """Evaluates expressions once, with the free variables at the model's initial point.

    Parameters
    ----------
    point : dict
        Value variable of the model to its initial value. Only *shapes* of expressions of
        these may be evaluated: `is_data` says which expressions qualify.

    Notes
    -----
    Evaluation uses the unoptimised Python linker: the graphs are small, run once, and
    rewriting them would cost more than it saves.
    """

    def __init__(self, point: dict[Variable, np.ndarray]) -> None:
        self.point = dict(point)
        self.frozen: dict[SharedVariable, Any] = {}
        self._facts: dict[Variable, tuple[bool, bool]] = {}
        self._shapes: dict[Variable, tuple[int, ...]] = {}

    def is_data(self, var: Variable) -> bool:
        """Whether the values of `var` depend on data alone (shapes of parameters are data)."""
        return not self._classify(var)[0]

    def has_minibatch(self, var: Variable) -> bool:
        """Whether `var` depends on `pm.Minibatch`, be it only through a shape."""
        return self._classify(var)[1]

    def _classify(self, var: Variable) -> tuple[bool, bool]:
        """Return (depends on a parameter or random draw, depends on a Minibatch)."""
        stack = [var]
        while stack:
            current = stack[-1]
            if current in self._facts:
                stack.pop()
                continue
            node = current.owner
            if node is None:
                known = isinstance(current, Constant | SharedVariable)
                self._facts[current] = (not known, False)
                stack.pop()
                continue
            missing = [v for v in node.inputs if v not in self._facts]
            if missing:
                stack.extend(missing)
                continue
            facts = [self._facts[v] for v in node.inputs]
            live = any(f[0] for f in facts) and not isinstance(node.op, Shape | Shape_i)
            batch = any(f[1] for f in facts)
            if isinstance(node.op, MinibatchOp):
                live, batch = True, True
            elif isinstance(node.op, RandomVariable):
                live = True
            self._facts[current] = (live, batch)
            stack.pop()
        return self._facts[var]

    def values(self, variables: Sequence[Variable]) -> list[Any]:
        """Evaluate expressions at the initial point and remember the data they used."""
        if not variables:
            return []
        self._freeze(variables)
        inputs = {v for v in ancestors(variables) if v.owner is None and v in self.point}
        givens = [(v, self.point[v]) for v in inputs]
        function = compile_function(
            [v for v, _ in givens],
            list(variables),
            mode=Mode(linker="py", optimizer=None),
        )
        return [
            np.asarray(out) if not hasattr(out, "format") else out
            for out in function(*(value for _, value in givens))
        ]

    def shape(self, var: Variable) -> tuple[int, ...]:
        """Return the numeric shape of `var`, from its type where that is known."""
        static = var.type.shape
        if all(length is not None for length in static):
            return tuple(static)
        if var not in self._shapes:
            if isinstance(var, SharedVariable):
                result = tuple(var.get_value(borrow=True).shape)
                self.frozen.setdefault(var, result)
            elif var in self.point:
                result = self.point[var].shape
            else:
                result = tuple(int(n) for n in self.values([var.shape])[0])
            self._shapes[var] = result
        return self._shapes[var]

    def length(self, var: Variable, axis: int) -> int:
        """Return the numeric length of one axis of `var`."""
        static = var.type.shape[axis]
        return int(static) if static is not None else self.shape(var)[axis]

    def array(self, var: Variable) -> np.ndarray:
        """Evaluate one data-only expression."""
        if not self.is_data(var):
            raise CannotTakeRows("a number that depends on a parameter is needed")
        return np.asarray(self.values([var])[0])

    def _freeze(self, variables: Sequence[Variable]) -> None:
        """Remember which shared arrays have been read: their values, or their shape only."""
        through_values: set[Variable] = set()
        stack = list(variables)
        while stack:
            var = stack.pop()
            if var in through_values:
                continue
            through_values.add(var)
            if var.owner is not None and not isinstance(var.owner.op, Shape | Shape_i):
                stack.extend(var.owner.inputs)
        for var in ancestors(variables):
            if not isinstance(var, SharedVariable) or not hasattr(var.type, "shape"):
                continue
            value = var.get_value(borrow=True)
            if var in through_values:
                self.frozen[var] = value
            else:
                self.frozen.setdefault(var, tuple(value.shape))

    def stale(self) -> list[str]:
        """Return the names of shared arrays that changed since they were read."""
        changed = []
        for var, seen in self.frozen.items():
            now = var.get_value(borrow=True)
            same = tuple(now.shape) == seen if isinstance(seen, tuple) else now is seen
            if not same:
                changed.append(var.name or "an unnamed shared array")
        return changed
