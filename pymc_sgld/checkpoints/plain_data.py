"""Objects as arrays and JSON, and back; nothing is pickled, and no code is run to read them.

An object is written as the name of its class and its fields. To read it, the class is looked up
among the modules that are imported already, made without its ``__init__``, and given the fields.
"""

import sys

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import scipy.sparse

from pymc_sgld.types import Array

_OWN = "pymc_sgld."  # whose objects are plain, whether dataclasses or not


class NotPlain(TypeError):
    """An object that arrays and JSON cannot hold; the message says where it was met."""


class UnknownClass(ValueError):
    """The name of a class that is not there, or has other fields: another version wrote it."""


def to_plain(value: Any, given: Mapping[str, Any] | None = None) -> tuple[Any, dict[str, Array]]:
    """Return an object as a tree for JSON, and the arrays that the tree names.

    Parameters
    ----------
    value : object
        Numbers, strings, arrays, sparse matrices, random generators, and containers, named
        tuples and dataclasses of these.
    given : mapping of str to object, optional
        Objects that are written by these names alone; the reader has them, such as functions.

    Raises
    ------
    NotPlain
        For anything else.
    """
    writer = _Writer(given or {})
    return writer.tree(value, "it"), writer.arrays


def from_plain(
    tree: Any, arrays: Mapping[str, Array], given: Mapping[str, Any] | None = None
) -> Any:
    """Return the object that :func:`to_plain` was given, equal to the last bit.

    Raises
    ------
    UnknownClass
        For classes that are not imported, or have other fields.
    """
    return _Reader(arrays, given or {}).value(tree)


class _Writer:
    """Makes a tree; arrays that occur twice are kept once."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = {id(value): name for name, value in given.items()}
        self.arrays: dict[str, Array] = {}
        self._names: dict[int, str] = {}

    def tree(self, value: Any, where: str) -> Any:
        if value is None or isinstance(value, str) or type(value) in (bool, int):
            return value
        if type(value) is float:
            return value if np.isfinite(value) else {"float": repr(value)}
        if id(value) in self.given:
            return {"given": self.given[id(value)]}
        if isinstance(value, np.generic):
            return {"scalar": [value.dtype.str, self.tree(value.item(), where)]}
        if isinstance(value, np.dtype):
            return {"dtype": value.str}
        if isinstance(value, np.ndarray):
            return {"array": self._array(value, where)}
        if scipy.sparse.issparse(value):
            return self._sparse(value, where)
        if isinstance(value, np.random.Generator):
            return {"generator": self.tree(_state_of(value), where)}
        return self._composed(value, where)

    def _composed(self, value: Any, where: str) -> Any:
        if type(value) is list:
            return [self.tree(part, f"{where}[{k}]") for k, part in enumerate(value)]
        if type(value) in (tuple, set, frozenset):
            kind = type(value).__name__
            parts = value if kind == "tuple" else sorted(value)
            return {kind: [self.tree(part, f"{where}[{k}]") for k, part in enumerate(parts)]}
        if type(value) is dict:
            pairs = [
                [self.tree(key, where), self.tree(part, f"{where}[{key!r}]")]
                for key, part in value.items()
            ]
            return {"dict": pairs}
        if isinstance(value, type) and issubclass(value, np.generic):
            return {"number": np.dtype(value).str}
        return {
            "object": _name_of(type(value)),
            "fields": {
                name: self.tree(part, f"{where}.{name}") for name, part in _fields_of(value, where)
            },
        }

    def _array(self, value: Array, where: str) -> str:
        if value.dtype.hasobject:
            raise NotPlain(f"{where} is an array of objects, which only pickle could hold.")
        name = self._names.get(id(value))
        if name is None:
            name = self._names[id(value)] = f"array_{len(self.arrays)}"
            self.arrays[name] = value
        return name

    def _sparse(self, value: Any, where: str) -> Any:
        if value.format not in ("csr", "csc"):
            raise NotPlain(f"{where} is a sparse matrix of format {value.format!r}.")
        parts = [self._array(getattr(value, part), where) for part in _OF_SPARSE]
        return {"sparse": [type(value).__name__, list(map(int, value.shape)), parts]}


_OF_SPARSE = ("data", "indices", "indptr")


class _Reader:
    """Makes objects of a tree."""

    def __init__(self, arrays: Mapping[str, Array], given: Mapping[str, Any]) -> None:
        self.arrays, self.given = arrays, given

    def value(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self.value(part) for part in tree]
        if not isinstance(tree, dict):
            return tree
        if "object" in tree:
            return self._object(tree)
        ((kind, content),) = tree.items()
        return getattr(self, f"_{kind}")(content)

    def _float(self, content: str) -> float:
        return float(content)

    def _given(self, content: str) -> Any:
        if content not in self.given:
            raise UnknownClass(f"{content} was not stored and has to be given.")
        return self.given[content]

    def _scalar(self, content: list[Any]) -> Any:
        kind, item = content
        return np.dtype(kind).type(self.value(item))

    def _dtype(self, content: str) -> Any:
        return np.dtype(content)

    def _number(self, content: str) -> Any:
        return np.dtype(content).type

    def _array(self, content: str) -> Array:
        return self.arrays[content]

    def _sparse(self, content: list[Any]) -> Any:
        kind, shape, parts = content
        made = getattr(scipy.sparse, kind)
        return made(tuple(self.arrays[name] for name in parts), shape=tuple(shape))

    def _generator(self, content: Any) -> np.random.Generator:
        return _generator_from(self.value(content))

    def _tuple(self, content: list[Any]) -> tuple[Any, ...]:
        return tuple(self.value(part) for part in content)

    def _set(self, content: list[Any]) -> set[Any]:
        return set(self._tuple(content))

    def _frozenset(self, content: list[Any]) -> frozenset[Any]:
        return frozenset(self._tuple(content))

    def _dict(self, content: list[Any]) -> dict[Any, Any]:
        return {self.value(key): self.value(part) for key, part in content}

    def _object(self, tree: dict[str, Any]) -> Any:
        made_of = _class_named(tree["object"])
        parts = {name: self.value(part) for name, part in tree["fields"].items()}
        wanted = _names_of_fields(made_of)
        if wanted is not None and set(wanted) != set(parts):
            differing = sorted(set(wanted) ^ set(parts))
            raise UnknownClass(f"{made_of.__name__} has other fields: {', '.join(differing)}.")
        if issubclass(made_of, tuple):
            return made_of(**parts)
        made = object.__new__(made_of)
        for name, part in parts.items():
            object.__setattr__(made, name, part)
        return made


def _name_of(made_of: type) -> str:
    return f"{made_of.__module__}:{made_of.__qualname__}"


def _class_named(name: str) -> type:
    """Return a class of a module that is imported already."""
    module, _, qualname = name.partition(":")
    known: Any = sys.modules.get(module)
    for part in qualname.split("."):
        known = getattr(known, part, None)
    plain = isinstance(known, type) and (
        module.startswith(_OWN) or _names_of_fields(known) is not None
    )
    if not plain:
        raise UnknownClass(f"There is no class {name}.")
    found: type = known
    return found


def _names_of_fields(made_of: type) -> tuple[str, ...] | None:
    """Return the fields of a dataclass or named tuple; None of any other class."""
    if is_dataclass(made_of):
        return tuple(field.name for field in fields(made_of))
    if issubclass(made_of, tuple) and hasattr(made_of, "_fields"):
        return tuple(made_of._fields)
    return None


def _fields_of(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    names = _names_of_fields(type(value))
    if names is not None:
        return ((name, getattr(value, name)) for name in names)
    if type(value).__module__.startswith(_OWN) and hasattr(value, "__dict__"):
        return iter(vars(value).items())
    raise NotPlain(f"{where} is a {type(value).__name__}, which arrays and JSON do not hold.")


def _state_of(generator: np.random.Generator) -> dict[str, Any]:
    """Return the state of a generator, and of what its children are spawned from."""
    bits = generator.bit_generator
    return {"bits": bits.state, "seeds": getattr(bits.seed_seq, "state", None)}


def _generator_from(state: dict[str, Any]) -> np.random.Generator:
    kind = getattr(np.random, state["bits"]["bit_generator"])
    bits = kind(np.random.SeedSequence(**(state["seeds"] or {})))
    bits.state = state["bits"]
    return np.random.Generator(bits)
