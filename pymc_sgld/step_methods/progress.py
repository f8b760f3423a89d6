"""The columns of the progress bar, and the bar of what comes before the chains."""

import logging
import time

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from rich import get_console
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from pymc_sgld import records
from pymc_sgld.chain import Chain
from pymc_sgld.model_graph import PassCounter, counted
from pymc_sgld.tuning import WITHOUT_TUNING, most_passes

_log = logging.getLogger("pymc.sgld")
_MANY = 5000  # parameters, beyond which tuning is announced
_OF_EVERY_BAR = ("matplotlib",)  # PyMC takes its colours from there
_OF_NOTEBOOKS = ("ipywidgets",)  # of rich
_SECONDS_BETWEEN = 0.1  # two updates, for the rows may be evaluated one by one


def bar_where_it_can_be(progressbar: Any) -> Any:
    """Return which bar is shown: none where what draws it is not installed, and that is said.

    PyMC's would end the run, and rich would warn in a notebook instead of showing one.
    """
    if progressbar is False:
        return False
    needed = (*_OF_EVERY_BAR, *(_OF_NOTEBOOKS if get_console().is_jupyter else ()))
    missing = [name for name in needed if find_spec(name) is None]
    if not missing:
        return progressbar
    _log.info(
        f"No progress bar is shown: it takes {' and '.join(missing)}. "
        "pip install 'pymc-sgld[notebook]' brings them."
    )
    return False


def announce_tuning(chain: Chain) -> None:
    """Say what is to come where every chain looks for a mode of many parameters by itself."""
    if chain.n_dim <= _MANY or not chain.settings.needs_tuning or chain.prepared is not None:
        return
    most = most_passes(sum(chain.block_function.total_sizes), chain.n_dim)
    _log.info(
        f"With {chain.n_dim:,} parameters each chain first looks for a mode and for the ends of "
        f"its curvature, in vectors alone, in at most {most:,.0f} passes through the data; "
        f"{WITHOUT_TUNING}."
    )


class ProgressColumns:
    """Step size, passes of a draw, and whether it was refused; PyMC asks a step method for them."""

    @staticmethod
    def _progressbar_config(n_chains: int = 1) -> tuple[list[Any], dict[str, Any]]:
        columns = [
            TextColumn("{task.fields[step_size]:0.2e}", table_column=Column("Step size", ratio=1)),
            TextColumn("{task.fields[passes]:0.1f}", table_column=Column("Passes/draw", ratio=1)),
            TextColumn("{task.fields[refused]}", table_column=Column("Refused", ratio=1)),
        ]
        return columns, {
            "step_size": [0.0] * n_chains,
            "passes": [0.0] * n_chains,
            "refused": [False] * n_chains,
        }

    @staticmethod
    def _make_progressbar_update_functions() -> tuple[Any, ...]:
        def update(stats: dict[str, Any]) -> dict[str, Any]:
            return {
                "step_size": stats[records.STEP_SIZE],
                "passes": stats[records.DATA_PASSES],
                "refused": stats[records.DIVERGING],
                "failing": stats[records.DIVERGING],
            }

        return (update,)


@contextmanager
def tuning_shown(shows: bool, console: Console | None = None) -> Iterator[None]:
    """Show what is done before the chains start, and how often it has read the data.

    Parameters
    ----------
    shows : bool
    console : rich.console.Console, optional
        Where to; default: the terminal, or the notebook.
    """
    if not shows:
        yield
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[passes]}")
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task, latest = progress.add_task("Compiling", total=None, passes=""), ("", 0.0)

        def show(doing: str, passes: float) -> None:
            nonlocal latest
            now = time.perf_counter()
            if doing == latest[0] and now - latest[1] < _SECONDS_BETWEEN:
                return
            latest = doing, now
            read = f"{passes:.0f} passes through the data" if doing else ""
            what = f"Tuning: {doing}" if doing else "Compiling"
            progress.update(task, description=what, passes=read)

        with counted(PassCounter(shows=show)):
            yield
