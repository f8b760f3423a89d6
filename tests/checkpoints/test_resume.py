"""A run that was stopped goes on, bit for bit as if it had not been."""

import json
import logging

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld import schedules
from tests.checkpoints.runs import (
    CHAINS,
    DRAWS,
    SESSION,
    TUNE,
    Stopped,
    assert_same,
    gaussian,
    sample,
    stop_after,
)

MODEL = gaussian()
OPTIONS = {"step_size": 1e-3, "steps_per_draw": 5, "verify": False}


@pytest.fixture(scope="module")
def whole():
    with MODEL:
        return sample()


@pytest.fixture(scope="module")
def longer():
    with MODEL:
        return sample(draws=2 * DRAWS)


@pytest.fixture
def stopped(tmp_path):
    """A run that stopped in its second chain."""
    with MODEL, pytest.raises(Stopped) as error:
        sample(checkpoint=tmp_path / "run", callback=stop_after(TUNE + DRAWS + 17))
    [note] = error.value.__notes__
    assert f"chain-0 {TUNE + DRAWS}, chain-1 17." in note and "psg.resume(" in note
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("n_draws", "every"),
    [(1, 1e9), (TUNE, 1e9), (TUNE + 1, 1e-9), (TUNE + DRAWS, 1e9), (TUNE + DRAWS + 3, 1e-9)],
)
def test_a_run_that_stopped_goes_on(whole, n_draws, every, tmp_path):
    with MODEL:
        with pytest.raises(Stopped):
            sample(checkpoint=tmp_path, checkpoint_every=every, callback=stop_after(n_draws))
        assert_same(whole, psg.resume(tmp_path, **SESSION))
        assert_same(whole, psg.open_run(tmp_path))


def test_processes_of_their_own(whole, tmp_path):
    with MODEL:
        with pytest.raises(Stopped):
            sample(checkpoint=tmp_path, callback=stop_after(31), cores=2)
        assert_same(whole, psg.resume(tmp_path, **SESSION | {"cores": 2}))


def test_a_run_with_a_checkpoint_is_the_same_run(whole, tmp_path):
    with MODEL:
        assert_same(whole, sample(checkpoint=tmp_path))
        assert_same(whole, psg.resume(tmp_path, **SESSION))


def test_draws_and_chains_are_totals(stopped, whole, longer):
    with MODEL:
        assert_same(longer, psg.resume(stopped, 2 * DRAWS, **SESSION))
        more = psg.resume(stopped, 2 * DRAWS, chains=CHAINS + 1, **SESSION)
    first = more.isel(chain=slice(CHAINS))
    assert_same(longer, first)
    assert more.posterior.sizes["chain"] == CHAINS + 1
    assert (more.posterior["mu"][-1] != more.posterior["mu"][0]).all()
    with MODEL, pytest.raises(ValueError, match=f"draws=3 are asked for, a total, and {2 * DRAWS}"):
        psg.resume(stopped, 3, **SESSION)


def test_a_run_is_neither_continued_nor_lost_in_silence(stopped, whole):
    before = psg.open_run(stopped)
    with MODEL:
        with pytest.raises(FileExistsError, match=r"psg.resume\('.*run'\).*overwrite=True"):
            sample(checkpoint=str(stopped))
        assert_same(before, psg.open_run(stopped))
        assert_same(whole, sample(checkpoint=stopped, overwrite=True))
    assert_same(whole, psg.open_run(stopped))


def test_a_seed_that_was_not_given_is_kept(tmp_path):
    with MODEL:
        first = sample(checkpoint=tmp_path, random_seed=None)
        longer = psg.resume(tmp_path, DRAWS + 7, **SESSION)
        other = sample(random_seed=None)
    assert_same(first, longer.isel(draw=slice(DRAWS)))
    assert (first.posterior["mu"] != other.posterior["mu"]).all()


def test_a_generator_as_seed(tmp_path):
    seed = np.random.default_rng(4)
    seed.spawn(3)
    with MODEL:
        whole = sample(random_seed=np.random.default_rng(4))
        with pytest.raises(Stopped):
            sample(
                checkpoint=tmp_path, random_seed=np.random.default_rng(4), callback=stop_after(20)
            )
        assert_same(whole, psg.resume(tmp_path, **SESSION))


def test_pm_sample_goes_on_with_the_same_call(whole, tmp_path):
    call = {
        "draws": DRAWS, "tune": TUNE, "chains": CHAINS, "random_seed": 3, "progressbar": False,
        "compute_convergence_checks": False, "quiet": True, "cores": 1,
    }  # fmt: skip
    with MODEL:
        step = psg.CheckpointedStep(psg.SGLD(**OPTIONS), tmp_path)
        with pytest.raises(Stopped):
            pm.sample(step=step, callback=stop_after(50), **call)
        with pytest.raises(ValueError, match=r"begun by pm.sample. Repeat that call"):
            psg.resume(tmp_path)
        with pytest.raises(FileExistsError):
            psg.CheckpointedStep(psg.SGLD(**OPTIONS), tmp_path)
        step = psg.CheckpointedStep(psg.SGLD(**OPTIONS), tmp_path, resume=True)
        assert_same(whole, pm.sample(step=step, **call))


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (gaussian(shift=0.1), r"data\.y: \(400,\) float64"),
        (gaussian(n_rows=390), r"data\.y: \(400,\) float64 .* \(390,\) float64"),
        (gaussian(scale=9.0), r"density\.mu: "),
    ],
    ids=["data", "rows", "prior"],
)
def test_another_model_or_other_data_are_refused(stopped, model, told):
    before = psg.open_run(stopped)
    with model, pytest.raises(ValueError, match=f"(?s)begun with something else:.*{told}"):
        psg.resume(stopped, **SESSION)
    assert_same(before, psg.open_run(stopped))


def test_what_did_not_change_is_not_listed(stopped):
    with gaussian(shift=0.1), pytest.raises(ValueError, match="something else") as error:
        psg.resume(stopped, **SESSION)
    assert len([line for line in str(error.value).splitlines() if line.startswith("- ")]) == 1


def test_other_settings_are_refused(tmp_path):
    with MODEL:
        psg.CheckpointedStep(psg.SGLD(**OPTIONS, batch_size=100), tmp_path)
        with pytest.raises(ValueError, match=r"settings.batch_sizes: \[100\] in the run, \[50\]"):
            psg.CheckpointedStep(psg.SGLD(**OPTIONS, batch_size=50), tmp_path, resume=True)
        with pytest.raises(ValueError, match=r"settings.temperature.*2.0 now"):
            psg.CheckpointedStep(
                psg.SGLD(**OPTIONS, batch_size=100, temperature=2.0), tmp_path, resume=True
            )
        with pytest.raises(ValueError, match="sampler: sgld in the run, sghmc now"):
            psg.CheckpointedStep(psg.SGHMC(**OPTIONS, batch_size=100), tmp_path, resume=True)
        with pytest.raises(TypeError, match=r"step_size. A run goes on with what it was begun"):
            sample(checkpoint=tmp_path, overwrite=True)
            psg.resume(tmp_path, step_size=0.1)


def changed(folder, **entries):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, entry in entries.items():
        manifest[name] = manifest[name] | entry if isinstance(entry, dict) else entry
    path.write_text(json.dumps(manifest))


def test_another_format_or_major_version_is_refused(stopped, caplog):
    with MODEL:
        changed(stopped, format=0)
        with pytest.raises(ValueError, match="format 0, and this version reads format 1"):
            psg.resume(stopped, **SESSION)
        with pytest.raises(ValueError, match="format 0"):
            psg.open_run(stopped)
        changed(stopped, format=1, versions={"pymc": "5.9.1"})
        with pytest.raises(ValueError, match=r"version of pymc: 5.9.1 in the run, 6"):
            psg.resume(stopped, **SESSION)
        changed(stopped, versions={"pymc": "6.0.0", "pymc-sgld": "0.0.9"})
        with pytest.raises(ValueError, match=r"version of pymc-sgld: 0.0.9"):
            psg.resume(stopped, **SESSION)
        changed(stopped, versions={"pymc": "6.0.0", "pymc-sgld": psg.__version__})
        with caplog.at_level(logging.WARNING, "pymc.sgld"):
            psg.resume(stopped, **SESSION)
    assert "may not continue bit for bit: pymc: 6.0.0 in the run" in caplog.text


def test_no_run(tmp_path):
    with MODEL, pytest.raises(FileNotFoundError, match="holds no run"):
        psg.resume(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no run"):
        psg.open_run(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with MODEL, pytest.raises(ValueError, match="takes a folder"):
        sample(checkpoint=tmp_path / "file")


def test_functions_are_given_again(tmp_path):
    def falling(step):
        return 1e-3 * (1 + np.asarray(step)) ** -0.3

    with MODEL:
        whole = sample(step_size=falling)
        with pytest.raises(Stopped):
            sample(step_size=falling, checkpoint=tmp_path, callback=stop_after(31))
        with pytest.raises(
            TypeError, match=r"Give again what no file holds.*step_size; found none"
        ):
            psg.resume(tmp_path, **SESSION)
        assert_same(whole, psg.resume(tmp_path, step_size=falling, **SESSION))


def test_steps_that_are_laid_out_for_a_length_keep_it(tmp_path):
    cooling = schedules.geometric_cooling(1e-3, 1e-5)
    with MODEL:
        whole = sample(step_size=cooling)
        with pytest.raises(Stopped):
            sample(step_size=cooling, checkpoint=tmp_path, callback=stop_after(31))
        with pytest.raises(ValueError, match=f"laid out for that. With draws={DRAWS + 1}"):
            psg.resume(tmp_path, DRAWS + 1, **SESSION)
        assert_same(whole, psg.resume(tmp_path, **SESSION))


def test_auto_goes_on(tmp_path):
    with MODEL:
        settings = {"batch_size": 100, "step_size": None, "steps_per_draw": None}
        whole = sample("auto", **settings)
        with pytest.raises(Stopped):
            sample("auto", **settings, checkpoint=tmp_path, callback=stop_after(50))
        assert_same(whole, psg.resume(tmp_path, **SESSION))


def test_nuts_keeps_no_checkpoint_and_it_is_said(tmp_path, caplog):
    with MODEL, caplog.at_level(logging.WARNING, "pymc.sgld"):
        psg.sample(
            draws=10, tune=10, chains=1, cores=1, checkpoint=tmp_path, check=False,
            compute_convergence_checks=False, progressbar=False, nuts_sampler="pymc",
        )  # fmt: skip
    assert "NUTS keeps no checkpoints" in caplog.text
    with pytest.raises(FileNotFoundError):
        psg.open_run(tmp_path)


def test_a_run_in_progress_can_be_read(whole, tmp_path):
    seen = []

    def look(trace, draw):
        if draw.chain == 1 and draw.draw_idx == 3:
            seen.append(psg.open_run(tmp_path))

    with MODEL:
        sample(checkpoint=tmp_path, checkpoint_every=1e-9, callback=look)
    [tree] = seen
    assert tree.posterior.sizes == {"chain": 1, "draw": DRAWS, "side": 2}
    assert list(tree.posterior["chain"]) == [0] and list(tree.posterior["side"]) == [
        "left",
        "right",
    ]
    assert tree.warmup_posterior.sizes["draw"] == TUNE
    np.testing.assert_array_equal(tree.posterior["sum"], whole.posterior["sum"][:1])
    assert set(tree.posterior) == {"mu", "sigma", "sum"}
    assert (tree.posterior["sigma"] > 0).all()


def test_chains_of_different_lengths():
    from pymc_sgld.checkpoints.open_run import most_draws

    assert most_draws({0: 10, 1: 9, 2: 0}) == ([0, 1], 9)
    assert most_draws({0: 10, 1: 4, 2: 0}) == ([0], 10)
    assert most_draws({0: 0}) == ([], 0)
