"""One wording for errors: what came, what is allowed, what to write instead.

An argument has one meaning and one rule, whichever function takes it: :data:`ARGUMENTS` has the
rules by name, and :func:`check_arguments` applies them before anything is read, built or run.
"""

import difflib
import os

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import get_annotations
from multiprocessing.context import BaseContext
from typing import Any, ClassVar, get_origin

import numpy as np

from rich.theme import Theme

# What an argument must be; takes its name and value, returns the value as the library uses it.
ArgumentRule = Callable[[str, Any], Any]

_LONGEST_SHOWN = 60  # characters of a value in a message


def check_arguments(**given: Any) -> dict[str, Any]:
    """Return arguments as the library uses them, or raise at the first that is not allowed.

    Parameters
    ----------
    **given
        By name; each must be one of :data:`ARGUMENTS`.

    Raises
    ------
    TypeError, ValueError
        What came, what is allowed, and what to write instead.
    """
    return {name: ARGUMENTS[name](name, value) for name, value in given.items()}


def shown(value: Any) -> str:
    """Return a value for a message: as it is written if that is short, else what it is."""
    kind = type(value).__name__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{_article(kind)} {kind} of shape {shape}"
    written = repr(value)
    if len(written) <= _LONGEST_SHOWN and "\n" not in written:
        return written
    return f"{_article(kind)} {kind}"


def _article(kind: str) -> str:
    return "an" if kind[0].lower() in "aeiou" or kind.startswith("nd") else "a"


def check_positive(name: str, value: Any, *, hint: str = "") -> float:
    """Return ``value`` as a float, or raise if it is not a finite number above 0."""
    number = _as_number(name, value, "a number > 0", hint)
    if not (np.isfinite(number) and number > 0):
        raise ValueError(_sentence(f"{name} must be > 0 and finite, got {shown(value)}.", hint))
    return number


def check_share(name: str, value: Any, *, hint: str = "") -> float:
    """Return ``value`` as a float, or raise if it is not a number between 0 and 1."""
    number = _as_number(name, value, "a number in (0, 1)", hint)
    if not 0 < number < 1:
        raise ValueError(_sentence(f"{name} must be in (0, 1), got {shown(value)}.", hint))
    return number


def check_flag(name: str, value: Any, *, hint: str = "") -> bool:
    """Return ``value`` as a bool, or raise if it is not True or False: text and numbers are not."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(_sentence(f"{name} must be True or False, got {shown(value)}.", hint))
    return bool(value)


def check_names(name: str, value: Any) -> list[str]:
    """Return names as a list, or raise; a text is the name of one variable."""
    names = [value] if isinstance(value, str) else value
    allowed = "a list of names of variables"
    scalar = isinstance(names, np.ndarray) and not names.ndim
    if scalar or isinstance(names, Mapping | bytes) or not isinstance(names, Iterable):
        raise TypeError(f"{name} must be {allowed}, got {shown(value)}.")
    names = list(names)
    wrong = [one for one in names if not isinstance(one, str)]
    if wrong:
        raise TypeError(
            f"{name} must be {allowed}, got {shown(wrong[0])} among them. Write the names as text."
        )
    if not names:
        raise ValueError(f"{name} is empty: name at least one variable, or leave it out.")
    twice = [one for number, one in enumerate(names) if one in names[:number]]
    if twice:
        raise ValueError(f"{name} has {twice[0]!r} twice: name each variable once.")
    return names


def check_known(
    name: str, names: Iterable[str], known: Iterable[str], kind: str = "variable"
) -> None:
    """Raise if one of some names is not known, and say which are."""
    known = list(known)
    for one in names:
        if one not in known:
            there = ", ".join(map(repr, known)) or "none"
            hint = did_you_mean(one, known)
            raise ValueError(f"{name} has {one!r}, which is no {kind}: there are {there}.{hint}")


def check_instance(name: str, value: Any, kind: Any, allowed: str, *, hint: str = "") -> Any:
    """Return ``value`` if it is of a type, or raise and say in words what is allowed."""
    if not isinstance(value, kind):
        what = f"the class {value.__name__}" if isinstance(value, type) else shown(value)
        raise TypeError(_sentence(f"{name} must be {allowed}, got {what}.", hint))
    return value


def check_path(name: str, value: Any, allowed: str = "the path of a folder") -> Any:
    """Return ``value`` if it is a text or a path that is not empty, or raise."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be {allowed}, got {shown(value)}.")
    if not str(value).strip():
        raise ValueError(f"{name} must be {allowed}, got an empty text.")
    return value


def check_mapping(name: str, value: Any) -> dict[str, Any]:
    """Return a mapping with text for keys, or raise."""
    check_instance(name, value, Mapping, "a dictionary")
    for key in value:
        check_instance(f"the keys of {name}", key, str, "text")
    return dict(value)


def check_seed(name: str, value: Any) -> Any:
    """Return a seed as NumPy takes it, or raise; arrays become lists."""
    allowed = "None, a whole number >= 0, a list of them or a numpy.random.Generator"
    if value is None or isinstance(
        value, np.random.Generator | np.random.BitGenerator | np.random.SeedSequence
    ):
        return value
    if isinstance(value, np.ndarray | list | tuple):
        numbers = np.ravel(np.asarray(value, dtype=object)).tolist()
        if not numbers:
            raise ValueError(f"{name} must be {allowed}, got an empty list.")
        return [check_integer(f"every entry of {name}", one, at_least=0) for one in numbers]
    if not isinstance(value, int | np.integer) or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be {allowed}, got {shown(value)}.")
    return check_integer(name, value, at_least=0)


def check_initial_values(name: str, value: Any) -> Any:
    """Return a dictionary of initial values or a list of them, one for each chain; or raise."""
    allowed = (
        'a dictionary from names of variables to values, such as {"beta": [0.0, 1.0]}, or a list '
        "of such dictionaries, one for each chain"
    )
    if isinstance(value, Mapping):
        return dict(value)
    scalar = isinstance(value, np.ndarray) and not value.ndim
    if scalar or isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
        raise TypeError(f"{name} must be {allowed}, got {shown(value)}.")
    for one in value:
        if one is not None and not isinstance(one, Mapping):
            raise TypeError(f"{name} must be {allowed}, got {shown(one)} in the list.")
    return list(value)


def check_number(name: str, value: Any, *, at_least: float, below: float) -> float:
    """Return ``value`` as a float, or raise if it is not a number in the half-open interval."""
    allowed = f"at least {at_least} and below {below}"
    number = _as_number(name, value, f"a number, {allowed}", "")
    if not at_least <= number < below:
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}.")
    return number


def check_integer(
    name: str, value: Any, *, at_least: int, at_most: int | None = None, hint: str = ""
) -> int:
    """Return ``value`` as an int, or raise if it is not a whole number in the closed interval."""
    allowed = f">= {at_least}" if at_most is None else f"from {at_least} to {at_most}"
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
    if not whole:
        raise TypeError(
            _sentence(f"{name} must be a whole number {allowed}, got {shown(value)}.", hint)
        )
    if value < at_least or (at_most is not None and value > at_most):
        raise ValueError(_sentence(f"{name} must be {allowed}, got {value}.", hint))
    return int(value)


def check_one_of(name: str, value: Any, allowed: Iterable[str], *, hint: str = "") -> str:
    """Return ``value`` if it is one of ``allowed``, or raise and suggest the nearest."""
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    message = f"{name} must be one of {', '.join(map(repr, names))}, got {shown(value)}."
    if not isinstance(value, str):
        raise TypeError(_sentence(message, hint))
    message += did_you_mean(value.lower(), names, cutoff=0.5)
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
        if isinstance(value, bool | np.bool_ | str | bytes):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(_sentence(f"{name} must be {allowed}, got {shown(value)}.", hint)) from None


def _sentence(message: str, hint: str) -> str:
    return f"{message} {hint}" if hint else message


# -- the rules of arguments, by name -----------------------------------------------------------


def _whole(at_least: int, at_most: int | None = None) -> ArgumentRule:
    """Allow whole numbers; one above what a computer can hold is a mistake, and not for PyMC."""

    def rule(name: str, value: Any) -> int:
        number = check_integer(name, value, at_least=at_least)
        if at_most is not None and number > at_most:
            raise ValueError(f"{name} must be at most {at_most:,}, got {shown(value)}.")
        return number

    return rule


def _one_of(*allowed: str) -> ArgumentRule:
    return lambda name, value: check_one_of(name, value, allowed)


def _optional(rule: ArgumentRule) -> ArgumentRule:
    return lambda name, value: None if value is None else rule(name, value)


def _callable(name: str, value: Any) -> Any:
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {shown(value)}.")
    return value


def _folder(name: str, value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return check_path(name, value, "True, False or the path of a folder")


def _theme(name: str, value: Any) -> Any:
    return check_instance(name, value, Theme, "a rich.theme.Theme, or left out")


def _progressbar(name: str, value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    hint = "Or True or False."
    return check_one_of(name, value, PROGRESS_BARS, hint=hint)


def _process_context(name: str, value: Any) -> Any:
    return value if isinstance(value, BaseContext) else check_one_of(name, value, START_METHODS)


def _threads(name: str, value: Any) -> Any:
    if isinstance(value, str) and value == "auto":
        return value
    return check_integer(name, value, at_least=1, hint="Or 'auto'.")


_MOST_DRAWS, _MOST_CHAINS = 10**9, 10**6
PROGRESS_BARS = (
    "combined", "split", "combined+stats", "stats+combined", "split+stats", "stats+split",
)  # fmt: skip
START_METHODS = ("fork", "spawn", "forkserver")
BACKENDS = ("numba", "jax", "c")
NUTS_SAMPLERS = ("pymc", "nutpie", "numpyro", "blackjax")
NUTS_STARTS = (
    "auto", "adapt_diag", "jitter+adapt_diag", "jitter+adapt_diag_grad", "advi+adapt_diag", "advi",
    "advi_map", "map", "jitter+map", "adapt_full", "jitter+adapt_full",
)  # fmt: skip

# None, where it is allowed, is what the function or PyMC has of its own.
ARGUMENTS: dict[str, ArgumentRule] = {
    "draws": _whole(1, _MOST_DRAWS),
    **dict.fromkeys(("n_scored", "thin"), _whole(1)),
    **dict.fromkeys(("chains", "cores"), _optional(_whole(1, _MOST_CHAINS))),
    **dict.fromkeys(("batch_size", "chunk", "n_init"), _optional(_whole(1))),
    "steps_per_draw": _optional(_whole(1, _MOST_DRAWS)),
    "tune": _optional(_whole(0, _MOST_DRAWS)),
    "jitter_max_retries": _optional(_whole(0)),
    "max_full": _whole(0),
    **dict.fromkeys(
        (
            "allow_full_terms",
            "allow_no_rows",
            "check",
            "elpd",
            "extend_inferencedata",
            "jacobian",
            "overwrite",
            "polish",
            "stein",
            "verify",
        ),
        check_flag,
    ),
    **dict.fromkeys(
        (
            "compute_convergence_checks",
            "discard_tuned_samples",
            "keep_warning_stat",
            "noise_compensation",
            "quiet",
            "return_inferencedata",
        ),
        _optional(check_flag),
    ),
    **dict.fromkeys(
        ("compile_kwargs", "idata_kwargs", "nuts_sampler_kwargs"), _optional(check_mapping)
    ),
    "backend": _optional(_one_of(*BACKENDS)),
    "blas_cores": _optional(_threads),
    "callback": _optional(_callable),
    "checkpoint_every": check_positive,
    "init": _optional(_one_of(*NUTS_STARTS)),
    "initvals": _optional(check_initial_values),
    "mp_ctx": _optional(_process_context),
    "nuts_sampler": _optional(_one_of(*NUTS_SAMPLERS)),
    "progressbar": _progressbar,
    "progressbar_theme": _optional(_theme),
    "random_seed": check_seed,
    "scratch": _folder,
    "seed": _whole(0),
    "target_bias": _optional(check_share),
    "tolerance": check_positive,
    "var_names": _optional(check_names),
}
