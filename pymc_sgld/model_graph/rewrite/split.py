"""Split the factors of a model by rows: push, check the cost, assemble the density."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.type import TensorType

from pymc_sgld.model_graph.density.layout import Layout
from pymc_sgld.model_graph.density.row_density import (
    Folded,
    RowDensity,
    RowGroup,
    RowTerm,
    WholeTerm,
    row_term,
    slices_of,
)
from pymc_sgld.model_graph.rewrite import (
    parameter_checks,
    rules_elementwise,  # noqa: F401  (importing registers the rules)
    rules_indexing,  # noqa: F401
    rules_linalg,  # noqa: F401
    rules_random,  # noqa: F401
    rules_scan,  # noqa: F401
    rules_shape,  # noqa: F401
    streaming,
)
from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows, RowError
from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.factors import Factors, Observed, draw_of, minibatch_nodes
from pymc_sgld.model_graph.rewrite.fold_and_cost import RowAxes, fold, rebuild, refuse_whole_rows
from pymc_sgld.model_graph.rewrite.imputed import without_long_data
from pymc_sgld.model_graph.rewrite.named_dims import shaped_like
from pymc_sgld.model_graph.rewrite.naming import names_below, op_name
from pymc_sgld.model_graph.rewrite.potentials import split_sums
from pymc_sgld.model_graph.rewrite.row_axes import (
    MAX_FULL,
    Candidate,
    RowsArgument,
    candidates,
)
from pymc_sgld.model_graph.rewrite.streaming import TotalSize
from pymc_sgld.model_graph.rewrite.take_rows import RowRewriter, deep_recursion


@dataclass(frozen=True)
class Options:
    """What `row_model` was asked for."""

    rows: RowsArgument = "auto"
    total_size: TotalSize = None
    max_full: int = MAX_FULL
    allow_full_terms: bool = False
    allow_no_rows: bool = False


@dataclass
class Draft:
    """What has been decided so far."""

    rewriter: RowRewriter
    options: Options
    terms: list[RowTerm] = field(default_factory=list)
    whole: list[tuple[WholeTerm, Variable]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    jacobians: tuple[Variable, ...] = ()  # where they are kept out of the prior


def split(
    model: pm.Model,
    factors: Factors,
    values: dict[Variable, np.ndarray],
    options: Options,
    rewriter: RowRewriter | None = None,
) -> RowDensity:
    """Split factors by rows; their parameters are the keys of `values`.

    Parameters
    ----------
    model : pm.Model
    factors : Factors
    values : dict of Variable to ndarray
        The free variables that make up the position, with values to read shapes at.
    options : Options
    rewriter : RowRewriter, optional
        Another kind of rewrite than that of the data in the model.
    """
    if rewriter is None:
        rewriter = streaming.rewriter_for(model, values, factors, options.total_size)
    draft = Draft(rewriter, options, jacobians=factors.jacobians)
    with deep_recursion():
        split_observed(draft, factors)
        draft.whole.extend(
            (WholeTerm(name, "prior"), without_long_data(name, logp, draft.rewriter))
            for name, logp in factors.free
        )
        split_potentials(draft, factors)
        if not draft.terms and not options.allow_no_rows:
            raise _nothing_to_minibatch(factors, draft)
        return assemble(model, draft, values)


def split_observed(draft: Draft, factors: Factors) -> None:
    """Push every observed variable along its rows, or keep it whole."""
    evaluator, rows, max_full = draft.rewriter.evaluator, draft.options.rows, draft.options.max_full
    plans: list[tuple[Observed, list[Candidate] | None]] = []
    for observed in factors.observed:
        total_size = streaming.streamed_size(draft.rewriter, observed.name)
        if observed.logp.type.ndim == 0 and _length(observed, evaluator) <= max_full:
            plans.append((observed, None))
            continue
        plans.append((observed, candidates(observed, rows, evaluator, max_full, total_size)))
    for observed, plan in plans:
        if plan and plan[0].total_size == 0:
            raise RowError(
                f"'{observed.name}' has no rows: its data are empty. Give data of a row or more, "
                "or draw from the priors by pm.sample_prior_predictive()."
            )
    longest = max((p[0].total_size for _, p in plans if p), default=0)
    for observed, plan in plans:
        explicit = rows != "auto" and (isinstance(rows, str) or observed.name in rows)
        if plan is None:
            reason = "as rows= asks" if explicit else "it has no row dimension or few rows"
            draft.whole.append((_whole(observed, reason), observed.logp))
            draft.notes.append(f"'{observed.name}' is evaluated in full at every step")
        elif plan[0].total_size <= max_full < longest and not explicit:
            reason = f"{plan[0].total_size} rows only"
            draft.whole.append((_whole(observed, reason), observed.logp))
            draft.notes.append(
                f"'{observed.name}' has {plan[0].total_size} rows only and is evaluated in full"
            )
        else:
            draft.terms.append(_push_observed(draft.rewriter, observed, plan))


def _whole(observed: Observed, reason: str) -> WholeTerm:
    return WholeTerm(observed.name, "observed", reason, observed.logp)


def _length(observed: Observed, evaluator: Evaluator) -> int:
    return max(evaluator.shape(observed.value), default=1)


def _push_observed(rewriter: RowRewriter, observed: Observed, plan: list[Candidate]) -> RowTerm:
    """Push along the first axis that works; report the failure along the preferred one."""
    failure: CannotTakeRows | None = None
    for candidate in plan:
        try:
            return _push(rewriter, observed, candidate)
        except CannotTakeRows as error:
            failure = failure or error
    name, axis = observed.name, plan[0].axis
    if streaming.streamed_size(rewriter, name) is not None:
        raise RowError(f"Cannot stream '{name}' along axis {axis}: {failure}.")
    has_others = observed.logp.type.ndim > 1
    other = f"rows={{'{name}': <axis>}} if rows are on another axis, " if has_others else ""
    raise RowError(
        f"Cannot minibatch '{name}' along axis {axis}: {failure}. "
        f"Pass {other}rows={{'{name}': None}} to evaluate it in full at every step, "
        "or use pm.sample() (NUTS)."
    )


def _push(rewriter: RowRewriter, observed: Observed, candidate: Candidate) -> RowTerm:
    draw = None if observed.minibatch is None else draw_of(observed.minibatch)
    group = rewriter.group_index(candidate.group, candidate.total_size, draw)
    streaming.begin(rewriter, group, observed.name, candidate.length)
    request = rewriter.rows(group, minibatch=observed.minibatch, length=candidate.length)
    taken = request.take_full(observed.logp, candidate.axis)
    return row_term(observed.name, group, taken, candidate.axis, "observed")


def split_potentials(draft: Draft, factors: Factors) -> None:
    """Push the parts of potentials that are sums over rows of data; keep the others whole."""
    for name, potential in factors.potentials:
        if minibatch_nodes([potential]):
            raise RowError(
                f"Potential '{name}' is written on a pm.Minibatch, which PyMC does not rescale. "
                "Write it on the full data: row_model draws the rows by itself."
            )
        for part in split_sums(potential):
            term = _push_potential(draft, name, part)
            if term is None:
                whole = WholeTerm(name, "potential", "no sum over rows of data")
                draft.whole.append((whole, part))
            else:
                draft.terms.append(term)


def _push_potential(draft: Draft, name: str, part: Variable) -> RowTerm | None:
    """Return the potential's rows, or None where it is no sum over rows of known data."""
    rewriter = draft.rewriter
    if part.type.ndim == 0 or part.type.shape[0] == 1:
        return None
    length = rewriter.evaluator.length(part, 0)
    same = streaming.groups_for(rewriter, part, length)
    if not same and rewriter.groups and length <= draft.options.max_full:
        return None
    group = same[0] if same else rewriter.group_index(f"rows_{length}", length)
    try:
        taken = rewriter.rows(group).take_full(part, 0)
    except CannotTakeRows as error:
        draft.notes.append(f"potential '{name}' is no sum over rows: {error}")
        return None
    blocks = {leaf.block for leaf in rewriter.leaves}
    if blocks.isdisjoint(ancestors([taken])):
        return None
    return row_term(name, group, taken, 0, "potential")


def _nothing_to_minibatch(factors: Factors, draft: Draft) -> RowError:
    reasons = "; ".join(draft.notes) or "no potential is a sum over rows of data"
    names = [o.name for o in factors.observed]
    hint = (
        f"Pass rows={{'{names[0]}': 0}} to split it" if names else "Write the potential as a vector"
    )
    return RowError(f"Nothing to minibatch: {reasons}. {hint}, or use pm.sample().")


def assemble(model: pm.Model, draft: Draft, values: dict[Variable, np.ndarray]) -> RowDensity:
    """Fold, check the cost, and put one position vector in for the parameters in `values`."""
    rewriter = draft.rewriter
    parameters = set(values)
    whole = parameter_checks.checks_as_switches([v for _, v in draft.whole], rewriter.evaluator)
    outputs = [*(term.entries for term in draft.terms), *(var.sum() for var in whole)]
    n_terms, n_sums = len(draft.terms), len(outputs)
    outputs += [v for (w, _), v in zip(draft.whole, whole, strict=True) if w.kind == "observed"]
    outputs += [sum(one.sum() for one in draft.jacobians)] if draft.jacobians else []
    blocks = {leaf.block for leaf in rewriter.leaves} | set(rewriter.counts)
    streaming.refuse_placeholders(rewriter, outputs, blocks, model)
    try:
        outputs, origin = fold(outputs, parameters, blocks, rewriter.evaluator)
    except CannotTakeRows as error:
        raise RowError(f"Cannot minibatch {_term_names(draft)}: {error}.") from None
    if not draft.options.allow_full_terms:
        _refuse_costly(draft, outputs[:n_sums], parameters, blocks, origin)
    used = set(ancestors(outputs))
    leaves = [leaf for leaf in rewriter.leaves if leaf.block in used]
    position = pt.vector("position", shape=(sum(v.size for v in values.values()),))
    slices = slices_of(position, values)
    new: dict[Variable, Variable] = {
        var: shaped_like(part, var) for var, part in zip(values, slices, strict=True)
    }
    for group, count in enumerate(rewriter.counts):
        own = [leaf for leaf in leaves if leaf.group == group]
        if own:
            new[count] = own[0].block.shape[0]
        elif rewriter.groups[group].total_size == 1:
            new[count] = pt.constant(1, dtype="int64")  # its one row was folded as a constant
    outputs = rebuild(outputs, new)
    sums, entries = outputs[n_terms:n_sums], iter(outputs[n_sums:])
    groups, number = _used_groups(draft)
    return RowDensity(
        model=model,
        value_vars=tuple(values),
        layout=Layout(tuple(v.name for v in values), tuple(v.shape for v in values.values())),
        position=position,
        slices=tuple(slices),
        values=tuple(slices),
        prior=pt.add(*sums) if len(sums) > 1 else sums[0],
        terms=tuple(
            row_term(t.name, number[t.group], out, t.axis, t.kind)
            for t, out in zip(draft.terms, outputs[:n_terms], strict=True)
        ),
        groups=groups,
        leaves=tuple(replace(leaf, group=number[leaf.group]) for leaf in leaves),
        whole=tuple(
            replace(w, entries=next(entries)) if w.kind == "observed" else w for w, _ in draft.whole
        ),
        folded=_long_statistics(draft, origin),
        streamed=tuple(streaming.is_streamed(rewriter, g) for g in number),
        notes=tuple(draft.notes),
        draws=tuple(rewriter.draws[g] for g in number),
        evaluator=rewriter.evaluator,
        jacobian=outputs[-1] if draft.jacobians else None,
    )


def _term_names(draft: Draft) -> str:
    return ", ".join(dict.fromkeys(f"'{t.name}'" for t in draft.terms))


def _refuse_costly(
    draft: Draft,
    outputs: list[Variable],
    parameters: set[Variable],
    blocks: set[Variable],
    origin: dict[Variable, Variable],
) -> None:
    """Raise if a term or potential still holds an array with one entry per row."""
    lengths = {draft.rewriter.groups[t.group].total_size for t in draft.terms}
    row_axes = RowAxes(outputs, parameters, blocks, origin, draft.rewriter)
    subjects = [f"Cannot minibatch '{term.name}'" for term in draft.terms]
    subjects += [
        f"Potential '{whole.name}' cannot be split by rows" if whole.kind == "potential" else ""
        for whole, _ in draft.whole
    ]
    for subject, out in zip(subjects, outputs, strict=True):
        try:
            if subject:
                refuse_whole_rows([out], row_axes, lengths, draft.rewriter.evaluator)
        except CannotTakeRows as error:
            raise RowError(f"{subject}: {error}.") from None


def _long_statistics(draft: Draft, origin: dict[Variable, Variable]) -> tuple[Folded, ...]:
    """Return what was evaluated once from data with one entry per row."""
    evaluator = draft.rewriter.evaluator
    lengths = {draft.rewriter.groups[t.group].total_size for t in draft.terms}
    statistics = []
    for constant, source in origin.items():
        long_data = any(
            isinstance(v, Constant | SharedVariable)
            and isinstance(v.type, TensorType)
            and lengths.intersection(evaluator.shape(v))
            for v in streaming.through_values([source])
        )
        if long_data and source.owner is not None:
            shape = evaluator.shape(constant) if isinstance(constant.type, TensorType) else ()
            statistics.append(Folded(names_below(source), op_name(source.owner), shape))
    return tuple(statistics)


def _used_groups(draft: Draft) -> tuple[tuple[RowGroup, ...], dict[int, int]]:
    """Return the groups that terms belong to, and their new numbers."""
    used = sorted({term.group for term in draft.terms})
    return tuple(draft.rewriter.groups[g] for g in used), {g: i for i, g in enumerate(used)}
