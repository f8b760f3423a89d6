"""All of it: ``python -m tests.benchmarks.speed [--parts abcd] [--sizes 10000,100000]``.

Each run is a process of its own, so that its CPU seconds, its memory and what it compiles are its
own; methods take turns. What cannot be run is said in words, and the rest goes on.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import venv

from datetime import date
from pathlib import Path

import numpy as np

from tests.benchmarks.speed import report
from tests.benchmarks.speed.data import FAMILIES, logistic_mode, regression

ROOT = Path(__file__).parents[3]
PEERS = ROOT / ".venv-peers"
PEER_PACKAGES = ("blackjax", "numpyro")
SIZES = (10**4, 10**5, 10**6)
LARGEST = {"nutpie": 10**5}  # rows: beyond, minutes for some hundred draws
FROM_OUTSIDE = {"blackjax_sgld_cv": "blackjax", "numpyro_hmcecs": "numpyro"}
METHODS = ("psg_auto", "blackjax_sgld_cv", "numpyro_hmcecs", "nutpie", "advi")
OF_MODELS = ("adult_income", "health_visits", "motor_claims", "factorisation")
ROWS = (10**4, 10**5, 10**6, 10**7, 10**8)
BYTES_PER_ROW = 48 * 4  # of part d: the data, what makes them, the shuffled rows
LIMIT = 900  # seconds of a run


def peers_python():
    """Return the Python that has the peers, installed once; None, and why, if it cannot be."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        print(f"Installing {', '.join(PEER_PACKAGES)} into {PEERS.name}, once", flush=True)
        venv.create(PEERS, with_pip=True)
    for command in (
        [python, "-c", f"import {', '.join(PEER_PACKAGES)}"],
        [python, "-m", "pip", "install", "--quiet", *PEER_PACKAGES],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return python, ""
    return None, f"the package index gave no {', '.join(PEER_PACKAGES)}"


def run(module, *arguments, python=sys.executable, cache=None):
    """Return what a run printed as JSON, or why there is nothing."""
    environment = os.environ | {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    if cache is not None:
        environment["PYTENSOR_FLAGS"] = f"base_compiledir={cache}"
    words = [str(one) for one in arguments]
    print(" ".join([module, *words[:3]]), flush=True)
    command = [str(python), "-W", "ignore", "-m", f"tests.benchmarks.speed.{module}", *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"stopped after {LIMIT} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def steps(cases):
    """Part a."""
    for family, n_dim, dtype in cases:
        figures = run("steps", family, n_dim, dtype)
        yield {"family": family, "n_dim": n_dim, "dtype": dtype} | figures


def end_to_end(sizes, cache):
    """Part b: methods in turns; ours from an empty cache, then with other data."""
    python, why_not = peers_python()
    for n_rows in sizes:
        plan = [("psg_auto", "cold", 1, Path(cache, str(n_rows)))]
        plan += [(method, "", 2, Path(cache, str(n_rows))) for method in METHODS]
        plan += [("psg_auto_long", "", 3, Path(cache, str(n_rows)))] if n_rows == 10**5 else []
        for method, state, seed, own_cache in plan:
            row = {"method": method, "state": state, "rows": n_rows}
            if n_rows > LARGEST.get(method, n_rows):
                yield row | {"failed": "not run: minutes for some hundred draws"}
            elif method in FROM_OUTSIDE and python is None:
                yield row | {"failed": f"not run: {why_not}"}
            else:
                outside = method in FROM_OUTSIDE
                module, chosen = ("peers", python) if outside else ("ours", sys.executable)
                yield row | one_of(module, method, n_rows, seed, chosen, own_cache)


def one_of(module, method, n_rows, seed, python, cache):
    """Return the figures of a run: seconds, effective draws, and how far from the posterior."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "draws.npy")
        figures = run(module, method, n_rows, seed, path, python=python, cache=cache)
        if "failed" in figures:
            return figures
        return figures | accuracy(np.load(path), method, n_rows, seed)


def accuracy(draws, method, n_rows, seed):
    """Return effective draws, and errors against the normal law at the mode."""
    from arviz_stats import ess

    mode, covariance = logistic_mode(*regression("logistic", n_rows, draws.shape[-1], seed))
    sd = np.sqrt(np.diag(covariance))
    ratio = draws.std(axis=(0, 1)) / sd
    found = {
        "draws": int(np.prod(draws.shape[:2])),
        "mean_error": float(np.abs((draws.mean(axis=(0, 1)) - mode) / sd).max()),
        "sd_ratio_min": float(ratio.min()),
        "sd_ratio_max": float(ratio.max()),
    }
    if method != "advi":  # independent draws of a wrong law
        found["ess"] = float(np.min(ess(draws, chain_axis=0, draw_axis=1)))
    return found


def first_draws(names, cache):
    """Part c."""
    for name in names:
        own = Path(cache, name)
        for state in ("cold", "warm"):
            figures = run("ours", "first_draw", name, 0, "-", cache=own)
            yield {"model": name, "state": state} | figures


def scales(rows):
    """Part d: as far as memory allows."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for n_rows in rows:
        needed = n_rows * BYTES_PER_ROW
        if needed > free:
            said = f"not run: {needed / 1e9:.0f} GB of memory needed, {free / 1e9:.0f} GB free"
            yield {"rows": n_rows, "failed": said}
            continue
        yield {"rows": n_rows} | run("ours", "scale", n_rows, 0, "-")


def machine():
    """Return what the figures are of."""
    from importlib.metadata import version

    packages = ("pymc", "pytensor", "numba", "nutpie", "numpy")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT
    ).stdout.strip()
    return {
        "date": date.today().isoformat(),
        "commit": commit,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[1],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default="abcd")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="rows of part b")
    parser.add_argument("--models", default=",".join(OF_MODELS), help="of part c; all: every one")
    parser.add_argument("--rows", default=",".join(map(str, ROWS)), help="of part d")
    options = parser.parse_args()
    cases = [(family, 20, "float64") for family in FAMILIES]
    cases += [("logistic", 20, "float32"), ("logistic", 123, "float64"),
              ("logistic", 123, "float32")]  # fmt: skip
    cache = tempfile.mkdtemp(prefix="benchmark")
    names = options.models.split(",")
    if options.models == "all":
        import models

        names = [name for name in models.names() if hasattr(models.load(name), "build_model")]
    parts = {
        "a": ("steps", lambda: steps(cases)),
        "b": ("end_to_end", lambda: end_to_end([int(n) for n in options.sizes.split(",")], cache)),
        "c": ("first_draws", lambda: first_draws(names, cache)),
        "d": ("scales", lambda: scales([int(n) for n in options.rows.split(",")])),
    }
    try:
        results = report.read()
        for part in options.parts:
            name, measure = parts[part]
            rows, of_machine = [], machine()
            for row in measure():
                rows.append(row)
                results[name] = {"machine": of_machine, "rows": rows}
                report.write(results)  # after each: what is there is not lost
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    report.show(results)


if __name__ == "__main__":
    main()
