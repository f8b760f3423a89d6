"""One wording for errors: what came, what is allowed, what to write instead."""

import difflib

from collections.abc import Iterable
from inspect import get_annotations
from typing import Any, ClassVar, get_origin

import numpy as np


def check_positive(name: str, value: Any, *, hint: str = "") -> float:
    """Return ``value`` as a float, or raise if it is not a finite number above 0."""
    number = _as_number(name, value, "a number > 0", hint)
    if not (np.isfinite(number) and number > 0):
        raise ValueError(_sentence(f"{name} must be > 0 and finite, got {value!r}.", hint))
    return number


def check_number(name: str, value: Any, *, at_least: float, below: float) -> float:
    """Return ``value`` as a float, or raise if it is not a number in the half-open interval."""
    allowed = f"at least {at_least} and below {below}"
    number = _as_number(name, value, f"a number, {allowed}", "")
    if not at_least <= number < below:
        raise ValueError(f"{name} must be {allowed}, got {value!r}.")
    return number


def check_integer(
    name: str, value: Any, *, at_least: int, at_most: int | None = None, hint: str = ""
) -> int:
    """Return ``value`` as an int, or raise if it is not a whole number in the closed interval."""
    allowed = f">= {at_least}" if at_most is None else f"from {at_least} to {at_most}"
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
    if not whole:
        raise TypeError(_sentence(f"{name} must be a whole number {allowed}, got {value!r}.", hint))
    if value < at_least or (at_most is not None and value > at_most):
        raise ValueError(_sentence(f"{name} must be {allowed}, got {value}.", hint))
    return int(value)


def check_one_of(name: str, value: Any, allowed: Iterable[str], *, hint: str = "") -> str:
    """Return ``value`` if it is one of ``allowed``, or raise and suggest the nearest."""
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    message = f"{name} must be one of {', '.join(map(repr, names))}, got {value!r}."
    message += did_you_mean(str(value).lower(), names, cutoff=0.5)
    raise ValueError(_sentence(message, hint))


def check_class_attributes(cls: type, kind: str) -> None:
    """Raise if a class has public attributes that none of its bases has: they may be misspelt.

    What is annotated, and not as a ``ClassVar``, is a field of its own.
    """
    annotations = get_annotations(cls)
    fields = {name for name, type_ in annotations.items() if not _of_the_class(type_)}
    known = {
        name
        for base in cls.__mro__[1:]
        for name in (*vars(base), *get_annotations(base))
        if not name.startswith("_")
    }
    for name in (*vars(cls), *annotations):
        if name.startswith("_") or name in known or name in fields:
            continue
        raise TypeError(
            f"{cls.__name__} has {name!r}, which no {kind} has, so nobody asks for it."
            + did_you_mean(name, known, cutoff=0.5)
            + " Begin the names of helpers with an underscore; a field needs a type."
        )


def _of_the_class(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return "ClassVar" in annotation
    return annotation is ClassVar or get_origin(annotation) is ClassVar


def did_you_mean(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return a sentence that names the nearest known word, after a space; empty if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""


def and_more(names: Iterable[str], most: int = 3) -> str:
    """Return names for a message, the first ``most`` of them and how many more there are."""
    every = list(names)
    beyond = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + beyond


def _as_number(name: str, value: Any, allowed: str, hint: str) -> float:
    try:
        if isinstance(value, bool | np.bool_ | str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(_sentence(f"{name} must be {allowed}, got {value!r}.", hint)) from None


def _sentence(message: str, hint: str) -> str:
    return f"{message} {hint}" if hint else message
