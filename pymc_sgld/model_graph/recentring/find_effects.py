"""Find group effects that are written non-centred, and say which are left as they are and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytensor.scalar as ps
import pytensor.tensor as pt

from pymc.distributions.transforms import ZeroSumTransform
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    IncSubtensor,
)

from pymc_sgld.model_graph.density.coordinates import Effect
from pymc_sgld.model_graph.density.row_density import RowDensity
from pymc_sgld.model_graph.recentring.affine_paths import Path, Walk, is_same
from pymc_sgld.model_graph.recentring.invertible import lower_half, why_not_invertible
from pymc_sgld.model_graph.recentring.zero_sum import zero_sum_scale
from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.fold_and_cost import rebuild
from pymc_sgld.model_graph.rewrite.named_dims import lowered
from pymc_sgld.model_graph.rewrite.naming import listed, name_of
from pymc_sgld.validate import did_you_mean

type Recentre = bool | Mapping[str, str | None]


def find_effects(
    row_model: RowDensity, recentre: Recentre
) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    """Return the effects of a row model, and a line for each vector that is left as it is.

    Parameters
    ----------
    row_model : RowDensity
    recentre : bool or dict
        As for `row_model`.
    """
    if recentre is False:
        return (), ()
    given = {} if recentre is True else _checked(row_model, recentre)
    finder = _Finder(row_model)
    for name, deterministic in given.items():
        if deterministic is not None:
            finder.take_given(name, deterministic)
    for number in finder.candidates():
        if finder.names[number] not in given:
            finder.look_at(number)
    return tuple(finder.effects), tuple(dict.fromkeys(finder.left))


def _checked(row_model: RowDensity, recentre: Any) -> dict[str, str | None]:
    """Refuse an override that names what is not there."""
    if not isinstance(recentre, Mapping):
        raise RowError(
            f"recentre={recentre!r} is neither True, False nor a mapping. Write "
            'recentre={"z": "effects"} with the name of a free variable and of the '
            'pm.Deterministic that is its group effect, or {"z": None} to leave it as written.'
        )
    model = row_model.model
    free = [rv.name for rv in model.free_RVs]
    known = [variable.name for variable in model.deterministics]
    for name, deterministic in recentre.items():
        for wanted, there, kind in (
            (name, free, "free variable"),
            (deterministic, known, "Deterministic"),
        ):
            if wanted is not None and wanted not in there:
                hint = did_you_mean(str(wanted), there) or f" There are {listed(there)}."
                raise RowError(f"recentre names '{wanted}', which is no {kind} of the model.{hint}")
    return dict(recentre)


class _Finder:
    """Sites found so far."""

    def __init__(self, row_model: RowDensity) -> None:
        self.row_model = row_model
        model = row_model.model
        self.rvs = [model.values_to_rvs[value] for value in row_model.value_vars]
        self.names = [rv.name for rv in self.rvs]
        self.transforms = [model.rvs_to_transforms[rv] for rv in self.rvs]
        self.blocks = {leaf.block for leaf in row_model.leaves}
        self.rows = [term.entries for term in row_model.terms]
        self.taken: set[Variable] = set()
        self.effects: list[Effect] = []
        self.left: list[str] = []

    def candidates(self) -> list[int]:
        """Return the vectors on the whole line, the shortest first: it gets the shared mean."""
        found = [
            number
            for number, (transform, shape) in enumerate(
                zip(self.transforms, self.row_model.layout.shapes, strict=True)
            )
            if len(shape) > 0 and (transform is None or isinstance(transform, ZeroSumTransform))
        ]
        return sorted(found, key=lambda number: self.row_model.layout.sizes[number])

    def look_at(self, number: int) -> None:
        """Take an effect in, or a line on why not."""
        if isinstance(self.transforms[number], ZeroSumTransform):
            self._look_at_zero_sum(number)
            return
        walk = self._walk(number)
        ends = walk.ends(self.rows)
        found = self._combined(walk, ends)
        if found is None and self.names[number].endswith("_unobserved"):
            self._look_at_partly_observed(number)
        if isinstance(found, str):
            self._leave(number, found)
        elif found is not None:
            for data in walk.with_zeros:
                self.left.append(
                    f"{name_of(data)} multiplies '{self.names[number]}' and has zeros or values "
                    "that are not finite: it is no part of the scale"
                )
            self._take(number, walk, found, ends=ends)

    def take_given(self, name: str, deterministic: str) -> None:
        """Take in the effect that the user named."""
        number = self.names.index(name)
        graph = self._graph_of(deterministic)
        walk = self._walk(number, blocks=())
        ends = walk.ends([graph]) if number in self.candidates() else []
        whole = [p for p in ends if p.var is graph and not (p.rest or p.factors)]
        whole = [p for p in whole if p.index is None and not p.columns]
        if not whole or len(ends) != 1:
            raise RowError(
                f"recentre={{'{name}': '{deterministic}'}}: '{deterministic}' is not of the form "
                f"shift + scale * {name} with an entry for each entry of '{name}'. Name a "
                f"pm.Deterministic such as mu + tau * {name}, or leave '{name}' out of recentre."
            )
        before = len(self.effects)
        self._take(number, walk, whole[0], deterministic=deterministic)
        if len(self.effects) == before:
            raise RowError(f"recentre={{'{name}': '{deterministic}'}}: {self.left[-1]}.")

    def _walk(self, number: int, blocks: Any = None) -> Walk:
        model = self.row_model
        own = self.blocks if blocks is None else blocks
        shape = model.layout.shapes[number]
        return Walk(model.slices[number], shape, own, model.slices, self.taken)

    def _leave(self, number: int, why: str) -> None:
        self.left.append(f"'{self.names[number]}' is left as written: {why}")

    def _graph_of(self, deterministic: str) -> Variable:
        model = self.row_model.model
        [graph] = lowered(
            [pt.as_tensor(one, allow_xtensor_conversion=True)
             for one in model.replace_rvs_by_values([model[deterministic]])]
        )  # fmt: skip
        values = dict(zip(self.row_model.value_vars, self.row_model.slices, strict=True))
        return rebuild([graph], values)[0]

    def _combined(self, walk: Walk, ends: list[Path]) -> Path | str | None:
        """Return the one path that all ways to the rows come to, or why there is none."""
        scaled = [path for path in ends if _scale_of(path, walk)]
        if not scaled:
            return None
        by_columns: dict[Any, Path] = {}
        for path in ends:
            same = by_columns.setdefault(path.columns, path)
            if not _same_scale(same, path):
                return f"it enters with different scales ({self._scales(ends, walk)})"
        if len(by_columns) > 1 and () in by_columns:
            return "its columns enter apart and together"
        first, *others = by_columns.values()
        for path in others:
            if (path.matrix is None) != (first.matrix is None):
                return "its columns enter with and without a matrix"
            first = _joined(first, path)
        return first

    def _scales(self, ends: list[Path], walk: Walk) -> str:
        words = [" * ".join(self._parents(_scale_of(path, walk))) or "none" for path in ends]
        return ", ".join(dict.fromkeys(words))

    def _take(
        self,
        number: int,
        walk: Walk,
        path: Path,
        deterministic: str | None = None,
        ends: Sequence[Path] = (),
    ) -> None:
        """Make an effect of a path, without the summands that would close a circle."""
        own = self.row_model.slices[number]
        multiplied = [*path.scale, *([] if path.matrix is None else [path.matrix])]
        circle = self._in_circle(own, multiplied)
        if circle is not None:
            self._leave(number, f"its scale and that of '{circle}' depend on each other")
            return
        pairs = [
            (claimed, piece)
            for claimed, piece in zip(path.claimed, path.shift, strict=True)
            if self._in_circle(own, [piece]) is None
        ]
        shift = [piece for _, piece in pairs]
        effect = Effect(
            self.names[number],
            number,
            self.row_model.layout.shapes[number],
            shift=_total(pt.add, shift),
            scale=_total(pt.mul, path.scale),
            matrix=path.matrix,
            mixed=path.mixed,
            shift_of=self._parents(shift),
            scale_of=self._parents(_scale_of(path, walk)),
            deterministic=deterministic,
            edits=_edits(ends, {claimed for claimed, _ in pairs}),
        )
        lower = lower_half(self.row_model, effect)
        why = why_not_invertible(self.row_model, effect, lower)
        if why is not None:
            self._leave(number, why)
            return
        self.taken.update(claimed for claimed, _ in pairs)
        if deterministic is None:
            deterministic = self._deterministic_of(number, path)
        self.effects.append(replace(effect, lower=bool(lower), deterministic=deterministic))

    def _deterministic_of(self, number: int, path: Path) -> str | None:
        """Return the deterministic variable that is the same function of the same vector."""
        model = self.row_model.model
        for variable in model.deterministics:
            if self.rvs[number] not in set(ancestors([variable])):
                continue
            graph = self._graph_of(variable.name)
            walk = self._walk(number, blocks=())
            for end in walk.ends([graph]):
                whole = end.var is graph and end.index is None and not (end.rest or end.factors)
                if whole and len(end.shift) == len(path.shift) and _same_scale(end, path):
                    return str(variable.name)
        return None

    def _parents(self, graphs: Sequence[Variable]) -> tuple[str, ...]:
        above = set(ancestors(list(graphs)))
        pairs = zip(self.names, self.row_model.slices, strict=True)
        return tuple(name for name, part in pairs if part in above)

    def _in_circle(self, own: Variable, graphs: Sequence[Variable]) -> str | None:
        """Return the effect whose map depends on a vector that the graphs depend on in turn."""
        above = set(ancestors(list(graphs)))
        while True:
            more = [s for s in self.effects if self.row_model.slices[s.number] in above]
            for effect in more:
                if own in set(ancestors(effect.graphs)):
                    return effect.name
            wider = above.union(*(ancestors(effect.graphs) for effect in more))
            if wider == above:
                return None
            above = wider

    def _look_at_zero_sum(self, number: int) -> None:
        """Take in a vector that sums to zero: it can be scaled by a number, and not be shifted."""
        model = self.row_model
        own = model.slices[number]
        scale, beside = zero_sum_scale(own, self.rows, self._walk(number))
        if scale is None:
            return
        pattern = ["x"] * len(model.layout.shapes[number])
        found = Path(own, (), scale=(scale.squeeze().dimshuffle(pattern),))
        self._take(number, self._walk(number), found)
        shared = self._parents(beside)
        if self.effects and self.effects[-1].number == number and shared:
            self.left.append(
                f"{listed(shared)} beside '{self.names[number]}', which sums to zero, stays as "
                "written: it is an intercept of all rows and no part of the group effects"
            )

    def _look_at_partly_observed(self, number: int) -> None:
        own = self.row_model.slices[number]
        for var in ancestors(self.rows):
            if not _puts_together(var) or own not in set(ancestors([var])):
                continue
            shape = tuple(1 if length is None else int(length) for length in var.type.shape)
            walk = Walk(var, shape, self.blocks, {*self.row_model.slices, var}, self.taken)
            if any(_scale_of(path, walk) for path in walk.ends(self.rows)):
                name = self.names[number].removesuffix("_unobserved")
                self.left.append(f"'{name}' is left as written: it is observed in part")
                return


def _puts_together(var: Variable) -> bool:
    """Whether an expression is made of two by position, as of what is observed and what is not."""
    node = var.owner
    if node is None:
        return False
    switch = isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, ps.Switch)
    return switch or isinstance(node.op, IncSubtensor | AdvancedIncSubtensor)


def _scale_of(path: Path, walk: Walk) -> list[Variable]:
    """Return the factors of a path that depend on parameters."""
    found = [*path.scale, *([path.matrix] if path.matrix is not None else [])]
    return [one for one in found if walk.has_parameters(one)]


def _same_scale(one: Path, other: Path) -> bool:
    if len(one.scale) != len(other.scale) or (one.matrix is None) != (other.matrix is None):
        return False
    if one.matrix is not None and not is_same(one.matrix, other.matrix):
        return False
    left = list(other.scale)
    for piece in one.scale:
        same = [i for i, candidate in enumerate(left) if is_same(piece, candidate)]
        if not same:
            return False
        del left[same[0]]
    return True


def _edits(ends: Sequence[Path], taken: set[Variable]) -> tuple[tuple[Apply, Variable], ...] | None:
    """Return what the operations on all ways to the rows lose, if all come to the same effects."""
    by_columns: dict[Any, set[Variable]] = {}
    for path in ends:
        own = taken.intersection(path.claimed)
        if by_columns.setdefault(path.columns, own) != own:
            return None
    if not ends:
        return None
    left = {x for path in ends for x in path.claimed} - taken
    return tuple((node, x) for path in ends for node, x in path.edits if x not in left)


def _joined(one: Path, other: Path) -> Path:
    """Return a path with the summands and factors of both; those they share count once."""
    shift = dict(zip(one.shift, one.claimed, strict=True))
    shift |= dict(zip(other.shift, other.claimed, strict=True))
    scale = tuple(dict.fromkeys([*one.scale, *other.scale]))
    return replace(one, shift=tuple(shift), claimed=tuple(shift.values()), scale=scale)


def _total(operation: Any, pieces: Sequence[Variable]) -> Variable | None:
    if not pieces:
        return None
    return pieces[0] if len(pieces) == 1 else operation(*pieces)
