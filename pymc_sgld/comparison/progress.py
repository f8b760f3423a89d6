"""What a comparison is at, besides its runs."""

from collections.abc import Iterable, Iterator

from rich.progress import track


def shown[Item](items: Iterable[Item], what: str, progressbar: bool) -> Iterator[Item]:
    """Yield the items one by one, with a progress bar if there is to be one.

    Parameters
    ----------
    items : iterable
    what : str
        What is done with them, in words.
    progressbar : bool
    """
    yield from track(list(items), what, disable=not progressbar)
