"""What tells a model and its data from others, and is the same for the same."""

import subprocess
import sys

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld.model_graph import fingerprint as module
from pymc_sgld.model_graph.fingerprint import fingerprint, fingerprint_of_rows
from tests.checkpoints.runs import SESSION, Stopped, assert_same, sample, stop_after

Y = np.random.default_rng(0).normal(size=(50, 2))


def build(
    *, y=Y, x=None, centre=0.0, scale=1.0, law=pm.Normal, positive=pm.HalfNormal, label="a",
    factor=1.0, name="mu",
):  # fmt: skip
    x = np.arange(50.0) if x is None else x
    with pm.Model(coords={"column": ["b", label]}) as model:
        mu = pm.Normal(name, centre, scale, dims="column")
        sigma = positive("sigma", 1)
        pm.Deterministic("double", factor * mu)
        law("y", mu=mu + pm.Data("x", x)[:, None], sigma=sigma, observed=y)
        pm.Potential("held", -(mu**2).sum() * 0.1)
    return model


def differing(one, other):
    """Return the names of entries that differ."""
    return {
        name
        for first, second in zip(fingerprint(one), fingerprint(other), strict=True)
        for name in first | second
        if first.get(name) != second.get(name)
    }


def test_the_same_model_twice():
    assert differing(build(), build()) == set()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"y": Y + 1e-12}, {"y"}),
        ({"y": Y.astype("float32").astype(float)}, {"y"}),
        ({"x": np.arange(50.0) + 1}, {"x"}),
        ({"centre": 0.5}, {"mu", "double"}),
        ({"scale": 2.0}, {"mu", "double"}),
        ({"law": pm.Laplace}, {"y"}),
        ({"positive": pm.HalfCauchy}, {"sigma"}),
        ({"label": "c"}, {"mu"}),
        ({"factor": 2.0}, {"double"}),
    ],
    ids=lambda value: str(sorted(value)),
)
def test_what_changed_is_named_and_nothing_else(changes, names):
    if changes.get("law") is pm.Laplace:
        changes = {
            "law": lambda name, mu, sigma, observed: pm.Laplace(name, mu, sigma, observed=observed)
        }
    found = differing(build(), build(**changes))
    assert names <= found
    assert all(name.startswith("array ") for name in found - names)


def test_another_name_is_another_model():
    assert {"mu", "nu"} <= differing(build(), build(name="nu"))


def test_it_is_the_same_in_another_process():
    code = (
        "from tests.checkpoints.test_fingerprint import build, fingerprint\n"
        "print(*sorted(map(str, (fingerprint(build())))))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == " ".join(sorted(map(str, fingerprint(build()))))


def test_large_rows_are_looked_at_in_blocks(monkeypatch, tmp_path):
    """At both ends and between them; the same of a file as of memory."""
    monkeypatch.setattr(module, "_WHOLE", 6400)
    rows = np.random.default_rng(0).normal(size=(5000, 2))
    np.save(tmp_path / "rows.npy", rows)
    whole = fingerprint_of_rows(rows)
    assert fingerprint_of_rows(np.load(tmp_path / "rows.npy", mmap_mode="r")) == whole
    for place in (0, -1):
        other = rows.copy()
        other[place, 1] += 1e-9
        assert fingerprint_of_rows(other) != whole
    assert fingerprint_of_rows(rows[:-1]) != whole


def test_data_from_elsewhere_is_given_again_and_must_be_the_same(tmp_path):
    rng = np.random.default_rng(1)
    y = rng.normal(1, 1, size=400)
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mu"), 1, observed=pm.Data("data", y[:1]))
    with model:
        whole = sample(data={"data": y})
        with pytest.raises(Stopped):
            sample(data={"data": y}, checkpoint=tmp_path, callback=stop_after(50))
        with pytest.raises(TypeError, match=r"Give again what no file holds.*: data; found none"):
            psg.resume(tmp_path, **SESSION)
        with pytest.raises(ValueError, match=r"data.rows 1 of 1: \(400,\)"):
            psg.resume(tmp_path, data={"data": y + 1}, **SESSION)
        assert_same(whole, psg.resume(tmp_path, data={"data": y}, **SESSION))
