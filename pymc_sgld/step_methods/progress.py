"""The columns of the progress bar."""

from typing import Any

from rich.progress import TextColumn
from rich.table import Column

from pymc_sgld import records


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
