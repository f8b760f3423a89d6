"""Every file of the folder keeps to what `models/__init__.py` asks for, and has its page."""

import ast
import re

from pathlib import Path

import pymc as pm
import pytest

import models

from models._datasets import MissingData

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
SMALL = 60  # rows


def cells(name):
    """Return the code cells of a page."""
    text = (GALLERY / f"{name}.md").read_text()
    found = re.findall(r"```\{code-cell\}[^\n]*\n(.*?)```", text, flags=re.DOTALL)
    # lines at the head of a cell that begin with a colon are its options
    return [re.sub(r"\A(?::[^\n]*\n)+", "", cell) for cell in found]


@pytest.mark.parametrize("name", models.names())
def test_it_has_what_a_model_has(name):
    module = models.load(name)
    assert module.__doc__.splitlines()[0].endswith(".")
    assert hasattr(module, "run") or hasattr(module, "build_model")
    assert hasattr(module, "build_model") == hasattr(module, "load_data")


@pytest.mark.parametrize("name", models.names())
def test_it_builds_at_a_small_size(name):
    module = models.load(name)
    if not hasattr(module, "build_model"):
        pytest.skip("an experiment, not a model")
    try:
        data = module.load_data(rows=SMALL)
    except MissingData as error:
        pytest.skip(str(error))
    model = module.build_model(data)
    assert isinstance(model, pm.Model)
    assert model.free_RVs and (model.observed_RVs or model.potentials)


@pytest.mark.parametrize("name", models.names())
def test_its_page_has_cells_that_parse(name):
    found = cells(name)
    assert found
    for cell in found:
        ast.parse(cell)
    assert (GALLERY / f"{name}.md").read_text().startswith("---\n")  # MyST's head: how to run it


@pytest.mark.slow
@pytest.mark.parametrize("name", models.names())
def test_its_page_runs(name, tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    space = {"__name__": name}
    try:
        for cell in cells(name):
            exec(compile(cell, f"{name}.md", "exec"), space)
    except MissingData as error:
        pytest.skip(str(error))
    finally:
        plt.close("all")
