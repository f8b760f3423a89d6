"""Step methods in other processes than the one that made them."""

import multiprocessing
import os
import threading

from typing import Any, ClassVar

from pymc.exceptions import SamplingError

from pymc_sgld.chain import Chain


class CrossesProcesses:
    """A step method that is pickled without its model, and knows the process it was made in."""

    name: ClassVar[str]
    chain: Chain
    ends_with_parent: bool = True  # unless what it is part of has to write first
    _process: int
    _crossed: bool = False  # as a pickle

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the model, whose graph would carry the data a second time."""
        state = {key: value for key, value in self.__dict__.items() if not key.endswith("newargs")}
        return object.__new__, (type(self),), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a pickle made in another process."""
        self.__dict__.update(state)
        self._process, self._crossed = os.getpid(), True

    def _check_process(self) -> None:
        """Refuse to run in a fork of the process that JAX compiled in; else end with the parent."""
        if not self.chain.loop.survives_fork and self._process != os.getpid():
            raise SamplingError(
                f"{self.name} was compiled with JAX, which does not survive a fork of the process. "
                "Pass backend='jax' to pm.sample as well, or mp_ctx='forkserver', or cores=1."
            )
        if self.ends_with_parent and (self._crossed or self._process != os.getpid()):
            end_with_parent()


_watched: set[int] = set()  # the processes that end with their parent


def end_with_parent() -> None:
    """Let a process of :mod:`multiprocessing` end when its parent is gone, however that ended.

    A parent that is killed says nothing to its processes, and these would wait for it forever.
    """
    parent, process = multiprocessing.parent_process(), os.getpid()
    if parent is None or process in _watched:
        return
    _watched.add(process)

    def wait() -> None:
        parent.join()
        os._exit(1)  # nobody is left to raise anything to

    threading.Thread(target=wait, name="end with parent", daemon=True).start()
