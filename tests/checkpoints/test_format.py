"""Runs that were written by an earlier version: each goes on, or is refused by name.

``python -m tests.checkpoints.test_format [case ...]`` adds the runs of this version, for a new
format or a new case.
"""

import json
import shutil
import sys

from pathlib import Path

import numpy as np
import pytest

import pymc_sgld as psg

from pymc_sgld.checkpoints.manifest import FORMAT
from tests.checkpoints.runs import SESSION, Stopped, gaussian, sample, stop_after
from tests.test_pinned_draws import hierarchy

HERE = Path(__file__).parent
DRAWS, TUNE, STOP = 8, 6, 10  # of one chain, which stopped after so many draws
CASES = {
    "sgld": ("sgld", gaussian, {"step_size": None, "preconditioner": "rmsprop"}),
    "saga": ("saga_ld", gaussian, {"batch_size": 100}),
    "thinned": ("sgld", gaussian, {"thin": 2}),
    "gibbs": ("auto", hierarchy, {"hyperparameters": "gibbs", "step_size": None}),
}
RUNS = sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("format_*/*"))


@pytest.mark.parametrize(
    "place",
    [pytest.param(one, marks=pytest.mark.slow) if "gibbs" in one else one for one in RUNS],
)
def test_a_run_of_an_earlier_version_goes_on_or_is_refused(place, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(HERE / place / "run", folder)
    expected = json.loads((HERE / place / "draws.json").read_text())
    _, make, arguments = CASES[place.split("/")[1]]
    try:
        with make():
            idata = psg.resume(folder, **SESSION | {"discard_tuned_samples": False})
    except ValueError as error:
        text = str(error)
        assert "was begun with something else" in text or "version" in text
        return
    thin = arguments.get("thin", 1)
    assert idata.posterior.sizes["draw"] == DRAWS // thin
    if thin > 1:
        assert idata["all_draws"].attrs["draws"] == [DRAWS]
        assert np.isfinite(idata["all_draws"]["mu"]).all()
    for name, values in expected.items():
        parts = [idata[group][name][0] for group in ("warmup_posterior", "posterior")]
        draws = np.concatenate(parts)
        np.testing.assert_allclose(draws[: len(values)], values, rtol=1e-12)
        assert np.isfinite(draws).all() and (np.ptp(draws, axis=0) > 0).all()


def test_runs_of_this_format_are_there():
    assert {f"format_{FORMAT}/{case}" for case in CASES} <= set(RUNS)
    for place in RUNS:
        size = sum(path.stat().st_size for path in (HERE / place).rglob("*"))
        assert size < 100_000, place


@pytest.mark.parametrize("place", [place for place in RUNS if f"format_{FORMAT}/" in place])
def test_a_run_of_this_format_is_read(place):
    idata = psg.open_run(HERE / place / "run")
    expected = json.loads((HERE / place / "draws.json").read_text())
    for name, values in expected.items():
        parts = [idata[group][name][0] for group in ("warmup_posterior", "posterior")]
        np.testing.assert_allclose(np.concatenate(parts), values, rtol=1e-12)


def write():
    for case in sys.argv[1:] or CASES:
        sampler, make, arguments = CASES[case]
        place = HERE / f"format_{FORMAT}" / case
        with make():
            try:
                sample(
                    sampler, DRAWS, tune=TUNE, chains=1, checkpoint=place / "run", overwrite=True,
                    callback=stop_after(STOP - 2 * ("thin" in arguments)),
                    checkpoint_every=1e9, **arguments,
                )  # fmt: skip
            except Stopped:
                pass
        idata = psg.open_run(place / "run")
        draws = {
            name: np.concatenate(
                [idata[group][name][0] for group in ("warmup_posterior", "posterior")]
            ).tolist()
            for name in idata.posterior
        }
        (place / "draws.json").write_text(json.dumps(draws))
        for lock in place.rglob("lock"):
            lock.unlink()


if __name__ == "__main__":
    write()
