"""Row rule of `Scan`: a loop over time whose step treats the rows as a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytensor

from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.scan.op import Scan
from pytensor.tensor.subtensor import IncSubtensor, Subtensor
from pytensor.tensor.type import TensorType

from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows
from pymc_sgld.model_graph.rewrite.fold_and_cost import rebuild
from pymc_sgld.model_graph.rewrite.naming import names_below
from pymc_sgld.model_graph.rewrite.take_rows import RowRequest, register_row_rule


@register_row_rule(Scan)
def rows_of_scan(op: Scan, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Take rows of the step: of its sequences, initial states and constants."""
    if axis == 0:
        raise CannotTakeRows(
            f"a loop (Scan) of {names_below(node.outputs[output])} runs over the rows, each step "
            "from the one before. Write it as one series per row with the time on another axis, "
            "or in state-space form"
        )
    info = op.info
    if info.n_mit_mot or info.n_untraced_sit_sot or info.as_while:
        raise CannotTakeRows(
            f"a loop (Scan) of {names_below(node.outputs[output])} has random draws or a stopping "
            "condition, so its rows cannot be taken apart. Write it with a fixed number of steps"
        )
    return _Loop(op, node, rows).rows_of(output, axis - 1)


@dataclass
class _State:
    """A quantity carried from step to step."""

    taps: tuple[int, ...]
    inputs: list[Variable]
    buffer: Variable
    axis: int | None = None  # of the rows in one step; None where the state has no rows


@dataclass
class _Fed:
    """What an input of the step is fed from outside the loop."""

    outer: Variable
    is_sequence: bool


@dataclass
class _Call:
    """Arguments of the new loop: what each variable of its step stands for."""

    sequences: list[tuple[Variable, Variable]] = field(default_factory=list)
    states: list[tuple[int, list[Variable]]] = field(default_factory=list)
    constants: list[tuple[Variable, Variable]] = field(default_factory=list)


class _Loop:
    """The step of one loop on fresh variables, and the rows requested of them so far."""

    def __init__(self, op: Scan, node: Apply, rows: RowRequest) -> None:
        self.op, self.node, self.rows = op, node, rows
        inputs: list[Variable] = [v.type() for v in op.fgraph.inputs]
        self.outputs = op.fgraph.bind(dict(zip(op.fgraph.inputs, inputs, strict=True)))
        self.states = self._read_states(inputs)
        self.fed: dict[Variable, _Fed] = {}
        outer = node.inputs
        for inner, out in zip(op.inner_seqs(inputs), op.outer_seqs(outer), strict=True):
            self.fed[inner] = _Fed(out, True)
        for inner, out in zip(op.inner_non_seqs(inputs), op.outer_non_seqs(outer), strict=True):
            self.fed[inner] = _Fed(out, False)
        self.state_of = {v: k for k, state in enumerate(self.states) for v in state.inputs}
        self.by_rows: dict[Variable, tuple[Variable, Variable]] = {}
        self.state_rows: dict[Variable, Variable] = {}
        self.taken: dict[int, Variable] = {}
        for inner in inputs:
            self._make_known(inner)

    def _read_states(self, inputs: list[Variable]) -> list[_State]:
        op, outer = self.op, self.node.inputs
        states = [
            _State(tuple(taps), list(inner), buffer)
            for taps, inner, buffer in zip(
                op.info.mit_sot_in_slices,
                op.inner_mitsot_grouped(inputs),
                op.outer_mitsot(outer),
                strict=True,
            )
        ]
        singles = zip(op.inner_sitsot(inputs), op.outer_sitsot(outer), strict=True)
        return states + [_State((-1,), [inner], buffer) for inner, buffer in singles]

    def _make_known(self, inner: Variable) -> None:
        """Let shapes of the step be evaluated, and rows of its inputs be requested."""
        evaluator, rewriter = self.rows.evaluator, self.rows.rewriter
        if inner in self.state_of:
            outer, over_time = self.states[self.state_of[inner]].buffer, True
        else:
            outer, over_time = self.fed[inner].outer, self.fed[inner].is_sequence
            inner.name = outer.name
        if isinstance(inner.type, TensorType):
            shape = evaluator.shape(outer)[1 if over_time else 0 :]
            evaluator.point[inner] = np.zeros(shape, dtype=inner.type.dtype)
        rewriter.stand_ins[inner] = self._rows_of_input

    def _rows_of_input(self, inner: Variable, axis: int, request: RowRequest) -> Variable:
        """Return the stand-in for rows of an input of the step."""
        if inner in self.state_of:
            return self._rows_of_state(inner, axis, request)
        fed = self.fed[inner]
        outer = request.take_full(fed.outer, axis + fed.is_sequence)
        shape = outer.type.shape[1:] if fed.is_sequence else outer.type.shape
        stand_in = TensorType(inner.type.dtype, shape=shape)()
        self.by_rows[stand_in] = (inner, outer)
        return stand_in

    def _rows_of_state(self, inner: Variable, axis: int, request: RowRequest) -> Variable:
        state = self.states[self.state_of[inner]]
        if request.key != self.rows.key or state.axis not in (None, axis):
            raise self._refuse()
        state.axis = axis
        shape = [None if i == axis else n for i, n in enumerate(inner.type.shape)]
        stand_in = TensorType(inner.type.dtype, shape=shape)()
        self.state_rows[inner] = stand_in
        return stand_in

    def _refuse(self) -> CannotTakeRows:
        return CannotTakeRows(
            f"a loop (Scan) of {names_below(self.node.outputs[0])} mixes rows: a step reads other "
            "rows of the state than its own"
        )

    def rows_of(self, output: int, axis: int) -> Variable:
        """Return rows of one output of the loop, along an axis of its step."""
        if output < len(self.states):
            self.states[output].axis = axis
        else:
            self.taken[output] = self.rows.take_full(self.outputs[output], axis)
        while missing := self._missing_states():
            for k in missing:
                own = self.states[k].axis
                step = self.outputs[k]
                self.taken[k] = step if own is None else self.rows.take_full(step, own)
        leaves = [v for v in ancestors(list(self.taken.values())) if v.owner is None]
        used = list(dict.fromkeys(leaves))
        if any(self.states[k].axis is not None and v in used for v, k in self.state_of.items()):
            raise self._refuse()
        return self._rebuilt(used, output)

    def _missing_states(self) -> list[int]:
        used = set(ancestors(list(self.taken.values())))
        return [
            k
            for k, state in enumerate(self.states)
            if k not in self.taken and (state.axis is not None or not used.isdisjoint(state.inputs))
        ]

    def _rebuilt(self, used: list[Variable], output: int) -> Variable:
        call = _Call()
        for v in used:
            if v in self.fed or v in self.by_rows:
                inner, outer = self.by_rows.get(v, (v, None))
                fed = self.fed[inner]
                pair = (v, fed.outer if outer is None else outer)
                (call.sequences if fed.is_sequence else call.constants).append(pair)
            elif not (isinstance(v, Constant) or self._is_state_input(v)):
                call.constants.append((v, v))
        order = sorted(self.taken)
        for k in order:
            if k < len(self.states):
                inputs = self.states[k].inputs
                call.states.append((k, [self.state_rows.get(v, v) for v in inputs]))
        results = pytensor.scan(
            lambda *arguments: self._step(call, order, arguments),
            sequences=[outer for _, outer in call.sequences],
            outputs_info=[self._initial(k) for k in order],
            non_sequences=[outer for _, outer in call.constants],
            n_steps=self.node.inputs[0],
            truncate_gradient=self.op.truncate_gradient,
            strict=True,
            return_list=True,
            return_updates=False,
        )
        return self._with_initial(results[order.index(output)], output)

    def _is_state_input(self, var: Variable) -> bool:
        return var in self.state_of or var in self.state_rows.values()

    def _step(self, call: _Call, order: list[int], arguments: tuple[Any, ...]) -> list[Variable]:
        names = [v for v, _ in call.sequences]
        names += [v for _, inputs in call.states for v in inputs]
        names += [v for v, _ in call.constants]
        new = dict(zip(names, arguments, strict=True))
        return rebuild([self.taken[k] for k in order], new)

    def _initial(self, k: int) -> dict[str, Any] | None:
        if k >= len(self.states):
            return None
        state = self.states[k]
        first = _first_entries(state.buffer, -min(state.taps))
        if state.axis is not None:
            first = self.rows.take_full(first, state.axis + 1)
        initial = first[0] if state.taps == (-1,) else first
        return {"initial": initial, "taps": list(state.taps)}

    def _with_initial(self, result: Variable, output: int) -> Variable:
        """Return the whole history of a state, which the loop's own output holds."""
        node = result.owner
        if output < len(self.states) and node is not None and isinstance(node.op, Subtensor):
            return node.inputs[0]
        return result


def _first_entries(buffer: Variable, length: int) -> Variable:
    """Return the initial values in the memory of a state: those set, or its first entries."""
    node = buffer.owner
    if node is not None and isinstance(node.op, IncSubtensor) and node.op.set_instead_of_inc:
        given = node.inputs[1]
        if given.type.ndim == buffer.type.ndim and given.type.shape[0] == length:
            return given
    return buffer[:length]
