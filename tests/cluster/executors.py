"""Executors whose tasks are lost, late, or stopped, in the threads of this process."""

import signal
import threading
import time

from concurrent.futures import Future, ThreadPoolExecutor

from pymc_sgld.checkpoints.cluster import run_chains
from tests.checkpoints.runs import SESSION, sample

OF_A_CLUSTER = {name: value for name, value in SESSION.items() if name != "cores"}


class Wrapped:
    """An executor that does something to its tasks, by their number from 1 on."""

    def __init__(self, executor=None):
        self.executor, self.count = executor, 0

    def submit(self, function, *arguments):
        self.count += 1
        return self.submitted(self.count, function, *arguments)

    def submitted(self, number, function, *arguments):
        return self.executor.submit(function, *arguments)


class Losing(Wrapped):
    """Loses tasks: they are run, and what they return does not arrive.

    ``loses`` is told the number of a task and its piece.
    """

    def __init__(self, executor, loses):
        super().__init__(executor)
        self.loses = loses

    def submitted(self, number, function, *arguments):
        future = self.executor.submit(function, *arguments)
        if not self.loses(number, arguments[-1]):
            return future
        future.result()
        lost = Future()
        lost.set_exception(ConnectionError("a worker is gone"))
        return lost


class Interrupting(Wrapped):
    """Is interrupted, as by Ctrl-C, when a task is handed in."""

    def __init__(self, executor, number):
        super().__init__(executor)
        self.number = number

    def submitted(self, number, function, *arguments):
        if number == self.number:
            time.sleep(0.2)  # what was handed in before is there
            signal.raise_signal(signal.SIGINT)
        return self.executor.submit(function, *arguments)


class Stopping(Wrapped):
    """Never begins one task."""

    def __init__(self, executor, number):
        super().__init__(executor)
        self.number = number

    def submitted(self, number, function, *arguments):
        return Future() if number == self.number else self.executor.submit(function, *arguments)


class Gone(Wrapped):
    """Takes no task any more from one on."""

    def __init__(self, executor, number):
        super().__init__(executor)
        self.number = number

    def submitted(self, number, function, *arguments):
        if number >= self.number:
            raise RuntimeError("shut down")
        return self.executor.submit(function, *arguments)


class Serial(Wrapped):
    """Runs a task at once, and remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.given, self.threads = [], set()

    def submitted(self, number, function, *arguments):
        self.given.append((function, arguments))
        self.threads.add(threading.get_ident())
        future = Future()
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)
        return future


def threads():
    return ThreadPoolExecutor(2)


def run_of(client, step, model, draws):
    """Run two chains of a step method that is compiled, elsewhere."""
    options = {"model": model, "chains": 2, "tune": 12, "random_seed": 3, "progressbar": False}
    return run_chains(client, step, options, draws)


def on(client, sampler="sgld", draws=30, **more):
    """Sample as ``tests.checkpoints.runs.sample`` does, elsewhere."""
    return sample(sampler, draws, client=client, cores=None, **more)
