"""`row_model`: read a model, push its rows, check the cost, assemble the result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from pymc_sgld.model_graph import (
    parameter_checks,
    rules_elementwise,  # noqa: F401  (importing registers the rules)
    rules_indexing,  # noqa: F401
    rules_linalg,  # noqa: F401
    rules_shape,  # noqa: F401
)
from pymc_sgld.model_graph.assignment import (
    MAX_FULL,
    Candidate,
    RowsArgument,
    candidates,
    check_rows_argument,
)
from pymc_sgld.model_graph.errors import CannotTakeRows, RowError
from pymc_sgld.model_graph.evaluation import Evaluator
from pymc_sgld.model_graph.factors import Factors, Observed, draw_of, minibatch_nodes, read_factors
from pymc_sgld.model_graph.finite import refuse_nonfinite
from pymc_sgld.model_graph.imputed import without_long_data
from pymc_sgld.model_graph.named_dims import shaped_like
from pymc_sgld.model_graph.potentials import split_sums
from pymc_sgld.model_graph.push import Pusher, RowGroup, deep_recursion
from pymc_sgld.model_graph.residual import fold, rebuild, refuse_whole_rows
from pymc_sgld.model_graph.row_model import RowModel, RowTerm


@dataclass
class _Draft:
    """What has been decided so far."""

    pusher: Pusher
    potentials: set[str]
    terms: list[RowTerm] = field(default_factory=list)
    whole: list[tuple[str, Variable]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def row_model(
    model: pm.Model | None = None,
    *,
    rows: RowsArgument = "auto",
    max_full: int = MAX_FULL,
    allow_full_terms: bool = False,
) -> RowModel:
    """Split a model's log-density into a prior and terms that are sums over data rows.

    Parameters
    ----------
    model : pm.Model, optional
        The model of the context if not given.
    rows : str or dict, default "auto"
        Which axis of each observed variable holds the rows: ``"auto"``, the name of a
        dimension, or a mapping from observed name to axis, or to None to keep that
        variable whole at every step.
    max_full : int, default 32
        Observed variables with at most this many rows are kept whole, unless all are.
    allow_full_terms : bool, default False
        Accept terms that are exact but cost O(N) at every step.

    Returns
    -------
    RowModel

    Raises
    ------
    RowError
        If the model cannot be split; the message names the variable and says why.
    """
    model = pm.modelcontext(model)
    factors = read_factors(model)
    check_rows_argument(rows, model, factors.observed)
    point = model.initial_point(random_seed=0)
    values = {v: np.asarray(point[v.name]) for v in model.value_vars}
    draft = _Draft(
        Pusher(Evaluator(values), set(model.value_vars)), {name for name, _ in factors.potentials}
    )
    with deep_recursion():
        _split_observed(draft, factors, rows, max_full)
        draft.whole.extend(
            (name, without_long_data(name, logp, draft.pusher)) for name, logp in factors.free
        )
        _split_potentials(draft, factors, max_full)
        if not draft.terms:
            raise _nothing_to_minibatch(factors, draft)
        result = _assemble(model, draft, values, allow_full_terms)
    refuse_nonfinite(result)
    return result


def _split_observed(draft: _Draft, factors: Factors, rows: RowsArgument, max_full: int) -> None:
    evaluator = draft.pusher.evaluator
    plans: list[tuple[Observed, list[Candidate] | None]] = []
    for observed in factors.observed:
        if observed.logp.type.ndim == 0 and _length(observed, evaluator) <= max_full:
            plans.append((observed, None))
            continue
        plans.append((observed, candidates(observed, rows, evaluator, max_full)))
    longest = max((p[0].total_size for _, p in plans if p), default=0)
    for observed, plan in plans:
        explicit = rows != "auto" and (isinstance(rows, str) or observed.name in rows)
        if plan is None:
            draft.whole.append((observed.name, observed.logp))
            draft.notes.append(f"'{observed.name}' is evaluated in full at every step")
        elif plan[0].total_size <= max_full < longest and not explicit:
            draft.whole.append((observed.name, observed.logp))
            draft.notes.append(
                f"'{observed.name}' has {plan[0].total_size} rows only and is evaluated in full"
            )
        else:
            draft.terms.append(_push_observed(draft.pusher, observed, plan))


def _length(observed: Observed, evaluator: Evaluator) -> int:
    return max(evaluator.shape(observed.value), default=1)


def _push_observed(pusher: Pusher, observed: Observed, plan: list[Candidate]) -> RowTerm:
    """Push along the first axis that works; report the failure along the preferred one."""
    failure: CannotTakeRows | None = None
    for candidate in plan:
        try:
            return _push(pusher, observed, candidate)
        except CannotTakeRows as error:
            failure = failure or error
    name, axis = observed.name, plan[0].axis
    has_others = observed.logp.type.ndim > 1
    other = f"rows={{'{name}': <axis>}} if rows are on another axis, " if has_others else ""
    raise RowError(
        f"Cannot minibatch '{name}' along axis {axis}: {failure}. "
        f"Pass {other}rows={{'{name}': None}} to evaluate it in full at every step, "
        "or use pm.sample() (NUTS)."
    )


def _push(pusher: Pusher, observed: Observed, candidate: Candidate) -> RowTerm:
    draw = None if observed.minibatch is None else draw_of(observed.minibatch)
    group = pusher.group_index(candidate.group, candidate.total_size, draw)
    request = pusher.rows(group, minibatch=observed.minibatch, length=candidate.length)
    taken = request.take_full(observed.logp, candidate.axis)
    return RowTerm(observed.name, group, _one_number_per_row(taken, candidate.axis))


def _one_number_per_row(taken: Variable, axis: int) -> Variable:
    others = [i for i in range(taken.type.ndim) if i != axis]
    return taken.sum(axis=others) if others else taken


def _split_potentials(draft: _Draft, factors: Factors, max_full: int) -> None:
    for name, potential in factors.potentials:
        if minibatch_nodes([potential]):
            raise RowError(
                f"Potential '{name}' is written on a pm.Minibatch, which PyMC does not rescale. "
                "Write it on the full data: row_model draws the rows by itself."
            )
        for part in split_sums(potential):
            term = _push_potential(draft, name, part, max_full)
            if term is None:
                draft.whole.append((name, part))
            else:
                draft.terms.append(term)


def _push_potential(draft: _Draft, name: str, part: Variable, max_full: int) -> RowTerm | None:
    """Return the potential's rows, or None where it is no sum over rows of known data."""
    pusher = draft.pusher
    if part.type.ndim == 0 or part.type.shape[0] == 1:
        return None
    length = pusher.evaluator.length(part, 0)
    # A potential on the full data cannot share the rows of a pm.Minibatch.
    same = [
        i
        for i, group in enumerate(pusher.groups)
        if group.total_size == length and pusher.draws[i] is None
    ]
    if not same and pusher.groups and length <= max_full:
        return None
    group = same[0] if same else pusher.group_index(f"rows_{length}", length)
    try:
        taken = pusher.rows(group).take_full(part, 0)
    except CannotTakeRows as error:
        draft.notes.append(f"potential '{name}' is no sum over rows: {error}")
        return None
    blocks = {leaf.block for leaf in pusher.leaves}
    if blocks.isdisjoint(ancestors([taken])):
        return None
    return RowTerm(name, group, _one_number_per_row(taken, 0))


def _nothing_to_minibatch(factors: Factors, draft: _Draft) -> RowError:
    reasons = "; ".join(draft.notes) or "no potential is a sum over rows of data"
    names = [o.name for o in factors.observed]
    hint = (
        f"Pass rows={{'{names[0]}': 0}} to split it" if names else "Write the potential as a vector"
    )
    return RowError(f"Nothing to minibatch: {reasons}. {hint}, or use pm.sample().")


def _assemble(
    model: pm.Model, draft: _Draft, values: dict[Variable, np.ndarray], allow_full: bool
) -> RowModel:
    pusher = draft.pusher
    parameters = set(values)
    whole = parameter_checks.checks_as_switches([v for _, v in draft.whole], pusher.evaluator)
    outputs = [*(term.logp for term in draft.terms), *(var.sum() for var in whole)]
    blocks = {leaf.block for leaf in pusher.leaves} | set(pusher.counts)
    try:
        outputs, origin = fold(outputs, parameters, blocks, pusher.evaluator)
    except CannotTakeRows as error:
        raise RowError(f"Cannot minibatch {_term_names(draft)}: {error}.") from None
    if not allow_full:
        _refuse_costly(draft, outputs, parameters, blocks, origin)
    used = set(ancestors(outputs))
    leaves = [leaf for leaf in pusher.leaves if leaf.block in used]
    position = pt.vector("position", shape=(sum(v.size for v in values.values()),))
    slices = _slices(position, values)
    new: dict[Variable, Variable] = {
        var: shaped_like(part, var) for var, part in zip(values, slices, strict=True)
    }
    for group, count in enumerate(pusher.counts):
        own = [leaf for leaf in leaves if leaf.group == group]
        if own:
            new[count] = own[0].block.shape[0]
    outputs = rebuild(outputs, new)
    n_terms = len(draft.terms)
    groups, number = _used_groups(draft)
    return RowModel(
        model=model,
        value_vars=tuple(values),
        shapes=tuple(v.shape for v in values.values()),
        position=position,
        slices=tuple(slices),
        prior=pt.add(*outputs[n_terms:]) if len(outputs) > n_terms + 1 else outputs[n_terms],
        terms=tuple(
            RowTerm(t.name, number[t.group], out)
            for t, out in zip(draft.terms, outputs[:n_terms], strict=True)
        ),
        groups=groups,
        leaves=tuple(replace(leaf, group=number[leaf.group]) for leaf in leaves),
        notes=tuple(draft.notes),
        draws=tuple(pusher.draws[g] for g in number),
        evaluator=pusher.evaluator,
    )


def _term_names(draft: _Draft) -> str:
    return ", ".join(dict.fromkeys(f"'{t.name}'" for t in draft.terms))


def _refuse_costly(
    draft: _Draft,
    outputs: list[Variable],
    parameters: set[Variable],
    blocks: set[Variable],
    origin: dict[Variable, Variable],
) -> None:
    """Raise if a term or potential still holds an array with one entry per row."""
    evaluator = draft.pusher.evaluator
    lengths = {draft.pusher.groups[t.group].total_size for t in draft.terms}
    subjects = [f"Cannot minibatch '{term.name}'" for term in draft.terms]
    subjects += [
        f"Potential '{name}' cannot be split by rows" if name in draft.potentials else ""
        for name, _ in draft.whole
    ]
    for subject, out in zip(subjects, outputs, strict=True):
        try:
            if subject:
                refuse_whole_rows([out], parameters, blocks, lengths, evaluator, origin)
        except CannotTakeRows as error:
            raise RowError(f"{subject}: {error}.") from None


def _slices(position: Variable, values: dict[Variable, np.ndarray]) -> list[Variable]:
    """Return the parts of the position shaped as the value variables."""
    parts, start = [], 0
    for var, value in values.items():
        part = pt.cast(position[start : start + value.size], var.type.dtype)
        part = part[0] if value.ndim == 0 else part.reshape(value.shape)
        part.name = var.name
        parts.append(part)
        start += value.size
    return parts


def _used_groups(draft: _Draft) -> tuple[tuple[RowGroup, ...], dict[int, int]]:
    """Return the groups that terms belong to, and their new numbers."""
    used = sorted({term.group for term in draft.terms})
    return tuple(draft.pusher.groups[g] for g in used), {g: i for i, g in enumerate(used)}
