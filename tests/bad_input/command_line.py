"""Mistakes on the command line ``python -m models``: one line, status 2, and nothing written."""

import contextlib
import io

from models.__main__ import main
from tests.bad_input.table import Line

MODEL = "linear_regression"
MISTAKES = [
    ([], "required: command"),
    (["sample"], "invalid choice: 'sample'"),
    (["run"], "required: model"),
    (["run", "no_such"], "invalid choice: 'no_such'"),
    (["run", MODEL, "--draws", "0"], "--draws must be >= 1", "0"),
    (["run", MODEL, "--draws", "many"], "--draws", "'many'"),
    (["run", MODEL, "--draws", "1.5"], "--draws", "'1.5'"),
    (["run", MODEL, "--tune", "-1"], "--tune must be >= 0", "-1"),
    (["run", MODEL, "--chains", "0"], "--chains must be >= 1"),
    (["run", MODEL, "--cores", "0"], "--cores must be >= 1"),
    (["run", MODEL, "--rows", "0"], "--rows must be >= 1"),
    (["run", MODEL, "--seed", "-1"], "--seed must be >= 0"),
    (["run", MODEL, "--sampler", "sglt"], "--sampler must be one of", "Did you mean 'sgld'"),
    (["run", MODEL, "--sampler", "nuts"], "--sampler must be one of"),
    (["run", MODEL, "--out", "draws.nc"], "draws.nc is a file"),
    (["run", MODEL, "--out", "draws.nc/inner"], "draws.nc is a file"),
    (["run", MODEL, "--colour"], "--colour"),
    (["compare", MODEL, "--draws", "0"], "--draws must be >= 1"),
    (["compare", MODEL, "--draws", "2"], "draws must be >= 4", "2"),
    (["compare", MODEL, "--chains", "0"], "--chains must be >= 1"),
    (["compare", MODEL, "--samplers", "sgld,sglt"], "--samplers", "Did you mean 'sgld'"),
    (["compare", MODEL, "--samplers", ""], "--samplers must be one of"),
    (["compare", MODEL, "--samplers", "sgld,advi"], "--reference must be one of 'sgld', 'advi'"),
    (["compare", MODEL, "--reference", "sgfs"], "reference must be one of", "'sgfs'"),
    (["compare", MODEL, "--out", "report.html"], "report.html is a file"),
    (["compare", MODEL, "--rows", "x"], "--rows", "'x'"),
    (["evidence"], "required: kind"),
    (["evidence", "tuning", "--seeds", "x", "--out", "new"], "--seeds must be numbers", "'x'"),
    (["evidence", "tuning", "--problems", "none", "--out", "new"], "no problem none"),
    (["evidence", "tuning", "--draws", "0"], "--draws must be >= 1"),
    (["evidence", "tuning", "--chains", "0"], "--chains must be >= 1"),
    (["evidence", "check", "--seed", "-2"], "--seed must be >= 0"),
    (["evidence", "tuning", "--out", "draws.nc"], "draws.nc is a file"),
]


def call(line: Line) -> None:
    """Make the mistake; raise what was said, if it was one line and the status was 2."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            main(line.given["arguments"])
    except SystemExit as ended:
        text = said.getvalue()
        if ended.code != 2 or text.count("\n") != 1 or not text.startswith("python -m models"):
            raise RuntimeError(f"status {ended.code}, {text!r}") from ended
        raise ValueError(text.strip()) from ended


LINES = [
    Line(
        "models",
        {"arguments": arguments},
        tuple(contains),
        f"python -m models {' '.join(arguments)}".strip(),
    )
    for arguments, *contains in MISTAKES
]
