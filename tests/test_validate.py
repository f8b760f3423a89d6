"""Rules of arguments: every one refuses what it must, by name, and lets pass what it may."""

import datetime

import numpy as np
import pandas as pd
import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from pymc_sgld import validate
from pymc_sgld.validate import ARGUMENTS, and_more, check_arguments, did_you_mean, shown
from tests.bad_input.tables import LINES


def test_names_beyond_the_third_are_counted():
    assert and_more(["a", "b", "c"]) == "a, b, c"
    assert and_more(f"z[{i}]" for i in range(5)) == "z[0], z[1], z[2] and 2 more"


def test_the_nearest_word_is_suggested():
    assert did_you_mean("stepsize", {"step_size", "batch_size"}) == " Did you mean 'step_size'?"
    assert did_you_mean("x", {"step_size"}) == ""


class Odd:
    """An object with neither a length nor a text of one line."""

    def __repr__(self):
        return "one\ntwo"


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(),
    st.binary(), st.dates(), st.lists(st.integers(), max_size=3),
    st.dictionaries(st.integers() | st.text(), st.none(), max_size=2),
    st.sampled_from([
        Odd(), Odd, np.nan, np.inf, np.bool_(True), np.int64(2), np.float64(2.0), np.array(3),
        np.array([1.0, 2.0]), np.array(["a", "b"]), np.array([]), np.array([None]),
        np.datetime64("2020-01-01"), pd.DataFrame({"a": [1]}), pd.Series([1]), {1, 2}, range(3),
        (1, 2), 10**40, datetime.timedelta(1), print, slice(1), Ellipsis,
    ]),
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
@settings(max_examples=60, derandomize=True, deadline=None)
@given(value=ANYTHING)
def test_whatever_comes_is_taken_or_refused_by_name(name, value):
    """Nothing but a TypeError or a ValueError, of one line, which names the argument."""
    try:
        check_arguments(**{name: value})
    except (TypeError, ValueError) as error:
        said = str(error)
        assert name in said
        assert "\n" not in said
        assert said.endswith((".", "?"))
        assert len(said) < 600


@given(value=ANYTHING)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_any_value_is_shown_on_one_short_line(value):
    assert "\n" not in shown(value)
    assert len(shown(value)) < 120


COUNTS = sorted(name for name in ARGUMENTS if name in {
    "draws", "tune", "chains", "cores", "batch_size", "steps_per_draw", "chunk", "n_scored", "thin",
    "n_init", "max_iterations", "jitter_max_retries", "max_full", "seed",
})  # fmt: skip
FLAGS = sorted(
    name for name in ARGUMENTS if getattr(ARGUMENTS[name], "__name__", "") == "check_flag"
)


def _refused(rule, *values):
    for value in values:
        with pytest.raises((TypeError, ValueError)):
            rule("name", value)


def _counts(rule):
    assert rule("name", np.int64(3)) == 3
    assert type(rule("name", np.int64(3))) is int
    _refused(rule, True, np.bool_(True), 1.0, "1", b"1", -1, np.nan, [1], np.array([1]), 1j)


def _positive_counts(rule):
    _counts(rule)
    assert rule("name", 1) == 1
    _refused(rule, 0)


def _flags(rule):
    assert rule("name", np.bool_(False)) is False
    assert rule("name", True) is True
    _refused(rule, 0, 1, "True", "no", np.int64(1), [True], 1.0)


def _shares(rule):
    assert rule("name", 0.05) == 0.05
    assert rule("name", np.float32(0.5)) == 0.5
    _refused(rule, 0, 1, -0.1, 1.5, np.nan, np.inf, True, "0.1", b"0.1", [0.1], np.ones(2))


def _positive(rule):
    assert rule("name", 2) == 2.0
    _refused(rule, 0, -1, np.nan, np.inf, True, "1", b"1", [1.0], None, 1j)


def _seeds(rule):
    generator = np.random.default_rng(0)
    assert rule("name", generator) is generator
    assert rule("name", np.array([1, 2])) == [1, 2]
    assert rule("name", None) is None
    _refused(rule, True, -1, 1.5, "1", [], [1, -1], [1.5], np.array([np.nan]), {1})


def _names(rule):
    assert rule("name", "beta") == ["beta"]
    assert rule("name", ("a", "b")) == ["a", "b"]
    _refused(rule, [], ["a", "a"], ["a", 1], 3, {"a": 1}, b"a", np.array(3), [None])


def _starts(rule):
    assert rule("name", {"a": 1}) == {"a": 1}
    assert rule("name", [{"a": 1}, None]) == [{"a": 1}, None]
    _refused(rule, "a", b"a", 1.0, [1.0], np.array(3), {1}, ["a"])


def _folders(rule):
    assert rule("name", "run/") == "run/"
    assert rule("name", False) is False
    _refused(rule, "", " ", None, 3, b"run", 1.0, ["run"])


PROPERTIES = {
    "seed": _counts, "max_full": _counts, "tune": _counts, "jitter_max_retries": _counts,
    "draws": _positive_counts, "chains": _positive_counts, "steps_per_draw": _positive_counts,
    "n_scored": _positive_counts, "chunk": _positive_counts,
    "verify": _flags, "quiet": _flags, "target_bias": _shares, "tolerance": _positive,
    "checkpoint_every": _positive, "random_seed": _seeds, "var_names": _names, "initvals": _starts,
    "scratch": _folders,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PROPERTIES))
def test_rules_have_their_property(name):
    PROPERTIES[name](ARGUMENTS[name])


def _loose(convert):
    return lambda name, value: convert(value)


def _without(kind):
    """A whole number's rule that lets another kind pass."""
    return lambda name, value: (
        1 if isinstance(value, kind) else validate.check_integer(name, value, at_least=1)
    )


# Rules with a mistake, and the property that must notice it.
MISTAKES = {
    "no rule": ("draws", _loose(lambda value: value)),
    "whatever int() takes": ("draws", _loose(int)),
    "booleans are numbers": ("draws", _without(bool | np.bool_)),
    "numpy booleans are numbers": ("draws", _without(np.bool_)),
    "floats that are whole": ("draws", _without(float)),
    "text of numbers": ("draws", _without(str)),
    "zero": ("draws", lambda name, value: validate.check_integer(name, value, at_least=0)),
    "negative": ("tune", lambda name, value: validate.check_integer(name, value, at_least=-1)),
    "positive where zero may be": (
        "scratch", lambda name, value: validate.check_path(name, value, "a path"),
    ),
    "truth": ("verify", _loose(bool)),
    "numbers for booleans": ("quiet", _loose(lambda value: bool(int(value)))),
    "whatever float() takes": ("tolerance", _loose(float)),
    "infinite": ("tolerance", lambda name, value: validate.check_number(
        name, value, at_least=1e-300, below=np.inf) if value != np.inf else value),
    "a share of one": ("target_bias", lambda name, value: validate.check_number(
        name, value, at_least=1e-300, below=1.01)),
    "a share of nothing": ("target_bias", lambda name, value: validate.check_number(
        name, value, at_least=0, below=1)),
    "whatever NumPy takes": ("random_seed", _loose(lambda value: np.random.default_rng(value))),
    "any list": ("var_names", _loose(list)),
    "a text is its letters": ("var_names", lambda name, value: validate.check_names(
        name, list(value))),
    "any sequence": ("initvals", _loose(lambda value: value)),
    "any path": ("scratch", _loose(str)),
}  # fmt: skip


@pytest.mark.parametrize("mistake", sorted(MISTAKES))
def test_each_mistake_in_a_rule_is_noticed(mistake):
    """The kill matrix: for every mistake there is a property that does not hold any more."""
    name, rule = MISTAKES[mistake]
    with pytest.raises(BaseException):  # noqa: B017 - also the failure of pytest.raises
        PROPERTIES[name](rule)


def test_every_rule_has_a_line_in_the_table_of_bad_inputs():
    """A rule that nobody tries to break may be gone."""
    tried = {name for line in LINES for name in dict(line.given)}
    assert set(ARGUMENTS) - tried == set()
