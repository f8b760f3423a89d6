"""Result objects that print themselves: with rich, and wherever their ``repr`` is shown."""

import io

from rich.console import Console
from rich.table import Table

_WIDTH = 120


class Printed:
    """Shows as text what ``rich.print`` shows; the class says what that is in ``__rich__``."""

    def __repr__(self) -> str:
        """Return the table as text."""
        # a console in a notebook would show the table itself, beside the text that is returned
        console = Console(width=_WIDTH, file=io.StringIO(), record=True, force_jupyter=False)
        console.print(self)
        return console.export_text()


class PrintedTable(Printed, Table):
    """A table that prints itself."""
