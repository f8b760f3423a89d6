"""What a line of the table is, and how its outcome is judged."""

import contextlib
import io
import logging
import warnings

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymc.exceptions import SamplingError

from pymc_sgld.comparison.files import OutputError

CLEAR, UNCLEAR, CRASH, SILENT = "clear", "unclear", "crash", "silent"
# RowError and NoScoreError are ValueErrors
EXPECTED = (ValueError, TypeError, SamplingError, OutputError, FileNotFoundError)
MARKER = "an output that was there before"


@dataclass(frozen=True)
class Line:
    """One mistake: where it is made, what is passed, and what the message must contain."""

    entry: str
    given: Mapping[str, Any] | tuple[Any, ...]
    contains: tuple[str, ...]
    note: str = ""

    @property
    def label(self) -> str:
        written = ", ".join(f"{name}={_short(value)}" for name, value in dict(self.given).items())
        return self.note or f"{self.entry}({written})"


def _short(value: Any) -> str:
    text = repr(value).split("\n")[0]
    return text if len(text) < 40 else type(value).__name__


@dataclass(frozen=True)
class Outcome:
    kind: str
    message: str


def lines(entry: str, *rows: tuple[Any, ...]) -> list[Line]:
    """Return lines of one entry point, from (given, fragment, fragment, ...)."""
    return [Line(entry, given, tuple(fragments)) for given, *fragments in rows]


def judge(line: Line, call: Callable[[Line], Any]) -> Outcome:
    """Make the mistake and return what came of it.

    Clear: an error of the expected kind, on one line, that contains all it must. Unclear: an error
    of the expected kind without it. Crash: another kind of error. Silent: none.
    """
    quiet = logging.getLogger("pymc")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            call(line)
    except EXPECTED as error:
        said = str(error)
        if all(fragment in said for fragment in line.contains):
            return Outcome(CLEAR, said)
        return Outcome(UNCLEAR, f"{type(error).__name__}: {said}")
    except Exception as error:  # whatever else comes is a crash
        return Outcome(CRASH, f"{type(error).__name__}: {error}")
    finally:
        quiet.setLevel(level)
    return Outcome(SILENT, "")


def write_outputs(folder: Path) -> None:
    """Write outputs of an earlier run into a folder, which is to be the working directory."""
    for name in ("draws.nc", "report.html", "results/model/draws.nc", "results/model/beta.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(MARKER)


def outputs(folder: Path) -> dict[str, bytes]:
    """Return what lies in a folder, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
