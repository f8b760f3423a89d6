"""Every line of the table gets a clear error, and touches no output that was there before."""

import re

from pathlib import Path

import pytest

from tests.bad_input.entries import call
from tests.bad_input.table import CLEAR, Line, judge, outputs, write_outputs
from tests.bad_input.tables import LINES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with outputs of an earlier run, which is the working directory of all lines."""
    folder = tmp_path_factory.mktemp("outputs")
    write_outputs(folder)
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
    assert len(LINES) >= 800
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


PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def test_the_page_has_the_count_and_messages_as_they_are_printed(folder, monkeypatch):
    monkeypatch.chdir(folder)
    page = PAGE.read_text()
    assert f"makes {len(LINES)} mistakes" in page
    assert f"`{len(LINES)} bad inputs: {len(LINES)} clear`" in page
    rows = [row.split(" | ") for row in page.splitlines() if row.startswith("| ")][1:]
    assert len(rows) == 10
    said = [judge(line, call).message for line in LINES if line.label in ON_THE_PAGE]
    assert len(said) == 10
    for _, message, _ in rows:
        quoted = message.strip().strip("`").rstrip(".")
        assert any(quoted in one for one in said), quoted


ON_THE_PAGE = (
    "sgld: Bernoulli 2", "sgld: NaN in a constant", "sgld: covariates too large",
    "sgld: prior sd negative", "sgld: potential -inf", "sample(batch_size=41)",
    "sample(step_sise=0.1)", "sample(initvals={'bta': 0.0})", "check: draws, a variable missing",
    "python -m models run linear_regression --draws 0",
)  # fmt: skip
