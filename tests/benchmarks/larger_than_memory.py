"""Rows of many times the memory that a process is held to.

``python -m tests.benchmarks.rows_from_disk --larger-than-memory 20``: so many GB of rows of 21
floats, made block by block, and a process that is held to 2 GB in two ways.

- The system refuses it more than 2 GB of memory of its own (``RLIMIT_DATA``), from before the
  rows are written to the end.
- While it samples, a thread looks every 20 ms at its own memory and at the pages of the files that
  the system keeps, together what a control group counts, and drops all of these pages where that
  comes to more than 1.8 GB. The largest that it saw is printed. While the rows are written it does
  not: pages that are not on the disk yet cannot be dropped.

The posterior is that of a linear regression whose noise is known, and known exactly: from the sums
of squares and products of all rows.
"""

import ctypes
import mmap
import os
import resource
import threading
import time

from pathlib import Path

import numpy as np
import pymc as pm

import pymc_sgld as psg

WIDTH, LIMIT = 21, 2e9
_CACHESTAT = 451  # the system call, of Linux 6.5 and later


class Regression:
    """Rows that are made as they are read: 20 columns, and the outcome as the last one."""

    def __init__(self, n_rows, dtype="float32"):
        self.n_rows, self.dtype, self.products = n_rows, dtype, {}
        self.slopes = np.random.default_rng(0).normal(size=WIDTH - 1).astype(dtype)

    def __iter__(self):
        size = 2**19
        for number, start in enumerate(range(0, self.n_rows, size)):
            rng = np.random.default_rng(number)
            shape = (min(size, self.n_rows - start), WIDTH)
            rows = rng.standard_normal(shape, dtype=self.dtype)
            rows[:, -1] += rows[:, :-1] @ self.slopes
            exact = rows.astype("float64")
            self.products[number] = exact.T @ exact
            yield rows

    def posterior(self):
        """Return the exact mean and sds, of slopes with standard normal priors."""
        products = sum(self.products.values())
        covariance = np.linalg.inv(products[:-1, :-1] + np.eye(WIDTH - 1))
        return covariance @ products[:-1, -1], np.sqrt(np.diag(covariance))


def regression(rows=None):
    with pm.Model() as model:
        rows = pm.Data("rows", np.zeros((2, WIDTH), "float32") if rows is None else rows)
        pm.Normal("out", rows[:, :-1] @ pm.Normal("b", shape=WIDTH - 1), 1.0, observed=rows[:, -1])
    return model


def own_memory():
    """Return the bytes of memory that is no page of a file."""
    status = Path("/proc/self/status").read_text().split()
    return 1e3 * int(status[status.index("RssAnon:") + 1])


def cached(path):
    """Return the bytes of a file that the system keeps in memory."""
    found = (ctypes.c_uint64 * 5)()
    with open(path, "rb") as file:
        whole = (ctypes.c_uint64 * 2)(0, 0)
        if ctypes.CDLL(None).syscall(_CACHESTAT, file.fileno(), whole, found, 0):
            raise OSError("how much of a file is in memory is told by Linux 6.5 and later alone")
    return found[0] * mmap.PAGESIZE


def drop(files):
    """Drop the pages of files in random order."""
    for file in files:
        file.windows()
        file._pages.madvise(mmap.MADV_DONTNEED)
        with open(file.path) as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Held:
    """Hold this process, with the pages of files, to so many bytes."""

    def __init__(self, files, limit):
        self.files, self.limit = files, limit

    def __enter__(self):
        self.largest, self.ended = 0.0, threading.Event()
        self.thread = threading.Thread(target=self._hold, daemon=True)
        self.thread.start()
        return self

    def _hold(self):
        while not self.ended.wait(0.02):
            held = own_memory() + sum(cached(file.path) for file in self.files)
            self.largest = max(self.largest, held)
            if held > 0.9 * self.limit:
                drop(self.files)

    def __exit__(self, *error):
        self.ended.set()
        self.thread.join()


def sampled(size, folder, microseconds):
    """Sample rows of so many bytes; return what was measured, by name."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(LIMIT), int(LIMIT)))
    source, told = Regression(int(size / (4 * WIDTH))), {}
    started = time.perf_counter()
    rows = psg.row_model(
        regression(), data={"rows": source}, scratch=folder / "scratch", progressbar=False
    )
    told["random order, s"] = time.perf_counter() - started
    files = list(rows.data.values())
    drop(files)
    with Held(files, LIMIT) as held:
        started, seconds = time.perf_counter(), []
        idata = psg.sample(
            "auto", 1000, rows=rows, model=rows.model, chains=1, cores=1, random_seed=1,
            progressbar=False, check=False, compute_convergence_checks=False, quiet=True,
            callback=lambda trace, draw: seconds.append(time.perf_counter()),
        )  # fmt: skip
        told["tuning, s"] = seconds[0] - started
        told["passes of tuning"] = float(idata["tuning"].attrs["data_passes"])
        told["1000 draws, s"] = seconds[-1] - seconds[0]
        told["a step of sgld, µs"] = microseconds(
            rows.model, draws=60, left_out=20, average=np.mean, rows=rows
        )
    told["largest memory with pages, GB"] = held.largest / 1e9
    mean, sd = source.posterior()
    draws = idata.posterior["b"].to_numpy()[0]
    told["largest error of a mean, sds"] = np.abs((draws.mean(axis=0) - mean) / sd).max()
    ratios = draws.std(axis=0) / sd
    told["least sd ratio"], told["largest sd ratio"] = ratios.min(), ratios.max()
    return told


def in_memory(microseconds):
    """Return the time of the same step on rows in memory."""
    rows = np.concatenate(list(Regression(2**21)))
    return microseconds(regression(rows))
