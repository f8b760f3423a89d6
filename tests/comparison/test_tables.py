import io

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr

from pymc.exceptions import SamplingError
from rich.console import Console
from scipy.stats import wasserstein_distance
from xarray import DataTree

from pymc_sgld.comparison import compare, running, summarise
from pymc_sgld.comparison.agreement import verdicts
from pymc_sgld.comparison.figures import data_passes
from pymc_sgld.comparison.parameters import errors, flat_posterior, moments
from pymc_sgld.posterior.weighted_draws import plain_draws, resample, weights_of

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


def another_model():
    with pm.Model() as model:
        pm.Normal("c")
    return model


def printed(comparison):
    console = Console(width=120, record=True, file=io.StringIO())
    comparison.print(console)
    return console.export_text()


def test_means_and_sds_against_hand_computed(results):
    found = summarise(results, reference="nuts").table.loc["other"]
    # |2 - 1| / 2, |-0.1 - 0| / 1, |9 - 10| / 0.5 and 3 / 2, 0.8 / 1, 0.5 / 0.5.
    np.testing.assert_allclose(found["mean_error"], 2.0, rtol=1e-12)
    np.testing.assert_allclose(found["sd_ratio_max"], 1.5, rtol=1e-12)
    np.testing.assert_allclose(found["sd_ratio_min"], 0.8, rtol=1e-12)
    assert found["mean_error_at"] == "b[right]"
    assert found["sd_ratio_max_at"] == "a"
    assert found["sd_ratio_min_at"] == "b[left]"


def test_reference_against_itself(results):
    found = summarise(results, reference="other").table.loc["other"]
    assert (found["mean_error"], found["sd_ratio_min"], found["sd_ratio_max"]) == (0, 1, 1)


def test_another_reference_changes_the_unit(results):
    found = summarise(results, reference="other").table.loc["nuts"]
    np.testing.assert_allclose(found["mean_error"], 2.0, rtol=1e-12)  # b[right], both sds are 0.5
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
    assert "advi has NOT CONVERGED" in text


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
    assert line.split()[-2:] == ["0.000", "2.000"]
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
    np.testing.assert_allclose(found.table.loc["other", "mean_error"], 0.5, rtol=1e-12)


def test_nothing_in_common(results):
    results["other"] = DataTree.from_dict(
        {"posterior": results["other"]["posterior"].to_dataset().rename(a="x", b="y")}
    )
    with pytest.raises(ValueError, match="no variable in common"):
        summarise(results, reference="nuts")


def test_different_elements(results):
    renamed = results["other"]["posterior"].to_dataset().assign_coords(side=["left", "middle"])
    results["other"] = DataTree.from_dict({"posterior": renamed})
    message = r"coords of 'side' differ: \[left, middle\] \(2\) in 'other' and \[left, right\]"
    with pytest.raises(ValueError, match=message):
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
    with pytest.raises(ValueError, match=r"'laplace', got 'adwi'\. Did you mean 'advi'\?"):
        compare(["nuts", "adwi"])


def test_neither_name_nor_draws():
    with pytest.raises(TypeError, match=r"samplers\['nuts'\] must be a sampler's name.*got 3"):
        compare({"nuts": 3})


def test_no_samplers():
    with pytest.raises(ValueError, match="samplers is empty"):
        compare([])


def test_options_reach_the_method_and_override_the_shared_ones(results, monkeypatch):
    seen = {}

    def run(model, **options):
        seen.update(options, model=model)
        return results["nuts"]

    monkeypatch.setitem(running.OUTSIDE, "nuts", run)
    with pm.Model() as model:
        compare({"nuts": {"draws": 50}, "other": results["other"]}, draws=70, random_seed=3)
    assert seen["model"] is model
    assert (seen["draws"], seen["random_seed"], seen["chains"]) == (50, 3, 4)


def test_a_label_is_not_the_name(results, monkeypatch):
    calls = []

    def run(name, *, model, **options):
        calls.append((name, options["step_size"]))
        return results["other"]

    monkeypatch.setattr(running, "sample", run)
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


def test_a_tree_without_draws(results):
    results["other"] = DataTree.from_dict({"prior": results["other"]["posterior"].to_dataset()})
    with pytest.raises(ValueError, match=r"samplers\['other'\]: .*no group 'posterior'.*'prior'"):
        compare(results)


def test_an_option_that_is_not_known():
    with pytest.raises(TypeError, match=r"option 'max_iteration', which 'advi'.*max_iterations"):
        compare({"nuts": "nuts", "advi": {"max_iteration": 3}})


def test_a_method_that_fails_is_left_out_with_the_reason(results, monkeypatch):
    def run(model, **options):
        raise SamplingError("no mode")

    monkeypatch.setitem(running.OUTSIDE, "laplace", run)
    with pm.Model():
        found = compare({"nuts": results["nuts"], "laplace": "laplace"}, elpd=False, stein=False)
        with pytest.raises(SamplingError, match="no mode"):
            compare({"other": results["nuts"], "laplace": "laplace"}, reference="laplace")
    assert list(found.table.index) == ["nuts"]
    assert found.notes[0] == "laplace FAILED and is left out: no mode"


def with_model(coords=("left", "right"), shape=None):
    with pm.Model(coords={"side": list(coords)}) as model:
        pm.Normal("a")
        pm.Normal("b", dims="side") if shape is None else pm.Normal("b", shape=shape)
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: with_model(("up", "down")), r"coords of 'side' are \[left, right\].*\[up, down\]"),
        (lambda: with_model(shape=3), r"'b' has shape \(2,\) in the draws and \(3,\) in the model"),
        (another_model, "lack 'c'.*have 'a', 'b': of another model"),
    ],
)
def test_draws_of_another_model(results, model, message):
    with pytest.raises(ValueError, match=rf"samplers\['nuts'\].*{message}"):
        compare(results, model())


def test_wasserstein_distance_of_known_draws():
    """Of one law moved by 0.3: 0.3; of one stretched k times: (k - 1) E|x|."""
    here = posterior(1)
    moved = posterior(1, a=(0.3, 1.0), b=((0.0, 1.5), (0.0, 1.0)))
    found = summarise({"nuts": here, "other": moved}, reference="nuts").parameters.loc["other"]
    absolute = np.abs(here["posterior"]["b"].sel(side="left")).mean()
    np.testing.assert_allclose(found.loc["a", "wasserstein"], 0.3, rtol=1e-12)
    np.testing.assert_allclose(found.loc["b[left]", "wasserstein"], 0.5 * absolute, rtol=1e-12)
    assert found.loc["b[right]", "wasserstein"] == 0


def test_wasserstein_noise_is_that_of_two_samples_of_one_law():
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(200, 2, 400))
    average = np.mean([wasserstein_distance(*pair) for pair in pairs])
    own, other = (moments(flat_posterior(posterior(seed), ["a"]), None) for seed in (1, 2))
    draws = [flat_posterior(posterior(seed), ["a"]) for seed in (1, 2)]
    noise = errors(own, other, draws, (None, None)).loc["a", "wasserstein_noise"]
    expected = average * np.sqrt(200 * (1 / own.ess_bulk + 1 / other.ess_bulk)["a"])
    np.testing.assert_allclose(noise, expected, rtol=0.15)


def test_standard_errors_of_both_are_put_together():
    """Of a difference of means, and of a ratio of sds to first order."""
    columns = ["mean", "mcse_mean", "sd", "mcse_sd"]
    own = pd.DataFrame([[1.0, 0.3, 2.0, 0.2]], ["a"], columns)
    other = pd.DataFrame([[0.0, 0.4, 4.0, 0.3]], ["a"], columns)
    draws = flat_posterior(posterior(1), ["a"])
    found = errors(own, other, (draws, draws), (None, None)).loc["a"]
    assert (found["mean_error"], found["sd_ratio"]) == (0.25, 0.5)
    assert found["mean_error_se"] == pytest.approx(0.5 / 4)
    assert found["sd_ratio_se"] == pytest.approx(0.5 * np.sqrt(0.1**2 + 0.075**2))


def weighted_results():
    """Return the same draws twice: with weights 1 and 2, and with the second kind repeated."""
    values = standard_noise(7)
    weights = np.repeat([1.0, 2.0], DRAWS // 2) * np.ones((CHAINS, 1))
    repeated = np.repeat(values, weights[0].astype(int), axis=1)
    stats = xr.Dataset({"step_size_weight": (("chain", "draw"), weights)})
    trees = {}
    for label, one in (("weighted", values), ("repeated", repeated)):
        dataset = xr.Dataset({"a": (("chain", "draw"), one + 3.0)})
        trees[label] = DataTree.from_dict({"posterior": dataset})
    trees["weighted"]["sample_stats"] = DataTree(stats)
    return trees


def test_weights_count_as_repetitions():
    found = summarise(weighted_results(), reference="repeated")
    weighted = found.parameters.loc["weighted"].loc["a"]
    values = weighted_results()["repeated"]["posterior"]["a"].to_numpy()
    np.testing.assert_allclose(weighted["mean"], values.mean(), rtol=1e-12)
    np.testing.assert_allclose(weighted["sd"], values.std(), rtol=1e-12)
    assert weighted["wasserstein"] < 1e-12
    assert any("weighted by it" in note for note in found.notes)
    # Independent draws of which (sum w)^2 / sum w^2 = 0.9 n count.
    assert 0.6 < weighted["ess_bulk"] / (0.9 * CHAINS * DRAWS) < 1.5


def test_chains_count_alike_whatever_their_step_sizes():
    tree = weighted_results()["weighted"]
    weights = tree["sample_stats"]["step_size_weight"]
    larger = tree.copy()
    larger["sample_stats"] = DataTree(
        xr.Dataset(
            {"step_size_weight": weights * xr.DataArray([1.0, 10.0, 0.1, 3.0], dims="chain")}
        )
    )
    found = weights_of(larger)
    np.testing.assert_allclose(found, weights_of(tree), rtol=1e-12)
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found[:, -1], 2 * found[:, 0], rtol=1e-12)


def test_chains_of_different_constant_steps_are_plain_draws():
    """Of the step sizes of two chains one may be in other units than the other."""
    tree = weighted_results()["weighted"]
    constant = np.array([1.0, 10.0, 0.1, 3.0])[:, None] * np.ones((1, DRAWS))
    constant *= 1 + 1e-12 * np.arange(DRAWS)  # sums of steps are rounded
    tree["sample_stats"] = DataTree(xr.Dataset({"step_size_weight": (("chain", "draw"), constant)}))
    assert weights_of(tree) is None and plain_draws(tree) is tree
    taken = resample(tree)["posterior"].to_dataset()
    xr.testing.assert_identical(taken, tree["posterior"].to_dataset())


def test_errors_with_weights_that_are_equal_are_those_without():
    """Monte Carlo errors of mean and sd, by ArviZ and by the formulas for weights."""
    flat = flat_posterior(posterior(3), ["a", "b"])
    plain = moments(flat, None)
    weighted = moments(flat, np.full((CHAINS, DRAWS), 1 / (CHAINS * DRAWS)))
    np.testing.assert_allclose(weighted["mcse_mean"], plain["mcse_mean"], rtol=0.05)
    np.testing.assert_allclose(weighted["mcse_sd"], plain["mcse_sd"], rtol=0.1)
    np.testing.assert_allclose(weighted["mean"], plain["mean"], atol=1e-12)


def test_resampled_draws_are_plain_ones_of_the_same_law():
    plain = plain_draws(weighted_results()["weighted"])["posterior"]["a"].to_numpy()
    values, counts = np.unique(plain, return_counts=True)
    heavy = weighted_results()["weighted"]["posterior"]["a"].to_numpy()[:, DRAWS // 2 :].ravel()
    assert plain.shape == (CHAINS, DRAWS)
    # Twice the weight: two thirds of all draws.
    np.testing.assert_allclose(counts[np.isin(values, heavy)].sum() / plain.size, 2 / 3, atol=0.01)
    same = weighted_results()["repeated"]
    assert plain_draws(same) is same


def judged(mean_error, mean_error_se, sd_ratio=1.0, sd_ratio_se=0.01):
    row = dict(
        mean_error=mean_error,
        mean_error_se=mean_error_se,
        sd_ratio=sd_ratio,
        sd_ratio_se=sd_ratio_se,
    )
    return verdicts(pd.DataFrame([row]), 0.1).iloc[0].to_list()


def test_verdicts_allow_for_monte_carlo_error():
    # One parameter, mean and sd: the 5 % are shared, and the bound is at 2.24 standard errors.
    assert judged(-0.1, 0.05) == ["close", "close"]
    assert judged(0.2, 0.1 / 2.23) == ["cannot tell", "close"]
    assert judged(-0.2, 0.1 / 2.25) == ["off", "close"]
    assert judged(0.0, 0.05, sd_ratio=0.85, sd_ratio_se=0.05 / 2.25) == ["close", "off"]
    assert judged(0.0, 0.05, sd_ratio=1.15, sd_ratio_se=0.05 / 2.23) == ["close", "cannot tell"]


def test_data_passes_of_every_kind_of_sampler(results):
    def with_stats(name, tune, drawn, **more):
        tree = results["nuts"].copy()
        for group, value in (("warmup_sample_stats", tune), ("sample_stats", drawn)):
            dataset = xr.Dataset({name: (("chain", "draw"), np.full((CHAINS, 10), value))})
            tree[group] = DataTree(dataset)
        return tree

    assert data_passes(with_stats("n_steps", 3.0, 2.0)) == CHAINS * 50
    tuned = with_stats("data_passes", 0.5, 0.25)
    assert data_passes(tuned) == CHAINS * 7.5
    tuned["tuning"] = DataTree(xr.Dataset(attrs={"data_passes": 9.0}))
    assert data_passes(tuned) == CHAINS * 7.5 + 9
    assert np.isnan(data_passes(results["nuts"]))
    fitted = posterior(1, attrs={"tune_passes": 12.0, "draw_passes": 0.0})
    assert data_passes(fitted) == 12
