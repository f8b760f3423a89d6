"""Objects that states are made of come back from arrays and JSON equal to the last bit."""

import json

from collections import namedtuple
from dataclasses import dataclass, field

import numpy as np
import pytest
import scipy.sparse

from pymc_sgld.checkpoints.atomic_files import UNREADABLE, read_arrays, write_arrays
from pymc_sgld.checkpoints.plain_data import NotPlain, UnknownClass, from_plain, to_plain

Pair = namedtuple("Pair", ["first", "second"])


@dataclass(frozen=True)
class Frozen:
    """Checks its argument when it is made, and not when it is read."""

    value: object
    cache: dict = field(default_factory=dict)

    def __post_init__(self):
        assert not isinstance(self.value, bytes)


def there_and_back(value, tmp_path, **given):
    tree, arrays = to_plain(value, given)
    write_arrays(tmp_path / "it.npz", arrays, tree)
    arrays, tree = read_arrays(tmp_path / "it.npz")
    return from_plain(tree, arrays, given)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "text ü",
        2**100,
        0.1,
        -0.0,
        np.inf,
        np.float64(0.1),
        np.float32(0.1),
        np.int8(-3),
        np.bool_(True),
        np.dtype("float32"),
        np.float64,
        [1, (2, 3.5), {"a": None, (1.0, 2.0): [()]}],
        {3, 1, 2},
        frozenset({"a"}),
        Pair(1, Pair(2.0, ())),
        Frozen(Frozen(1.0), {(0.1, 1.0): 0.3}),
    ],
    ids=str,
)
def test_value_and_type_come_back(value, tmp_path):
    found = there_and_back(value, tmp_path)
    assert found == value and type(found) is type(value) and repr(found) == repr(value)


def test_not_a_number_comes_back(tmp_path):
    found = there_and_back([np.nan, np.float32(np.nan)], tmp_path)
    assert np.isnan(found).all() and type(found[1]) is np.float32


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "?", "c16", "U3", ">f8"])
def test_arrays_come_back_with_their_type_and_order(dtype, order, tmp_path):
    """The order of the memory is that in which sums are taken."""
    values = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype, order=order)
    found = there_and_back(values, tmp_path)
    assert found.dtype == values.dtype and found.tobytes() == values.tobytes()
    assert found.flags["F_CONTIGUOUS"] == values.flags["F_CONTIGUOUS"]


def test_an_array_that_occurs_twice_is_kept_once(tmp_path):
    shared = np.arange(3.0)
    assert len(to_plain([shared, {"again": shared}])[1]) == 1
    first, second = there_and_back([shared, shared], tmp_path)
    assert first is second


@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "csr_matrix"])
def test_sparse_matrices_come_back(kind, tmp_path):
    matrix = getattr(scipy.sparse, kind)(np.diag([1.0, 0.0, np.pi]))
    found = there_and_back(matrix, tmp_path)
    assert type(found) is type(matrix) and (found != matrix).nnz == 0


def test_a_generator_goes_on_and_spawns_the_same_children(tmp_path):
    generator = np.random.default_rng(5)
    generator.spawn(2)
    generator.normal(size=3)
    found = there_and_back(generator, tmp_path)
    assert (found.normal(size=9) == generator.normal(size=9)).all()
    assert found.spawn(1)[0].random() == generator.spawn(1)[0].random()


def test_what_is_given_is_named_and_not_stored(tmp_path):
    def step_size(step):
        return 1 / (1 + step)

    assert there_and_back({"size": (step_size,)}, tmp_path, step_size=step_size) == {
        "size": (step_size,)
    }
    tree, arrays = to_plain(step_size, {"step_size": step_size})
    with pytest.raises(UnknownClass, match="step_size was not stored and has to be given"):
        from_plain(tree, arrays)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, lambda: 1]}, r"it\['a'\]\[1\] is a function"),
        (Frozen(np.array([None, 1])), "it.value is an array of objects"),
        (scipy.sparse.coo_array(np.eye(2)), "format 'coo'"),
    ],
)
def test_what_only_pickle_holds_is_refused_by_its_place(value, where):
    with pytest.raises(NotPlain, match=where):
        to_plain(value)


def test_no_code_is_run_to_read():
    """Classes are not imported, only those made of fields are made, and without their code."""
    for name in (
        "subprocess:Popen",
        "os:system",
        "no.such:Thing",
        "builtins:eval",
        "antigravity:X",
    ):
        with pytest.raises(UnknownClass, match="There is no class"):
            from_plain({"object": name, "fields": {}}, {})
    tree, arrays = to_plain(Frozen(1.0))
    tree["fields"]["value"] = {"dtype": "<f8"}
    assert from_plain(tree, arrays).value == np.dtype(float)


def test_other_fields_are_another_version():
    tree, arrays = to_plain(Frozen(1.0))
    tree["fields"]["velocity"] = tree["fields"].pop("cache")
    with pytest.raises(UnknownClass, match="Frozen has other fields: cache, velocity"):
        from_plain(tree, arrays)


def test_trees_are_strict_json():
    tree, _ = to_plain([np.nan, {1: -np.inf}, np.float32(np.inf)])
    json.dumps(tree, allow_nan=False)


def test_a_damaged_file_is_noticed(tmp_path):
    path = tmp_path / "it.npz"
    write_arrays(path, {"a": np.arange(100.0)}, {"of": 1})
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], b"", flipped(whole, 300)):
        path.write_bytes(damaged)
        with pytest.raises(UNREADABLE):
            read_arrays(path)


def flipped(content, place):
    """Return bytes of which one is another."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
