"""One run: the sampler that tunes itself on a problem; then the verdict on it."""

import json
import logging
import os
import subprocess
import time
import warnings

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm

import pymc_sgld as psg

from models._datasets import MissingData
from models.evidence.moments import Moments, by_parameter, columns_of, moments_of
from models.evidence.outcomes import UNKNOWN, WARNED, errors_of, verdict
from models.evidence.problems import Problem
from models.evidence.references import NoReference, reference
from pymc_sgld.comparison.files import written_aside


@dataclass(frozen=True)
class Options:
    """What the command line says of every run."""

    folder: Path
    draws: int | None = None  # none: the sampler's own
    chains: int = 4
    cores: int = 2
    nutpie_seconds: float = 0.0  # 0: nutpie is not run
    new_references: bool = True  # else those that are in the folder


def measure(problem: Problem, seed: int, options: Options) -> dict[str, Any]:
    """Run once, keep the moments in the folder, and return a row without a verdict."""
    row: dict[str, Any] = {"problem": problem.name, "seed": seed, "chains": options.chains}
    row["commit"] = _commit()
    try:
        model = problem.build()
    except MissingData as error:
        return row | {"verdict": "skipped", "note": str(error)}
    row |= _sizes(model)
    with listening() as heard:
        cpu, wall = _cpu_seconds(), time.perf_counter()
        try:
            result = _sample(model, seed, options, problem.sampling)
        except Exception as error:  # every failure is a row of the table
            told = f"{type(error).__name__}: {error}"
            return row | {"verdict": "raised", "note": told, "warnings": heard}
        row["cpu_seconds"] = _cpu_seconds() - cpu
        row["wall_seconds"] = time.perf_counter() - wall
    row |= _choices(result) | _costs(result, row["wall_seconds"])
    row |= _mixing(problem, model, result) | {"warnings": heard}
    row["ess_per_cpu_second"] = row["ess_min"] / row["cpu_seconds"]
    posterior = result["posterior"]
    moments_of(posterior, list(posterior.data_vars), "auto").save(_file(row, options.folder, "npz"))
    if options.nutpie_seconds:
        row |= _nutpie(problem, model, options, seed)
    return row


def judged(row: dict[str, Any], problem: Problem, options: Options) -> dict[str, Any]:
    """Add errors and verdict to a row that has none yet, for which a reference may be made."""
    moments = _file(row, options.folder, "npz")
    if row.get("verdict", UNKNOWN) not in (UNKNOWN, WARNED) or not moments.exists():
        return row
    errors = None
    try:
        known = reference(problem, options.folder, make=options.new_references)
    except NoReference as error:
        row["note"] = f"no reference: {error}"
    else:
        errors = errors_of(Moments.load(moments), known)
        row |= {"reference": known.how, "note": ""} | errors.as_row()
    ess, warned = row["ess_min"], row["warnings"]
    row["verdict"] = verdict(errors, ess=ess, chains=row["chains"], warnings=warned)
    return row


def save(row: dict[str, Any], folder: Path) -> Path:
    """Write a row to a file of its own."""
    path = _file(row, folder, "json")
    with written_aside(path) as aside:
        aside.write_text(json.dumps(row, indent=1, default=float) + "\n")
    return path


def load(problem: Problem, seed: int, folder: Path) -> dict[str, Any] | None:
    """Return the row of a run that was made before."""
    path = _file({"problem": problem.name, "seed": seed}, folder, "json")
    if not path.exists():
        return None
    row: dict[str, Any] = json.loads(path.read_text())
    return row


def _file(row: dict[str, Any], folder: Path, ending: str) -> Path:
    return folder / "runs" / f"{row['problem']}-{row['seed']}.{ending}"


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collect what PyMC and the sampler warn of, by the logger or by Python."""
    heard: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("pymc")
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always", UserWarning)
            yield heard
        # what PyTensor says of the machine says nothing of the draws
        own = [one for one in raised if "pytensor" not in one.filename]
        heard += [str(one.message) for one in own if issubclass(one.category, UserWarning)]
    finally:
        logger.removeHandler(handler)


def _sample(model: pm.Model, seed: int, options: Options, named: dict[str, Any]) -> Any:
    own = named if options.draws is None else named | {"draws": options.draws}
    with model:
        return psg.sample(
            **own,
            chains=options.chains,
            cores=options.cores,
            random_seed=seed,
            progressbar=False,
            discard_tuned_samples=False,  # to count the passes of the tune phase
        )


def _sizes(model: pm.Model) -> dict[str, int]:
    point = model.initial_point()
    rows = max(int(model.rvs_to_values[one].shape[0].eval()) for one in model.observed_RVs)
    return {"rows": rows, "parameters": sum(np.size(value) for value in point.values())}


def _choices(result: Any) -> dict[str, Any]:
    """Return what was chosen, and the widths that the sampler measured itself."""
    attributes = result["posterior"].attrs
    kept = attributes.get("latents_kept", "")
    said = {"integrated_out": attributes.get("integrated_out", kept)}
    if "tuning" not in result.children:
        sampler, reason = attributes.get("sampler", "?"), attributes.get("reason", "")
        return said | {"chosen": sampler, "reason": reason}
    tuning = result["tuning"]
    choice = dict(tuning.attrs)
    batch = choice["batch_size"]
    row = said | {
        "chosen": f"{choice['gradient']}, n={batch:,}",
        "reason": choice["reason"],
        "choice": choice,
    }
    if "sd_ratio" in tuning.data_vars:
        ratio = tuning["sd_ratio"].to_numpy()
        row |= {"measured_min": float(ratio.min()), "measured_max": float(ratio.max())}
        row["measured_error"] = float(np.median(tuning["sd_ratio_error"]))
    return row


def _costs(result: Any, wall: float) -> dict[str, float]:
    """Return passes through the data and wall seconds, by phase."""
    statistics, attributes = result["sample_stats"], result["posterior"].attrs
    tuning = result["warmup_sample_stats"] if "warmup_sample_stats" in result.children else None
    if "data_passes" not in statistics:  # NUTS: a gradient is a pass
        draw = float(statistics["n_steps"].sum())
        tune = float(tuning["n_steps"].sum()) if tuning is not None else np.nan
        sampling = float(attributes.get("sampling_time", np.nan))
        share = tune / (tune + draw)
        seconds = (wall - sampling, share * sampling, (1 - share) * sampling)
    else:
        draw = float(statistics["data_passes"].sum())
        tune = float(tuning["data_passes"].sum()) if tuning is not None else np.nan
        if "tuning" in result.children:  # of "auto": before the chains, once for all
            tune += float(result["tuning"].attrs["data_passes"])
        phases = ("compile_seconds", "tune_seconds", "draw_seconds")
        seconds = tuple(float(attributes[phase]) for phase in phases)  # type: ignore[assignment]
    names = ("wall_compile", "wall_tune", "wall_draw")
    return {"passes_tune": tune, "passes_draw": draw} | dict(zip(names, seconds, strict=True))


def _mixing(problem: Problem, model: pm.Model, result: Any) -> dict[str, float]:
    """Return R-hat and effective numbers of the variables that are compared."""
    draws = columns_of(result["posterior"], problem.names_in(model))[1]
    varies = draws.std(axis=(0, 1)) > 0
    draws = draws[..., varies]
    ess = by_parameter(draws, "ess", method="bulk")
    several = draws.shape[0] > 1
    return {
        "r_hat": float(by_parameter(draws, "rhat").max()) if several else np.nan,
        "ess_min": float(np.nan_to_num(ess).min()),
        "ess_median": float(np.median(ess)),
    }


def _nutpie(problem: Problem, model: pm.Model, options: Options, seed: int) -> dict[str, Any]:
    """Return nutpie's effective draws per CPU second; NaN where the time was too short for any."""
    import nutpie

    compiled = nutpie.compile_pymc_model(model)
    cpu = _cpu_seconds()
    sampler = nutpie.sample(
        compiled, tune=400, draws=600, chains=2, cores=2, seed=seed, blocking=False,
        progress_bar=False,
    )  # fmt: skip
    try:
        result = sampler.wait(timeout=options.nutpie_seconds)
    except TimeoutError:
        sampler.abort()
        told = f"unfinished after {options.nutpie_seconds:g} s"
        return {"nutpie_ess_per_cpu_second": np.nan, "nutpie_note": told}
    spent = _cpu_seconds() - cpu
    draws = columns_of(result["posterior"], problem.names_in(model))[1]
    ess = float(by_parameter(draws, "ess", method="bulk").min())
    return {"nutpie_ess_per_cpu_second": ess / spent, "nutpie_ess": ess}


def _commit() -> str:
    """Return the commit that is run; with changes beside it, it says so."""
    told = subprocess.run(
        ["git", "describe", "--always", "--exclude=*", "--dirty=, changed"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    return told.stdout.strip() or "unknown"


def _cpu_seconds() -> float:
    """Return CPU seconds of this process and of those it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
