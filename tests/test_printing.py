"""Tables and progress bars in notebooks and terminals."""

import logging

import pytest
import rich.console

from rich.table import Table

from pymc_sgld.printing import Printed, PrintedTable
from pymc_sgld.step_methods import progress


class Result(Printed):
    def __rich__(self):
        table = Table()
        table.add_column("what")
        table.add_row("once")
        return table


@pytest.fixture
def notebook(monkeypatch):
    """Let rich believe that it runs in a notebook; return what it shows there by itself."""
    shown = []
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda segments, text: shown.append(text))
    return shown


def test_a_result_is_shown_once(notebook):
    """Its text is what the notebook shows; a console there would show it a second time."""
    table = PrintedTable()
    table.add_column("what")
    table.add_row("once")
    for result in (Result(), table):
        assert repr(result).count("once") == 1
    assert notebook == []


@pytest.mark.parametrize(
    ("in_notebook", "installed", "asked", "expected"),
    [
        (True, ("ipywidgets", "matplotlib"), "split", "split"),
        (True, ("matplotlib",), True, False),
        (True, ("ipywidgets",), True, False),
        (False, ("matplotlib",), True, True),
        (False, (), True, False),
        (False, (), False, False),
    ],
)
def test_no_bar_where_it_cannot_be_drawn(
    in_notebook, installed, asked, expected, monkeypatch, caplog
):
    monkeypatch.setattr(progress, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setattr(
        progress, "get_console", lambda: rich.console.Console(force_jupyter=in_notebook)
    )
    with caplog.at_level(logging.INFO, "pymc.sgld"):
        assert progress.bar_where_it_can_be(asked) == expected
    assert bool(caplog.records) == (asked is not False and expected is False)
