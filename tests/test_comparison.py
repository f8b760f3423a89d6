import io
import logging

import arviz as az
import numpy as np
import pymc as pm
import pytest
import xarray as xr

from rich.console import Console
from xarray import DataTree

from pymc_sgld import comparison, outside_samplers
from pymc_sgld.comparison import compare, summarise
from pymc_sgld.outside_samplers import LossWatch, is_level

CHAINS, DRAWS = 4, 100


def standard_noise(seed, shape=()):
    """Return draws whose mean is exactly 0 and whose sd (n - 1 below) is exactly 1."""
    draws = np.random.default_rng(seed).normal(size=(CHAINS * DRAWS, *shape))
    draws = (draws - draws.mean(axis=0)) / draws.std(axis=0, ddof=1)
    return draws.reshape(CHAINS, DRAWS, *shape)


def posterior(seed, a=(0.0, 1.0), b=((0.0, 1.0), (0.0, 1.0)), attrs=None, **more):
    """Return a DataTree with a scalar "a" and a vector "b", each of known mean and sd."""
    mean, sd = np.array(b).T
    dataset = xr.Dataset(
        {
            "a": (("chain", "draw"), a[0] + a[1] * standard_noise(seed)),
            "b": (("chain", "draw", "side"), mean + sd * standard_noise(seed + 1, (2,))),
            **more,
        },
        coords={"chain": range(CHAINS), "draw": range(DRAWS), "side": ["left", "right"]},
        attrs=attrs or {},
    )
    return DataTree.from_dict({"posterior": dataset})


TIMES = {"compile_seconds": 5.0, "tune_seconds": 1.5, "draw_seconds": 2.5}


@pytest.fixture
def results():
    return {
        "nuts": posterior(1, a=(1.0, 2.0), b=((0.0, 1.0), (10.0, 0.5)), attrs=TIMES),
        "other": posterior(2, a=(2.0, 3.0), b=((-0.1, 0.8), (9.0, 0.5)), attrs=TIMES),
    }


def printed(comparison):
    console = Console(width=120, record=True, file=io.StringIO())
    comparison.print(console)
    return console.export_text()


def test_means_and_sds_against_hand_computed(results):
    found = summarise(results, reference="nuts").table.loc["other"]
    # |2 - 1| / 2, |-0.1 - 0| / 1, |9 - 10| / 0.5 and 3 / 2, 0.8 / 1, 0.5 / 0.5.
    np.testing.assert_allclose(found["mean_gap"], 2.0, rtol=1e-12)
    np.testing.assert_allclose(found["sd_ratio_max"], 1.5, rtol=1e-12)
    np.testing.assert_allclose(found["sd_ratio_min"], 0.8, rtol=1e-12)
    assert found["mean_gap_at"] == "b[right]"
    assert found["sd_ratio_max_at"] == "a"
    assert found["sd_ratio_min_at"] == "b[left]"


def test_reference_against_itself(results):
    found = summarise(results, reference="other").table.loc["other"]
    assert (found["mean_gap"], found["sd_ratio_min"], found["sd_ratio_max"]) == (0, 1, 1)


def test_another_reference_changes_the_unit(results):
    found = summarise(results, reference="other").table.loc["nuts"]
    np.testing.assert_allclose(found["mean_gap"], 2.0, rtol=1e-12)  # b[right], both sds are 0.5
    np.testing.assert_allclose(found["sd_ratio_max"], 1.25, rtol=1e-12)  # 1 / 0.8


def test_times_and_effective_sample_size(results):
    found = summarise(results, reference="nuts").table.loc["other"]
    draws = results["other"]["posterior"]
    ess = az.ess(draws.to_dataset(), method="bulk")
    smallest = min(float(ess["a"]), float(ess["b"].min()))
    rhat = az.rhat(draws.to_dataset())
    largest = max(float(rhat["a"]), float(rhat["b"].max()))
    assert found["total_seconds"] == 9.0
    assert found["draws"] == CHAINS * DRAWS
    np.testing.assert_allclose(found["ess_bulk"], smallest, rtol=1e-12)
    np.testing.assert_allclose(found["ess_per_second"], smallest / 4.0, rtol=1e-12)
    np.testing.assert_allclose(found["r_hat"], largest, rtol=1e-12)


def test_independent_draws_have_no_mixing_figures(results):
    attrs = TIMES | {"sampler": "advi", "independent_draws": 1, "iterations": 7, "converged": 0}
    results["advi"] = posterior(3, attrs=attrs)
    found = summarise(results, reference="nuts")
    assert found.table.loc["advi", ["ess_bulk", "ess_per_second", "r_hat"]].isna().all()
    text = printed(found)
    (line,) = [line for line in text.splitlines() if "smallest bulk ESS" in line]
    assert line.split()[-1] == "-"
    assert "STILL FALLING" in text


def test_one_chain_has_no_r_hat(results):
    results["one"] = results["other"].isel(chain=[0])
    found = summarise(results, reference="nuts").table.loc["one"]
    assert np.isnan(found["r_hat"]) and found["ess_bulk"] > 0


def test_draws_without_times(results):
    results["old"] = posterior(3, attrs={"sampling_time": 12.5})
    found = summarise(results, reference="nuts")
    assert found.table.loc["old", "total_seconds"] == 12.5
    assert np.isnan(found.table.loc["old", "ess_per_second"])
    assert any("old: the draws were made elsewhere" in note for note in found.notes)


def test_printed_figures(results):
    text = printed(summarise(results, reference="nuts"))
    (line,) = [line for line in text.splitlines() if "|mean - nuts mean|" in line]
    assert line.split()[-2:] == ["0.00", "2.00"]
    (line,) = [line for line in text.splitlines() if "compile, seconds" in line]
    assert line.split()[-2:] == ["5.0", "5.0"]
    assert "Monte Carlo error" in text


def test_variable_that_one_method_lacks(results):
    extra = xr.DataArray(standard_noise(5), dims=("chain", "draw"))
    results["nuts"] = posterior(1, c=extra)
    found = summarise(results, reference="nuts")
    assert found.var_names == ("a", "b")
    assert any("c" in note and "Not compared" in note for note in found.notes)
    with pytest.raises(ValueError, match=r"'c', which other did not draw.*has: a, b"):
        summarise(results, reference="nuts", var_names=["c"])


def test_chosen_variables(results):
    found = summarise(results, reference="nuts", var_names=["a"])
    np.testing.assert_allclose(found.table.loc["other", "mean_gap"], 0.5, rtol=1e-12)


def test_nothing_in_common(results):
    results["other"] = DataTree.from_dict(
        {"posterior": results["other"]["posterior"].to_dataset().rename(a="x", b="y")}
    )
    with pytest.raises(ValueError, match="no variable in common"):
        summarise(results, reference="nuts")


def test_different_elements(results):
    renamed = results["other"]["posterior"].to_dataset().assign_coords(side=["left", "middle"])
    results["other"] = DataTree.from_dict({"posterior": renamed})
    with pytest.raises(ValueError, match=r"different elements.*b\[middle\]"):
        summarise(results, reference="nuts")


def test_draws_of_earlier_need_no_model(results):
    found = compare(results)
    assert list(found.table.index) == ["nuts", "other"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"reference": "nutz"}, ValueError, "reference must be one of 'nuts', 'other'.*'nuts'?"),
        ({"draws": 2}, ValueError, "draws must be >= 4, got 2"),
        ({"chains": 0}, ValueError, "chains must be >= 1"),
    ],
)
def test_bad_arguments(results, arguments, error, message):
    with pytest.raises(error, match=message):
        compare(results, **arguments)


def test_unknown_sampler():
    with pytest.raises(ValueError, match=r"'advi', got 'adwi'\. Did you mean 'advi'\?"):
        compare(["nuts", "adwi"])


def test_neither_name_nor_draws():
    with pytest.raises(TypeError, match=r"samplers\['nuts'\] must be a sampler's name.*got int"):
        compare({"nuts": 3})


def test_no_samplers():
    with pytest.raises(ValueError, match="samplers is empty"):
        compare([])


def test_options_reach_the_method_and_override_the_shared_ones(results, monkeypatch):
    seen = {}

    def run(model, **options):
        seen.update(options, model=model)
        return results["nuts"]

    monkeypatch.setitem(outside_samplers.OUTSIDE, "nuts", run)
    with pm.Model() as model:
        compare({"nuts": {"draws": 50}, "other": results["other"]}, draws=70, random_seed=3)
    assert seen["model"] is model
    assert (seen["draws"], seen["random_seed"], seen["chains"]) == (50, 3, 4)


def test_a_label_is_not_the_name(results, monkeypatch):
    calls = []

    def run(name, *, model, **options):
        calls.append((name, options["step_size"]))
        return results["other"]

    monkeypatch.setattr(comparison, "sample", run)
    samplers = {"nuts": results["nuts"], "small": {"sampler": "sgld", "step_size": 0.1}}
    with pm.Model():
        found = compare(samplers)
    assert calls == [("sgld", 0.1)]
    assert list(found.table.index) == ["nuts", "small"]


def test_saved_draws_are_read_again(results, tmp_path):
    stats = xr.Dataset(
        {
            "n_steps": (("chain", "draw"), np.ones((CHAINS, DRAWS), dtype=int)),
            "message": (("chain", "draw"), np.full((CHAINS, DRAWS), None, dtype=object)),
        },
        attrs={"tuned": True, "nothing": None, "settings": {"a": 1}, "names": ["x", "y"]},
    )
    results["with stats"] = DataTree.from_dict(
        {"posterior": results["other"]["posterior"].to_dataset(), "sample_stats": stats}
    )
    saved = summarise(results, reference="nuts")
    paths = saved.save(tmp_path / "new")
    assert [path.name for path in paths] == ["nuts.nc", "other.nc", "with_stats.nc"]
    loaded = {}
    for label, path in zip(results, paths, strict=True):
        with xr.open_datatree(path) as tree:
            loaded[label] = tree.load()
    again = summarise(loaded, reference="nuts")
    xr.testing.assert_identical(
        loaded["other"]["posterior"].to_dataset(), results["other"]["posterior"].to_dataset()
    )
    assert again.table.equals(saved.table)
    assert again.notes == saved.notes
    assert list(loaded["with stats"]["sample_stats"].data_vars) == ["n_steps"]
    assert loaded["with stats"]["sample_stats"].attrs["tuned"] == 1


def test_plots_are_written(results, tmp_path):
    results["advi"] = posterior(3, attrs={"independent_draws": 1}).isel(chain=[0])
    paths = summarise(results, reference="nuts").plot(tmp_path)
    names = ["forest.png", "densities.png", "trace_nuts.png", "trace_other.png"]
    assert [path.name for path in paths] == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_is_level():
    noise = np.random.default_rng(0).normal(size=1000)
    assert is_level(noise)
    assert not is_level(noise - np.linspace(0, 2, 1000))
    assert is_level(noise + np.linspace(0, 2, 1000))


def test_loss_watch_lowers_the_rate_then_stops():
    class Rate:
        def set_value(self, value):
            self.value = value

    rate = Rate()
    watch = LossWatch(rate, (0.1, 0.01), window=50)
    noise = np.random.default_rng(0).normal(size=1000)
    losses = noise + np.maximum(0.0, 100 - np.arange(1000))
    with pytest.raises(StopIteration):
        for iteration in range(1, 1001):
            watch(None, losses[:iteration], iteration)
    # Falling up to 100: the windows 51-100 and 101-150 differ, 101-150 and 151-200 do not.
    assert rate.value == 0.01
    assert watch.since >= 200 and watch.iterations >= watch.since + 100
    assert watch.converged and watch.first_call > 0


@pytest.fixture(scope="module")
def normal_model():
    """Return a model whose posterior of "mu" is normal with mean 2 * 50 / 51 and sd 51 ** -0.5."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 1.0)
        pm.Normal("y", mu, 1.0, observed=np.linspace(1.0, 3.0, 50))
    return model


def test_nuts_and_advi_find_a_known_posterior(normal_model, caplog):
    caplog.set_level(logging.WARNING)
    found = compare(
        ["nuts", "advi"],
        normal_model,
        draws=500,
        chains=2,
        cores=1,
        random_seed=4,
        progressbar=False,
    )
    # Half a posterior sd is far beyond the error of 1,000 draws.
    for result in found.results.values():
        draws = result["posterior"]["mu"]
        np.testing.assert_allclose(draws.mean(), 100 / 51, atol=0.5 * 51**-0.5)
        np.testing.assert_allclose(draws.std(), 51**-0.5, rtol=0.2)
    times = found.table[["compile_seconds", "tune_seconds", "draw_seconds"]]
    assert (times.to_numpy() > 0).all()
    assert found.results["advi"]["posterior"].attrs["converged"] == 1
    assert not [name for name in found.results["nuts"].children if name.startswith("warmup_")]
