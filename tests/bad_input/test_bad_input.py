"""Every line of the table gets a clear error, and touches no output that was there before."""

import re

import pytest

from tests.bad_input.entries import call
from tests.bad_input.table import CLEAR, MARKER, Line, judge, outputs
from tests.bad_input.tables import LINES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with outputs of an earlier run, which is the working directory of all lines."""
    folder = tmp_path_factory.mktemp("outputs")
    for name in ("draws.nc", "report.html", "results/model/draws.nc", "results/model/beta.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(MARKER)
    return folder


def identity(number, line):
    """Name a test, alike in every process: what is printed of an object may hold its address."""
    return f"{number}-{re.sub(' at 0x[0-9A-Fa-f]+', '', line.label)}"


@pytest.mark.parametrize("line", LINES, ids=map(identity, range(len(LINES)), LINES))
def test_a_clear_error_and_no_output(line, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = outputs(folder)
    outcome = judge(line, call)
    assert outcome.kind == CLEAR, f"{outcome.kind}: {outcome.message}"
    assert outputs(folder) == before


def test_the_table_is_large_and_has_no_line_twice():
    labels = [line.label for line in LINES]
    assert len(LINES) >= 250
    assert len(set(labels)) > 0.9 * len(labels)


@pytest.mark.parametrize(
    ("mistake", "kind"),
    [
        (lambda line: None, "silent"),
        (lambda line: {}["draws"], "crash"),
        (lambda line: int("x"), "unclear"),
    ],
)
def test_the_judge_sees_what_is_not_clear(mistake, kind):
    assert judge(Line("sample", {"draws": 0}, ("draws must be",)), mistake).kind == kind
