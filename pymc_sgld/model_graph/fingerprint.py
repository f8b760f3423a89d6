"""What a model is, in hashes: its density without its data, and its data."""

import hashlib
import re

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pymc as pm

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.op import HasInnerGraph
from pytensor.graph.traversal import toposort

from pymc_sgld.types import Array

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_WHOLE = 64 * 2**20  # bytes up to which all of an array is looked at
_BLOCKS = 64  # of a larger array that are looked at, each an equal part of as many bytes


class Fingerprint(NamedTuple):
    """Hashes by name.

    ``density``: of each variable and potential, its part of the log-density without data, with
    transforms, dims and coords. ``data``: shape, type and hash of the content of each array.
    """

    density: dict[str, str]
    data: dict[str, str]


def fingerprint(model: pm.Model) -> Fingerprint:
    """Return what tells a model, and its data, from others.

    The names of variables count. Data are whatever is an array and not computed: observed values,
    ``pm.Data``, and arrays that the model was written with.
    """
    variables = [*model.free_RVs, *model.observed_RVs, *model.potentials]
    factors = model.logp(vars=variables, sum=False) if variables else []
    density, data = {}, {}
    for variable, factor in zip(variables, factors, strict=True):
        tokens = [_dims(model, variable.name)]
        for name, content in _walk([factor], str(variable.name), tokens):
            data[name] = content
        density[str(variable.name)] = _hashed(map(repr, tokens))
    for variable in model.deterministics:
        tokens = [_dims(model, variable.name)]
        for name, content in _walk([variable], str(variable.name), tokens):
            data.setdefault(name, content)
        density[str(variable.name)] = _hashed(map(repr, tokens))
    return Fingerprint(density, data)


def _dims(model: pm.Model, name: Any) -> list[Any]:
    """Return dims of a variable, and their coords."""
    dims = model.named_vars_to_dims.get(name, ()) or ()
    coords = [model.coords.get(dim) for dim in dims if dim is not None]
    return [list(map(str, dims)), [repr(one) for one in coords]]


def _walk(
    outputs: Sequence[Variable[Any, Any]],
    of: str,
    tokens: list[Any],
    known: Iterable[Variable[Any, Any]] = (),
) -> Iterable[tuple[str, str]]:
    """Append what a graph computes to tokens, and return names and hashes of its data."""
    numbers: dict[Variable[Any, Any], int] = {}
    data: dict[str, str] = {}

    def number(variable: Variable[Any, Any]) -> int:
        if variable not in numbers:
            numbers[variable] = len(numbers)
            tokens.append(_leaf(variable, of, data))
        return numbers[variable]

    for place, variable in enumerate(known):
        numbers[variable] = place
    for node in toposort(outputs):
        inputs = [number(variable) for variable in node.inputs]
        tokens.append([_operation(node), inputs])
        if isinstance(node.op, HasInnerGraph):
            inner = node.op.fgraph
            data.update(_walk(inner.outputs, of, tokens, inner.inputs))
        for variable in node.outputs:
            numbers[variable] = len(numbers)
    tokens.append([number(variable) for variable in outputs])
    return data.items()


def _leaf(variable: Variable[Any, Any], of: str, data: dict[str, str]) -> list[Any]:
    """Return the token of an input of a graph; of data only that they are some."""
    kind: Any = variable.type
    described = [getattr(kind, "dtype", str(type(kind).__name__)), getattr(kind, "ndim", None)]
    if isinstance(variable, Constant):
        value = variable.data
    elif isinstance(variable, SharedVariable):
        value = variable.get_value(borrow=True)
    else:
        return ["input", variable.name, described]
    if isinstance(value, np.random.Generator):
        return ["generator"]
    if isinstance(variable, Constant) and np.size(value) == 1 and hasattr(value, "item"):
        return ["number", described, repr(value.item())]
    if isinstance(value, np.ndarray | np.generic):
        name = variable.name or f"array {len(data) + 1} of {of}"
        data[name] = _of_array(np.asarray(value))
        return ["data", described]
    return ["other", _ADDRESS.sub("", repr(value))]


def _operation(node: Apply[Any]) -> list[Any]:
    """Return the name and the options of an operation."""
    op = node.op
    options = [[name, _ADDRESS.sub("", str(getattr(op, name, None)))] for name in _props(op)]
    return [f"{type(op).__module__}.{type(op).__qualname__}", options]


def _props(op: Any) -> tuple[str, ...]:
    return tuple(getattr(op, "__props__", None) or ())


def fingerprint_of_rows(source: Any) -> str:
    """Return shape, type and hash of rows that are indexed like an array.

    Of more than 64 megabytes, that of 64 blocks spread over them.
    """
    if isinstance(source, np.ndarray):
        return _of_array(source)
    shape, kind = tuple(map(int, source.shape)), np.dtype(source.dtype)
    return f"{shape} {kind} {_hashed(_blocks(source, shape, kind))}"


def _of_array(value: Array) -> str:
    if value.dtype.hasobject:
        return f"{value.shape} {value.dtype} {_hashed(map(repr, value.ravel()))}"
    if value.ndim == 0:
        return f"() {value.dtype} {_hashed([value.tobytes()])}"
    return f"{value.shape} {value.dtype} {_hashed(_blocks(value, value.shape, value.dtype))}"


def _blocks(source: Any, shape: tuple[int, ...], kind: Any) -> Iterable[bytes]:
    """Return the content of rows; of many, that of blocks of them."""
    of_a_row = max(1, int(kind.itemsize * np.prod(shape[1:], dtype=np.int64)))
    total = shape[0]
    if total * of_a_row <= _WHOLE:
        return [np.ascontiguousarray(source[0:total]).tobytes()]
    length = min(total, max(1, _WHOLE // _BLOCKS // of_a_row))
    starts = np.linspace(0, total - length, _BLOCKS).astype(int).tolist()
    return (np.ascontiguousarray(source[first : first + length]).tobytes() for first in starts)


def _hashed(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()
