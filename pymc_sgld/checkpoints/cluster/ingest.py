"""Rows that workers write in random order, before anything else."""

import logging
import pickle

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cloudpickle

from pymc_sgld.checkpoints.cluster.executors import executor_of
from pymc_sgld.row_sources import shuffled_by

_log = logging.getLogger("pymc.sgld")

_WORTH_PARTS = 2**30  # bytes, below which one process has written them before workers have begun
_PARTS_A_WORKER = 4


@dataclass
class ClusterShuffler:
    """Runs parts by the workers of a client or an executor.

    Parameters
    ----------
    client
    """

    client: Any

    @property
    def n_parts(self) -> int:
        """Parts of the rows, or of the buckets."""
        return _PARTS_A_WORKER * executor_of(self.client).n_workers

    def is_worth(self, n_bytes: int) -> bool:
        """Whether so many bytes of rows are worth it."""
        return n_bytes >= _WORTH_PARTS

    def run(self, part: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> bool:
        """Run a part with each of some arguments; return whether all were run."""
        executor = executor_of(self.client).tasks()
        futures = []
        try:
            # as bytes: threads of one process must not read one source together
            for one in arguments:
                futures.append(executor.submit(run_part, cloudpickle.dumps((part, one))))
            for future in futures:
                future.result()
        except (Exception, CancelledError) as error:
            _log.warning(
                f"The workers could not write the rows in random order, which is done here: "
                f"{type(error).__name__}: {error}"
            )
            return False
        finally:
            for future in futures:
                future.cancel()
        return True


def run_part(packed: bytes) -> None:
    """Run a part."""
    part, arguments = pickle.loads(packed)
    part(*arguments)


@contextmanager
def rows_written_by(client: Any) -> Iterator[None]:
    """Let the workers of a client write the rows within."""
    with shuffled_by(None if client is None else ClusterShuffler(client)):
        yield
