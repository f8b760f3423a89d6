"""Rates and memory of rows from disk: sources, cold files, and growing numbers of rows.

``python -m tests.benchmarks.rows_from_disk``: four tables, in a folder of temporary files that is
removed at the end (``--folder`` names another place).

1. The same regression of ``--rows`` rows from memory, a memory map, Parquet and Zarr: seconds to
   write the rows in random order, microseconds of a step afterwards, and peak memory, that of
   arrays of its own apart from mapped pages.
2. A file of which no page is in memory, as where it is much larger than memory: steps with what is
   asked ahead and without, beside the same steps once the pages are there. The limit is not set by
   the system: pages are dropped before, and every window of the run is read from the disk once;
   the same windows again are then in memory.
3. Logistic regression on rows of five bytes, made block by block, from 1e4 to ``--largest``.

4. The file of the first table with ``scratch=False``, in random order and sorted by the outcome:
   what is said of it, and microseconds of a step.

Every line is a process of its own. Two options make one table each and no other: ``--auto 1e9``,
two columns of four bytes, made block by block, sampled by "auto" (8.5 GB of disk at 1e9), and
``--larger-than-memory 20``, GB of rows in a process that is held to two: see
:mod:`tests.benchmarks.larger_than_memory`.
"""

import argparse
import os
import resource
import tempfile
import threading
import time

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pymc as pm

from rich.console import Console
from rich.table import Table

import pymc_sgld as psg

from pymc_sgld.model_graph.density import bound_data
from pymc_sgld.row_sources import read_ahead
from pymc_sgld.tuning import between_blocks
from tests.benchmarks import larger_than_memory

N_COLUMNS, BATCH, STEPS, DRAWS = 20, 256, 500, 30


class Made:
    """Rows that are made as they are read: x of four bytes, and y that follows from it."""

    def __init__(self, n_rows, column, outcome):
        self.n_rows, self.column, self.outcome, self.products = n_rows, column, outcome, {}

    def __iter__(self):
        size = 2**22
        for number, start in enumerate(range(0, self.n_rows, size)):
            rng = np.random.default_rng(number)
            x = rng.standard_normal(min(size, self.n_rows - start), dtype="float32")
            if self.column == "x":
                yield x
                continue
            y = self.outcome(x, rng)
            both = np.stack([np.ones(len(x)), x, y])
            self.products[number] = both @ both.T
            yield y

    def line(self):
        """Return mean and sds of intercept, slope and noise given all rows, under flat priors."""
        products = sum(self.products.values())
        of_x, n = products[:2, :2], self.n_rows
        slopes = np.linalg.solve(of_x, products[:2, 2])
        noise = np.sqrt((products[2, 2] - slopes @ products[:2, 2]) / n)
        sds = noise * np.sqrt(np.diag(np.linalg.inv(of_x)))
        return np.append(slopes, noise), np.append(sds, noise / np.sqrt(2 * n))


def answers(x, rng):
    """Return yes or no, of one byte."""
    return (rng.random(len(x), dtype="float32") < 1 / (1 + np.exp(-0.5 - x))).astype("int8")


def heights(x, rng):
    """Return y = 0.5 - 1.5 x + 0.8 e, of four bytes."""
    noise = rng.standard_normal(len(x), dtype="float32")
    return np.float32(0.5) - np.float32(1.5) * x + np.float32(0.8) * noise


def line():
    with pm.Model() as model:
        x, y = pm.Data("x", np.zeros(2, "float32")), pm.Data("y", np.zeros(2, "float32"))
        a, b, sigma = pm.Normal("a"), pm.Normal("b"), pm.HalfNormal("sigma")
        pm.Normal("out", a + b * x, sigma, observed=y)
    return model


def linear(X=None, y=None):
    with pm.Model() as model:
        X = pm.Data("X", np.zeros((2, N_COLUMNS)) if X is None else X)
        y = pm.Data("y", np.zeros(2) if y is None else y)
        pm.Normal("out", X @ pm.Normal("b", shape=N_COLUMNS), 1.0, observed=y)
    return model


def logistic():
    with pm.Model() as model:
        x, y = pm.Data("x", np.zeros(2)), pm.Data("y", np.zeros(2, "int8"))
        a, b = pm.Normal("a"), pm.Normal("b")
        pm.Bernoulli("out", logit_p=a + b * x, observed=y)
    return model


def arrays(n_rows):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, N_COLUMNS))
    return X, X @ rng.standard_normal(N_COLUMNS) + rng.standard_normal(n_rows)


def write_sources(folder, n_rows):
    import pyarrow as arrow
    import pyarrow.parquet as parquet
    import zarr

    X, y = arrays(n_rows)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    table = arrow.table({f"x{i}": X[:, i] for i in range(N_COLUMNS)} | {"y": y})
    parquet.write_table(table, folder / "table.parquet", row_group_size=100_000)
    zarr.create_array(folder / "X.zarr", data=X, chunks=(50_000, N_COLUMNS))
    zarr.create_array(folder / "y.zarr", data=y, chunks=(50_000,))


def data_of(kind, folder):
    if kind == "Parquet":
        table = folder / "table.parquet"
        names = [f"x{i}" for i in range(N_COLUMNS)]
        return {"X": psg.columns(table, names), "y": psg.columns(table, "y")}
    suffix = {"memory map": "npy", "Zarr": "zarr"}[kind]
    return {name: folder / f"{name}.{suffix}" for name in ("X", "y")}


def microseconds(
    model, draws=DRAWS, average=np.median, after_first=lambda: None, left_out=1, **arguments
):
    """Return the time of a step, averaged over draws but the first ones, in microseconds.

    At the first draw the noise of the batches is measured, on all rows.
    """
    seconds = []

    def clock(trace, draw):
        if not seconds:
            after_first()
        seconds.append(draw.stats[0]["seconds"])

    psg.sample(
        "sgld", draws, tune=0, chains=1, cores=1, step_size=1e-12, batch_size=BATCH,
        batches="independent", steps_per_draw=STEPS, random_seed=1, progressbar=False, check=False,
        verify=False, compute_convergence_checks=False, quiet=True, model=model, callback=clock,
        **arguments,
    )  # fmt: skip
    return 1e6 * float(average(seconds[left_out:])) / STEPS


def memory():
    """Return the peak of all memory and what is of arrays of its own, in GB."""
    status = Path("/proc/self/status").read_text().split()
    own = int(status[status.index("RssAnon:") + 1]) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, own


def of_source(kind, folder, n_rows):
    started = time.perf_counter()
    if kind == "memory":
        step = microseconds(linear(*arrays(n_rows)))
        return 0.0, step, *memory()
    rows = psg.row_model(
        linear(), data=data_of(kind, folder), scratch=folder / f"scratch {kind}", progressbar=False
    )
    ingest = time.perf_counter() - started
    return ingest, microseconds(rows.model, rows=rows), *memory()


def cold(folder, asks):
    """Return the time of a step of which every window comes from the disk."""
    scratch = folder / "scratch memory map"
    read_ahead.available_memory = lambda: 0.0 if asks else np.inf
    rows = psg.row_model(
        linear(), data=data_of("memory map", folder), scratch=scratch, progressbar=False
    )

    def drop():
        os.sync()
        larger_than_memory.drop(rows.data.values())

    # the first of them were asked for before the pages were dropped
    few = {"draws": 40, "left_out": 16, "average": np.mean, "rows": rows}
    first = microseconds(rows.model, after_first=drop, **few)
    return first, microseconds(rows.model, **few), *memory()


def of_size(n_rows, folder):
    started = time.perf_counter()
    data = {"x": Made(n_rows, "x", answers), "y": Made(n_rows, "y", answers)}
    rows = psg.row_model(logistic(), data=data, scratch=folder, progressbar=False)
    ingest = time.perf_counter() - started
    return ingest, microseconds(rows.model, rows=rows), *memory()


class PeakOfOwn:
    """The largest memory of arrays of its own that a process had, looked at again and again."""

    def __enter__(self):
        self.largest, self.ended = 0.0, threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()
        return self

    def look(self):
        while not self.ended.wait(0.05):
            self.largest = max(self.largest, memory()[1])

    def __exit__(self, *error):
        self.ended.set()
        self.thread.join()


def by_auto(n_rows, folder):
    """Sample a line by "auto"; return times, memory, and how exact it is, by name."""
    with PeakOfOwn() as peak:
        started = time.perf_counter()
        data = {"x": Made(n_rows, "x", heights), "y": Made(n_rows, "y", heights)}
        rows = psg.row_model(line(), data=data, scratch=folder, progressbar=False)
        ingest = time.perf_counter() - started
        started, seconds = time.perf_counter(), []
        idata = psg.sample(
            "auto", 200, rows=rows, model=rows.model, chains=1, cores=1, random_seed=1,
            progressbar=False, check=False, compute_convergence_checks=False, quiet=True,
            callback=lambda trace, draw: seconds.append(time.perf_counter()),
        )  # fmt: skip
    draws = np.stack([idata.posterior[name].to_numpy()[0] for name in ("a", "b", "sigma")])
    mean, sd = data["y"].line()
    off, wide = np.abs(draws.mean(axis=1) - mean) / sd, draws.std(axis=1) / sd
    of_truth = np.abs(mean - [0.5, -1.5, 0.8]) / sd
    print(idata["tuning"].attrs["reason"])
    passes = float(idata["tuning"].attrs["data_passes"])
    tuning, drawing = seconds[0] - started, seconds[-1] - seconds[0]
    return {
        "random order, s": ingest,
        "tuning, s": tuning,
        "passes of tuning": passes,
        "200 draws, s": drawing,
        "own arrays, GB": peak.largest,
        "largest distance of the exact means from the truth, sds": of_truth.max(),
        "largest error of a mean, sds": off.max(),
        "least sd ratio": wide.min(),
        "largest sd ratio": wide.max(),
    }


def where_they_lie(is_sorted, folder, n_rows):
    """Return how much more noise was told than random rows have, 1 where nothing was; a step."""
    bound_data._INTO_MEMORY = 0
    data, told = data_of("memory map", folder), []
    if is_sorted:
        order = np.argsort(np.load(data["y"]))
        for name, path in data.items():
            data[name] = folder / f"sorted {name}.npy"
            np.save(data[name], np.load(path)[order])
    between_blocks._say = lambda function, scheme, factor, compensates: told.append(factor)
    rows = psg.row_model(linear(), data=data, scratch=False, progressbar=False)
    step = microseconds(rows.model, rows=rows, draws=10)
    return max(told, default=1.0), step


def apart(function, *arguments):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def table_of(title, columns, lines):
    table = Table(*columns, title=title)
    for name, *numbers in lines:
        table.add_row(name, *(f"{number:,.2f}" for number in numbers))
    Console().print(table)


def of_rows(size, folder):
    """Print what was measured of rows of so many GB in a process that is held to 2 GB."""
    told = apart(larger_than_memory.sampled, 1e9 * size, folder, microseconds)
    told["the same step in memory, µs"] = apart(larger_than_memory.in_memory, microseconds)
    width = larger_than_memory.WIDTH
    print_told(f"{size:g} GB of rows of {width} floats in a process held to 2 GB", told)


def print_told(title, told):
    table_of(title, ("", ""), list(told.items()))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=float, default=1e7)
    options.add_argument("--largest", type=float, default=1e8)
    options.add_argument("--folder")
    options.add_argument("--auto", type=float, help="rows of two columns, sampled by auto")
    options.add_argument("--larger-than-memory", type=float, help="GB of rows, held to 2 GB")
    given = options.parse_args()
    if given.larger_than_memory:
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            of_rows(given.larger_than_memory, Path(name))
        return
    if given.auto:
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            told = apart(by_auto, int(given.auto), Path(name))
        print_told(f'{given.auto:,.0f} rows of two columns of four bytes, by "auto"', told)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder, n_rows = Path(name), int(given.rows)
        size = n_rows * 8 * (N_COLUMNS + 1) / 1e9
        apart(write_sources, folder, n_rows)
        kinds = ["memory", "memory map", "Parquet", "Zarr"]
        table_of(
            f"{n_rows:,} rows of {N_COLUMNS + 1} doubles, {size:.2f} GB, batches of {BATCH}",
            ("source", "random order, s", "µs a step", "peak RSS, GB", "own arrays, GB"),
            [(kind, *apart(of_source, kind, folder, n_rows)) for kind in kinds],
        )
        table_of(
            "No page in memory at the start",
            ("", "µs a step", "again, µs", "peak RSS, GB", "own arrays, GB"),
            [
                ("asked ahead", *apart(cold, folder, True)),
                ("not asked", *apart(cold, folder, False)),
            ],
        )
        table_of(
            "scratch=False",
            ("the rows", "told noise, times that of random rows", "µs a step"),
            [
                (name, *apart(where_they_lie, kind, folder, n_rows))
                for name, kind in (("in random order", False), ("sorted by the outcome", True))
            ],
        )
        sizes = [10**k for k in range(4, 13) if 10**k <= given.largest]
        table_of(
            "Rows of 5 bytes made block by block",
            ("rows", "random order, s", "µs a step", "peak RSS, GB", "own arrays, GB"),
            [
                (f"{n:,}", *apart(of_size, n, folder / f"{n}"))
                for n in sizes[::2] + sizes[1::2][-1:]
            ],
        )


if __name__ == "__main__":
    main()
