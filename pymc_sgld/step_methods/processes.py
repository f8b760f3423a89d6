"""Step methods in other processes than the one that made them."""

import os

from typing import Any, ClassVar

from pymc.exceptions import SamplingError

from pymc_sgld.chain import Chain


class CrossesProcesses:
    """A step method that is pickled without its model, and knows the process it was made in."""

    name: ClassVar[str]
    chain: Chain
    _process: int

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the model, whose graph would carry the data a second time."""
        state = {key: value for key, value in self.__dict__.items() if not key.endswith("newargs")}
        return object.__new__, (type(self),), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a pickle made in another process."""
        self.__dict__.update(state)
        self._process = os.getpid()

    def _check_process(self) -> None:
        """Refuse to run in a fork of the process that JAX compiled in."""
        if not self.chain.loop.survives_fork and self._process != os.getpid():
            raise SamplingError(
                f"{self.name} was compiled with JAX, which does not survive a fork of the process. "
                "Pass backend='jax' to pm.sample as well, or mp_ctx='forkserver', or cores=1."
            )
