"""Rows that are read where they lie: each as likely, and noise as by the formula, enumerated."""

import itertools
import logging

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.row_sources import RandomBlocks, RowSourceError, batches_of
from pymc_sgld.row_sources.random_blocks import blocks_for, rows_of_buffer
from pymc_sgld.tuning.between_blocks import between_blocks
from tests.row_sources.test_any_source import as_npy, as_parquet

TOTAL, BLOCK, BLOCKS, BATCH = 12, 2, 3, 2
VALUES = np.random.default_rng(0).normal(size=TOTAL).cumsum()  # neighbours are alike


def buffers():
    """Yield all buffers, each as likely: from every place, every choice of blocks."""
    for first in range(TOTAL):
        for chosen in itertools.combinations(range(TOTAL // BLOCK), BLOCKS):
            starts = first + BLOCK * np.array(chosen)
            yield ((starts[:, None] + np.arange(BLOCK)) % TOTAL).ravel()


def test_buffers_are_those_and_all_of_them_come():
    scheme, rng = RandomBlocks(BLOCK, BLOCKS), np.random.default_rng(1)
    expected = {tuple(sorted(rows)) for rows in buffers()}
    seen = {tuple(sorted(scheme.order(rng, TOTAL, BATCH))) for _ in range(6000)}
    assert seen == expected and rows_of_buffer(scheme, TOTAL) == BLOCK * BLOCKS


def test_windows_of_a_sweep_are_each_row_of_the_buffer_once():
    scheme = RandomBlocks(BLOCK, BLOCKS, sweeps=2)
    totals, batches = np.array([TOTAL, 5]), np.array([4, 5])
    assert scheme.steps_per_shuffle(totals, batches)[0] == 2  # a sweep is a step: two are left out
    starts = scheme.starts(np.random.default_rng(0), np.arange(8), totals, np.array([BATCH, 5]))
    assert starts[:, 0].tolist() == [0, 2, 4, 0, 2, 4, 0, 2] and (starts[:, 1] == 0).all()
    with pytest.raises(RowSourceError, match="batch_size=7 is more than the 6 rows"):
        scheme.steps_per_shuffle(np.array([TOTAL]), np.array([7]))


@pytest.mark.parametrize("sweeps", [1, 3])
def test_mean_and_slow_noise_of_batches_by_enumeration(sweeps):
    """The sum over the steps of a buffer: its variance a step is that of independent batches of
    rows, times the reuse, times the factor between blocks."""
    scheme = RandomBlocks(BLOCK, BLOCKS, sweeps)
    sums = []
    [n_steps] = scheme.steps_per_shuffle(np.array([TOTAL]), np.array([BATCH]))
    sizes = np.array([TOTAL]), np.array([BATCH])
    steps = scheme.starts(np.random.default_rng(0), np.arange(n_steps), *sizes)
    for rows in buffers():
        gradients = [TOTAL / BATCH * VALUES[rows[s : s + BATCH]].sum() for s in steps[:, 0]]
        sums.append(sum(gradients))
    np.testing.assert_allclose(np.mean(sums) / n_steps, VALUES.sum(), rtol=1e-10)
    noise = np.var(sums) / n_steps
    # of one row, in blocks: from every place, the variance of the means of blocks
    of_blocks = np.mean(
        [
            BLOCK * np.roll(VALUES, -first).reshape(-1, BLOCK).mean(axis=1).var(ddof=1)
            for first in range(TOTAL)
        ]
    )
    reuse = n_steps * BATCH / (BLOCK * BLOCKS)
    left = 1 - BLOCKS * BLOCK / TOTAL
    assert reuse == sweeps
    np.testing.assert_allclose(noise, reuse * TOTAL**2 / BATCH * of_blocks * left, rtol=1e-10)


def in_order(values):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 10, shape=2)
        pm.Normal("y", mu[np.arange(len(values)) % 2], 1.0, observed=values)
    return psg.row_model(model).block_function(sampling_mode(None, None))


def test_the_factor_is_measured():
    """Within blocks of 50 values are alike: of 4000, exactly; in random order it is 1."""
    rng = np.random.default_rng(2)
    alike = np.repeat(rng.normal(size=80), 50) + 0.1 * rng.normal(size=4000)
    function, position = in_order(alike), np.array([0.1, -0.2])
    scores = function.row_gradients(position, 0, np.arange(4000))
    row_noise = np.cov(scores.T)
    found = between_blocks(function, 0, 50, row_noise, [position], rng)
    means = scores.reshape(80, 50, 2).mean(axis=1)
    exact = np.linalg.eigvals(np.linalg.solve(row_noise, 50 * np.cov(means.T))).real.max()
    np.testing.assert_allclose(found.factor, exact, rtol=1e-8)
    assert found.factor > 20 and found.data_passes == 1.0
    np.testing.assert_allclose(
        np.linalg.eigvals(np.linalg.solve(row_noise, found.row_noise)).real.max(), exact, rtol=1e-6
    )
    for seed in range(5):
        function = in_order(np.random.default_rng(seed).permutation(alike))
        row_noise = np.cov(function.row_gradients(position, 0, np.arange(4000)).T)
        found = between_blocks(function, 0, 50, row_noise, [position], rng)
        assert found.factor == 1.0
        np.testing.assert_array_equal(found.row_noise, row_noise)


def test_blocks_are_of_the_pieces_of_a_source(tmp_path):
    rows = np.zeros((60_000, 2))
    assert blocks_for({"X": psg.row_sources.as_row_source("X", as_npy(rows, tmp_path, 1))}) == (
        RandomBlocks(60_000 // 512)
    )
    source = psg.row_sources.as_row_source("X", as_parquet(rows, tmp_path, 100))
    assert blocks_for({"X": source}).rows_of_block == 60_000 // 512


# -- the whole way ------------------------------------------------------------------------------

N = 6000
Y = np.sort(np.random.default_rng(5).normal(1, 2, size=N))
RUN = {
    "draws": 300, "tune": 30, "chains": 1, "steps_per_draw": 15,
    "cores": 1, "random_seed": 3, "batch_size": 50,
    "progressbar": False, "check": False, "compute_convergence_checks": False, "quiet": True,
    "scratch": False,
}  # fmt: skip


def mean_and_scale():
    with pm.Model() as model:
        y = pm.Data("y", np.zeros(1))
        pm.Normal("out", pm.Normal("mu", 0, 10), pm.HalfNormal("sigma", 10), observed=y)
    return model


@pytest.fixture
def too_large(monkeypatch):
    monkeypatch.setattr("pymc_sgld.model_graph.density.bound_data._INTO_MEMORY", 1000)
    monkeypatch.setattr("pymc_sgld.row_sources.random_blocks.BYTES_OF_A_BLOCK", 80)


@pytest.fixture(params=["random order", "sorted"])
def file(request, tmp_path):
    rows = Y if request.param == "sorted" else np.random.default_rng(1).permutation(Y)
    np.save(tmp_path / "y.npy", rows)
    return request.param, tmp_path / "y.npy"


def test_a_sorted_source_is_told_and_one_that_is_not_is_silent(file, too_large, caplog):
    kind, path = file
    with caplog.at_level(logging.WARNING, "pymc.sgld"):
        options = RUN | {"draws": 300 if kind == "random order" else 20, "steps_per_draw": 100}
        idata = psg.sample("sgld", model=mean_and_scale(), data={"y": path}, **options)
    told = [one for one in caplog.records if "Rows are alike within blocks" in one.message]
    assert len(told) == (kind == "sorted")
    # the step is chosen for the noise that there is
    inflation = idata.sample_stats["predicted_sd_inflation"].to_numpy()
    assert (inflation < 0.06).all()
    step, mu = idata.sample_stats["step_size"].to_numpy(), idata.posterior["mu"].to_numpy()
    if kind == "sorted":
        assert (step < 3e-4).all()
        return
    assert (step > 1e-3).all()
    sd = Y.std() / np.sqrt(N)
    assert abs(mu.mean() - Y.mean()) < sd and 0.5 < mu.std() / sd < 1.5


def test_auto_takes_a_source_in_random_order_and_refuses_a_sorted_one(file, too_large):
    kind, path = file
    model, data = mean_and_scale(), {"y": path}
    if kind == "sorted":
        with pytest.raises(Exception, match=r"that cannot be taken out of the injected noise"):
            psg.sample("auto", model=model, data=data, **RUN)
        return
    idata = psg.sample("auto", model=model, data=data, **RUN)
    sd = Y.std() / np.sqrt(N)
    mu = idata.posterior["mu"].to_numpy()
    assert abs(mu.mean() - Y.mean()) < 0.5 * sd and 0.85 < mu.std() / sd < 1.15


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"sampler": "sgld", "batches": "replacement"}, "sgld with batches='replacement'"),
        ({"sampler": "mala", "batch_size": None}, "mala with its tests cannot take"),
        ({"sampler": "saga_ld"}, "saga_ld with batches='fixed blocks' cannot take"),
        ({"sampler": "sgld", "gradient": "full", "batch_size": None}, "Each step takes all 6000"),
    ],
)
def test_what_needs_all_rows_or_others_is_refused(arguments, told, file, too_large):
    options = RUN | {"step_size": 1e-5, "draws": 5, "tune": 5} | arguments
    with pytest.raises(ValueError, match=told):
        psg.sample(model=mean_and_scale(), data={"y": file[1]}, **options)


def test_an_order_is_one_of_memory_in_small_groups():
    batches = batches_of([np.arange(10.0)], [0], [10], [5], RandomBlocks(2, 8))
    order = batches.scheme.order(np.random.default_rng(0), 10, 5)
    np.testing.assert_array_equal(np.sort(order), np.arange(10))


class Flaky:
    """A source that fails after so many reads, until it is mended."""

    n_rows = N

    def __init__(self, rows):
        self.rows, self.reads, self.fails_at = rows, 0, np.inf

    def __iter__(self):
        self.reads += 1
        yield self.rows[: N // 2]
        if self.reads >= self.fails_at:
            raise OSError("the cable is out")
        yield self.rows[N // 2 :]


def test_a_source_that_fails_while_chains_run_is_named_and_the_run_goes_on(too_large, tmp_path):
    source = Flaky(np.random.default_rng(1).permutation(Y))
    few = {"draws": 200, "tune": 4, "steps_per_draw": 8, "step_size": 1e-5, "verify": False}
    settings = {"data": {"y": source}, "model": mean_and_scale(), **RUN, **few}
    whole = psg.sample("sgld", **settings)

    def cut(trace, draw):
        if draw.draw_idx == few["tune"] + 2:
            source.fails_at = 0

    with pytest.raises(
        RowSourceError, match=r"'y' could not be read from row 3000 of 6000 on"
    ) as e:
        psg.sample(
            "sgld", checkpoint=tmp_path / "run", checkpoint_every=1e-9, callback=cut, **settings
        )
    assert "psg.resume(" in e.value.__notes__[0]
    stored = psg.open_run(tmp_path / "run").posterior.sizes["draw"]
    assert 0 < stored < 200
    source.fails_at = np.inf
    session = {"progressbar": False, "check": False, "compute_convergence_checks": False}
    again = psg.resume(
        tmp_path / "run",
        model=settings["model"],
        data=settings["data"],
        cores=1,
        quiet=True,
        **session,
    )
    np.testing.assert_array_equal(whole.posterior["mu"], again.posterior["mu"])
