"""The verdicts on draws of which it is known what is wrong with them."""

import importlib
import logging

import numpy as np
import pymc as pm
import pytest
import xarray as xr

import pymc_sgld as psg

from pymc_sgld.model_graph import RowError, row_model
from pymc_sgld.posterior import (
    check_others,
    checking,
    more_scores,
    parameter_labels,
    score_estimates,
)
from pymc_sgld.posterior.score_estimates import ScoreSource, affordable_scores
from pymc_sgld.posterior.verdicts import (
    Measured,
    parameter_verdicts,
    sure_range,
    undecided,
    variable_verdicts,
)
from pymc_sgld.step_methods.auto_report import widths

# the name of the module is that of a function in its package
score_moments_module = importlib.import_module("pymc_sgld.diagnostics.score_moments")
CHAINS, DRAWS = 4, 1000
N_ROWS = 200


@pytest.fixture(scope="module")
def model():
    """The mean of three columns, and an unknown scale with a posterior near a log-normal."""
    y = np.random.default_rng(0).normal([1.0, -1.0, 0.0], 1.0, size=(N_ROWS, 3))
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 10, shape=3)
        scale = pm.HalfNormal("scale", 2)
        pm.Normal("y", mean, scale, observed=y)
    return model


@pytest.fixture(scope="module")
def exact(model):
    """Draws from the posterior: the scale from a grid, the mean given the scale."""
    y = model.rvs_to_values[model["y"]].eval()
    precision = 1 / 100
    grid = np.linspace(0.85, 1.2, 4001)
    square = ((y - y.mean(axis=0)) ** 2).sum()
    of_mean = 1 / (N_ROWS / grid**2 + precision)
    lifted = 3 * 0.5 * np.log(of_mean) - 0.5 * (y.mean(axis=0) ** 2).sum() / (
        grid**2 / N_ROWS + 100
    )
    log_density = -3 * N_ROWS * np.log(grid) - square / (2 * grid**2) + lifted - grid**2 / 8
    below = np.cumsum(np.exp(log_density - log_density.max()))
    rng = np.random.default_rng(1)
    scale = np.interp(rng.random((CHAINS, DRAWS)), below / below[-1], grid)
    variance = 1 / (N_ROWS / scale**2 + precision)
    centre = variance[..., None] * (y.sum(axis=0) / scale[..., None] ** 2)
    mean = centre + np.sqrt(variance)[..., None] * rng.normal(size=(CHAINS, DRAWS, 3))
    return mean, scale


def as_idata(mean, scale, **statistics):
    groups = {
        "posterior": xr.Dataset(
            {"mean": (("chain", "draw", "column"), mean), "scale": (("chain", "draw"), scale)},
            coords={"chain": range(len(mean)), "draw": range(mean.shape[1])},
        )
    }
    if statistics:
        groups["sample_stats"] = xr.Dataset(
            {name: (("chain", "draw"), values) for name, values in statistics.items()}
        )
    return xr.DataTree.from_dict(groups)


def stretched(values, factor):
    centre = values.mean(axis=(0, 1))
    return centre + factor * (values - centre)


def test_draws_from_the_posterior_are_fine(model, exact):
    idata = as_idata(*exact)
    found = psg.check(idata, model)
    assert [one.verdict for one in found.verdicts] == ["fine", "fine"] and not found.warnings
    off = (found.measured.sd_ratio - 1) / found.measured.sd_ratio_error
    # four thousand independent draws, of which four hundred were scored
    assert np.abs(off).max() < 3 and found.measured.sd_ratio_error.max() < 0.016
    told = found.attributes
    assert told["data_passes"] == told["draws_scored"] == 400
    assert told["kernel_stein_discrepancy"] < 2 * told["kernel_stein_of_exact_draws"]
    group = idata["check"]
    assert list(group["variable"].values) == ["mean", "scale"]
    assert list(group["parameter"].values) == ["mean[0]", "mean[1]", "mean[2]", "scale"]
    text = repr(found)
    assert "Can these draws be trusted?" in text and "never visited" in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("factor", "verdict", "told"), [(1.3, "inflated", "wider"), (0.6, "too narrow", "NOT trust")]
)
def test_one_parameter_of_another_width_is_named(model, exact, factor, verdict, told):
    """The other entries of the variable, and the other variable, stay fine."""
    mean, scale = exact
    mean = mean.copy()
    mean[..., 1] = stretched(mean[..., 1], factor)
    found = psg.check(as_idata(mean, scale), model)
    of_mean, of_scale = found.verdicts
    assert of_mean.verdict == verdict and of_mean.at == "mean[1] (1 of 3)"
    assert f"{100 * abs(factor - 1):.0f}" in of_mean.in_words or "±" in of_mean.in_words
    assert found.measured.sd_ratio[1] == pytest.approx(factor, abs=0.05)
    assert of_scale.verdict == "fine" and told in found.warnings[0]
    assert "mean[1]" in found.warnings[0] and "mean[0]" not in found.warnings[0]


def test_a_constrained_variable_is_measured_on_its_unconstrained_scale(model, exact):
    mean, scale = exact
    found = psg.check(as_idata(mean, np.exp(stretched(np.log(scale), 1.4))), model)
    assert found.verdicts[1].variable == "scale" and found.verdicts[1].verdict == "inflated"
    assert found.measured.sd_ratio[3] == pytest.approx(1.4, abs=0.08)


def test_chains_apart_are_not_mixed(model, exact):
    mean, scale = exact
    mean = mean + np.array([0, 0, 0.3, 0.3])[:, None, None] * [1, 0, 0]
    found = psg.check(as_idata(mean, scale), model)
    assert (
        found.verdicts[0].in_words.startswith("not mixed: R-hat")
        and "mean[0]" in found.verdicts[0].at
    )


def test_draws_of_other_data_are_told_by_the_slope(model, exact):
    """Same names, same shapes, same widths; only the place is wrong."""
    mean, scale = exact
    found = psg.check(as_idata(mean + 1.0, scale), model)
    assert "posterior sds away" in found.verdicts[0].in_words
    assert "another model" in found.verdicts[0].advice
    assert any("does not average to zero" in one for one in found.warnings)


def test_one_chain_is_judged_with_a_note(model, exact):
    mean, scale = exact
    found = psg.check(as_idata(mean[:1], scale[:1]), model)
    assert [one.verdict for one in found.verdicts] == ["fine", "fine"]
    assert any("One chain" in note for note in found.notes)
    drifted = mean[:1].copy()
    drifted[:, DRAWS // 2 :, 0] += 0.3
    found = psg.check(as_idata(drifted, scale[:1]), model)
    assert found.verdicts[0].in_words.startswith("not mixed: R-hat")
    assert found.verdicts[0].at.startswith("mean[0]")


def test_a_run_of_nuts_is_checked_for_a_tenth_of_its_gradients(model, exact):
    """Of 2000 gradients 200 are left; with fewer than a hundred nothing is said."""
    mean, scale = (one[:, :500] for one in exact)
    one_each = np.ones((CHAINS, 500), dtype=int)
    result = as_idata(mean, scale, n_steps=one_each)
    found = check_others(model, result)
    assert found.attributes["data_passes"] == 200
    assert [one.verdict for one in found.verdicts] == ["fine", "fine"] and "check" in result
    assert check_others(model, as_idata(mean, scale, energy=scale)) is None
    few = as_idata(mean[:, :240], scale[:, :240], n_steps=one_each[:, :240])
    assert check_others(model, few) is None and "check" not in few


def test_draws_that_do_not_move_or_are_not_finite(model, exact):
    mean, scale = exact
    stuck = mean.copy()
    stuck[..., 2] = 0.0
    found = psg.check(as_idata(stuck, scale), model)
    assert found.verdicts[0].in_words == "not mixed: all draws are equal"
    assert found.verdicts[1].verdict != "not mixed"
    lost = mean.copy()
    lost[0, 5:25, 0] = np.nan
    found = psg.check(as_idata(lost, scale), model)
    assert found.verdicts[0].in_words == "cannot tell: 20 draws are not finite"
    assert found.verdicts[1].verdict == "cannot tell" and "not finite" in found.verdicts[1].advice


def test_a_draw_without_a_score_that_is_not_finite_is_seen_too(model, exact):
    """And one whose square overflows: a verdict, no traceback."""
    mean, scale = exact
    for value in (np.nan, np.inf, 1e200):
        lost = mean.copy()
        lost[1, 2, 0] = value
        found = psg.check(as_idata(lost, scale), model)  # 400 of 4000 have a score
        assert found.verdicts[0].verdict != "fine" and found.verdicts[1].verdict != "inflated"
    dead = mean.copy()
    dead[2] = dead[2, 0]  # a chain that stands still
    found = psg.check(as_idata(dead, scale), model)
    assert found.verdicts[0].verdict == "not mixed"
    for n_draws in (1, 2, 3, 5):
        for n_chains in (1, 4):
            few = mean[:n_chains, :n_draws], scale[:n_chains, :n_draws]
            kinds = {one.verdict for one in psg.check(as_idata(*few), model).verdicts}
            assert kinds <= {"cannot tell", "not mixed"}
    nothing = as_idata(np.zeros_like(mean), np.ones_like(scale))
    assert {one.verdict for one in psg.check(nothing, model).verdicts} == {"not mixed"}


def test_an_exact_sampler_is_not_asked_to_lower_target_bias(model, exact):
    mean, scale = exact
    mean = stretched(mean, 1.3)
    rate, weight = np.full(scale.shape, 0.6), np.ones(scale.shape)
    of_batches = psg.check(as_idata(mean, scale, step_size_weight=weight), model)
    assert "target_bias" in of_batches.verdicts[0].advice
    assert "raise batch_size" in of_batches.warnings[0]
    # steps on all rows have no batch that could be larger
    still = {"step_size_weight": weight, "gradient_noise_ratio": 0 * rate}
    of_all_rows = psg.check(as_idata(mean, scale, **still), model)
    assert "lower step_size" in of_all_rows.warnings[0] and "batch" not in of_all_rows.warnings[0]
    # and what "auto" draws has a control variate
    by_auto = as_idata(mean, scale, step_size_weight=weight)
    by_auto["posterior"].attrs["sampler"] = "auto"
    [advice] = {one.advice for one in psg.check(by_auto, model).verdicts if one.advice}
    assert "Lower target_bias" in advice and "control_variate" not in advice
    for statistics in ({"acceptance_rate": rate, "step_size_weight": weight}, {"n_steps": rate}):
        found = psg.check(as_idata(mean, scale, **statistics), model)
        for words in (found.verdicts[0].advice, found.warnings[0].split("target_bias=0.05")[1]):
            assert "raise tune" in words and "target_bias" not in words and "batch" not in words


def test_what_the_table_calls_inflated_is_a_warning(model, exact):
    """Surely too wide and measured beyond the target, but not surely beyond the target."""
    mean, scale = (one[:, :250] for one in exact)
    mean = stretched(mean, 1.1)
    found = psg.check(as_idata(mean, scale), model)
    wide = [j for j, kind in enumerate(found.dataset.parameter_verdict) if kind == "inflated"]
    lower, _ = sure_range(found.measured)
    assert any(1 < lower[j] < 1.05 for j in wide)
    assert len(found.warnings) == 1 and "wider than the posterior" in found.warnings[0]
    for j in wide:
        assert found.measured.labels[j] in found.warnings[0]


@pytest.mark.parametrize(
    ("doubts", "scored", "passes"), [(0, 100, 100), (1, 400, 500), (2, 1336, 1836), (9, 1336, 1836)]
)
def test_more_scores_decide_on_a_width_that_is_in_doubt(
    model, exact, monkeypatch, doubts, scored, passes
):
    mean, scale = exact
    asked = []
    monkeypatch.setattr(
        more_scores, "undecided", lambda *one: asked.append(undecided(*one)) or len(asked) <= doubts
    )
    found = psg.check(as_idata(mean, scale), model, n_scored=100)
    assert (found.attributes["draws_scored"], found.attributes["data_passes"]) == (scored, passes)
    assert not any(asked)  # exact draws are in no doubt of their own


def test_more_scores_end_where_all_draws_are_scored(model, exact, monkeypatch):
    mean, scale = (one[:, :150] for one in exact)
    monkeypatch.setattr(more_scores, "undecided", lambda *one: True)
    found = psg.check(as_idata(mean, scale), model, n_scored=400)
    assert found.attributes["draws_scored"] == 150 * len(mean)
    assert found.attributes["data_passes"] == 300 + 150 * len(mean)  # every second


def test_a_width_is_in_doubt_only_where_scores_could_settle_it():
    nothing, many = np.zeros(2), np.full(2, 1e9)
    of = Measured(
        ["a", "b"], nothing + 1, many, nothing + 1, nothing + 0.05, nothing, nothing, nothing,
        nothing > 0, many, nothing + 0.5,
    )  # fmt: skip
    for ratio, doubt in ((1.0, False), (1.08, False), (1.13, True), (1.4, False), (0.87, True)):
        assert undecided(of._replace(sd_ratio=np.array([1.0, ratio])), 0.05) == doubt
    settled = of._replace(sd_ratio=np.array([1.0, 1.13]), of_scores=nothing)
    assert not undecided(settled, 0.05)


@pytest.mark.parametrize(("largest", "verdict"), [(4, "fine"), (3, "cannot tell")])
def test_parameters_are_looked_at_up_to_a_number(model, exact, monkeypatch, largest, verdict):
    monkeypatch.setattr(checking, "LARGEST_CHECKED", largest)
    found = psg.check(as_idata(*exact), model)
    assert {one.verdict for one in found.verdicts} == {verdict}
    assert ("widths are measured for" in found.verdicts[0].advice) == (verdict != "fine")


def test_beyond_the_regression_widths_are_measured_all_the_same(model, exact, monkeypatch):
    """Without a matrix of parameters squared, and without the kernel's number, which needs one."""
    monkeypatch.setattr(score_moments_module, "LARGEST_REGRESSED", 3)
    monkeypatch.setattr(checking, "LARGEST_REGRESSED", 3)
    mean, scale = exact
    found = psg.check(as_idata(mean, scale), model)
    assert {one.verdict for one in found.verdicts} == {"fine"}
    assert "kernel_stein_discrepancy" not in found.attributes
    wide = mean.copy()
    wide[..., 1] = stretched(mean[..., 1], 1.3)
    found = psg.check(as_idata(wide, scale), model)
    assert found.verdicts[0].verdict == "inflated" and found.verdicts[0].at == "mean[1] (1 of 3)"


def test_the_range_of_widths_leaves_out_what_cannot_be_told(model, exact):
    """Else an entry that is stuck would read as a width of zero of the posterior's."""
    mean, scale = exact
    (line,) = widths(psg.check(as_idata(mean, scale), model))
    assert line.startswith("Measured sds are") and float(line.split()[3]) > 0.9
    stuck = mean.copy()
    stuck[..., 2] = 0.0
    known, unknown = widths(psg.check(as_idata(stuck, scale), model))
    assert float(known.split()[3]) > 0.9
    assert unknown == "The width of mean[2] could not be measured: see the group 'check'."
    (none,) = widths(psg.check(as_idata(mean[:, :12], scale[:, :12]), model))
    assert none.startswith("The width of mean[0], mean[1], mean[2] and 1 more could not")


def test_few_draws_cannot_tell(model, exact):
    mean, scale = exact
    found = psg.check(as_idata(mean[:, :12], scale[:, :12]), model)
    assert found.verdicts[0].in_words.startswith("cannot tell:") and not found.warnings


def test_a_missing_variable_is_an_error(model, exact):
    idata = as_idata(*exact)
    idata["posterior"] = idata["posterior"].to_dataset().drop_vars("scale")
    with pytest.raises(RowError, match="lack 'scale'"):
        psg.check(idata, model)
    with pytest.raises(ValueError, match="target_bias must be"):
        psg.check(as_idata(*exact), model, target_bias=0)


def test_a_model_without_gradients_cannot_be_told():
    with pm.Model() as model:
        pm.Poisson("count", 3)
        pm.Normal("x")
    rng = np.random.default_rng(0)
    values = {"count": rng.poisson(3, (4, 500)), "x": rng.normal(size=(4, 500))}
    idata = xr.DataTree.from_dict(
        {"posterior": xr.Dataset({name: (("chain", "draw"), v) for name, v in values.items()})}
    )
    found = psg.check(idata, model)
    assert [one.verdict for one in found.verdicts] == ["cannot tell"] * 2
    assert "'count' is discrete" in found.verdicts[0].advice and found.measured.r_hat.max() < 1.02


def test_the_temperature_of_the_run_is_what_counts(model, exact):
    """Draws twice as wide in variance are right at temperature 2, to first order."""
    mean, scale = exact
    hot = np.sqrt(2)
    wide = stretched(mean, hot), np.exp(stretched(np.log(scale), hot))
    temperature = np.full((CHAINS, DRAWS), 2.0)
    found = psg.check(as_idata(*wide, temperature=temperature), model)
    np.testing.assert_allclose(found.measured.sd_ratio, 1, atol=0.05)
    temperature[:, 500:] = 1.0
    found = psg.check(as_idata(*wide, temperature=temperature), model)
    assert "temperature changes" in found.verdicts[0].advice


def test_draws_of_a_falling_step_size_are_weighted(model, exact):
    """The first half is too wide, and has next to no weight."""
    mean, scale = (one.copy() for one in exact)
    mean[:, :500] = stretched(mean[:, :500], 1.6)
    weights = np.ones((CHAINS, DRAWS))
    assert psg.check(as_idata(mean, scale), model).verdicts[0].verdict == "inflated"
    weights[:, :500] = 1e-6
    found = psg.check(as_idata(mean, scale, step_size_weight=weights), model)
    assert found.verdicts[0].verdict == "fine"


@pytest.mark.parametrize("centre", ["none", "made", "given"])
def test_scores_from_batches_have_no_bias_and_keep_to_the_budget(model, exact, centre, monkeypatch):
    if centre == "none":
        monkeypatch.setattr(score_estimates, "_PASSES_FOR_A_CENTRE", np.inf)
    function = row_model(model).block_function("FAST_COMPILE")
    mean, scale = exact
    draws = np.concatenate([mean, np.log(scale)[..., None]], axis=2)
    labels = parameter_labels(model)
    assert affordable_scores(ScoreSource(function, labels), draws, 5.0) is None
    given = None
    if centre == "given":  # off the mode, where the gradient of all rows is far from zero
        at = draws.mean(axis=(0, 1)) + 2 * draws.std(axis=(0, 1))
        given = at, function.full(at)[1] - function.batch(at, [np.zeros(1, int)], weights=[0.0])[1]
    found = affordable_scores(ScoreSource(function, labels, centre=given), draws, 50.0)
    assert 40 < found.data_passes <= 50 and np.isnan(found.log_density).all()
    at_all = np.array([[function.full(q)[1] for q in chain] for chain in found.positions])
    # in posterior sds; a Gaussian mean has no noise left around a centre but by the scale
    noise = ((found.scores - at_all) * draws.std(axis=(0, 1))).reshape(-1, 4)
    error = noise.std(axis=0) / np.sqrt(len(noise))
    assert (np.abs(noise.mean(axis=0)) < 4 * error).all()
    assert (noise.std(axis=0) < 1).all() == (centre != "none") and (noise.std(axis=0) > 0.01).all()


@pytest.fixture(scope="module")
def linear():
    """A normal posterior of two groups of rows, whose gradients are linear; and its mode."""
    rng = np.random.default_rng(0)
    y, more = rng.normal(size=(60, 2)), rng.normal(size=45)
    with pm.Model() as model:
        mean = pm.Normal("mean", 1, 0.1, shape=2)
        pm.Normal("y", mean, 2, observed=y)
        pm.Normal("more", mean[0], 1, observed=more)
    pull = 100 + y.sum(axis=0) / 4 + np.array([more.sum(), 0])
    return model, pull / (100 + 60 / 4 + np.array([45, 0]))


@pytest.mark.parametrize("centre", ["made", "given"])
def test_around_a_centre_batches_are_exact_where_gradients_are_linear(linear, centre):
    """Far from the mode, where a wrong gradient at the centre or a prior counted twice would show.

    That is an enumeration of all batches at once: every one of them must give the same.
    """
    function, labels = row_model(linear[0]).block_function("FAST_COMPILE"), ["mean[0]", "mean[1]"]
    draws = 3 + np.random.default_rng(1).normal(size=(4, 200, 2))
    given = None
    if centre == "given":
        none = [np.zeros(1, int)] * 2
        at = np.array([2.0, 5.0])
        given = at, function.full(at)[1] - function.batch(at, none, weights=[0.0, 0.0])[1]
    found = affordable_scores(ScoreSource(function, labels, centre=given), draws, 50.0)
    assert found.data_passes <= 50 < found.scores.size / 2
    at_all = [[function.full(q)[1] for q in chain] for chain in found.positions]
    np.testing.assert_allclose(found.scores, at_all, rtol=1e-10)


def test_at_another_temperature_draws_are_measured_as_if_they_were_narrower(linear):
    """Draws of a normal posterior, stretched by the root of T, are at T what they were at 1."""
    model, at_mode = linear
    x = 0.1 * np.random.default_rng(2).normal(size=(4, 200, 2))

    def checked(factor, temperature):
        statistics = xr.Dataset(
            {"temperature": (("chain", "draw"), np.full((4, 200), temperature))}
        )
        draws = xr.Dataset({"mean": (("chain", "draw", "side"), at_mode + factor * x)})
        tree = xr.DataTree.from_dict({"posterior": draws, "sample_stats": statistics})
        return psg.check(tree, model, n_scored=200)

    wide, plain = checked(3.0, 9.0), checked(1.0, 1.0)
    assert plain.attributes["kernel_stein_discrepancy"] > 0.05
    for name in ("kernel_stein_discrepancy", "kernel_stein_of_exact_draws"):
        assert wide.attributes[name] == pytest.approx(plain.attributes[name], rel=1e-9)
    np.testing.assert_allclose(wide.measured.sd_ratio, plain.measured.sd_ratio, rtol=1e-9)


@pytest.mark.slow
def test_a_named_sampler_is_checked_at_its_end_for_a_tenth_of_its_gradients(model, caplog):
    """SGLD whose batches make it far too wide: it is said, in the result and in the log."""
    with caplog.at_level(logging.WARNING, logger="pymc.sgld"):
        idata = psg.sample(
            "sgld", 1000, tune=10, chains=4, cores=1, model=model, batch_size=10, step_size=0.1,
            preconditioner=np.array([5e-3, 5e-3, 5e-3, 1.7e-3]), steps_per_draw=20, verify=False,
            random_seed=1, progressbar=False,
        )  # fmt: skip
    group = idata["check"]
    assert list(group["verdict"].values) == ["inflated", "inflated"]
    predicted = 1 + float(idata.sample_stats["predicted_sd_inflation"].to_numpy()[0, -1])
    assert float(group["sd_ratio"].max()) == pytest.approx(predicted, abs=0.15) and predicted > 1.3
    assert group.attrs["data_passes"] <= 0.1 * float(idata.sample_stats["data_passes"].sum())
    assert "wider than the posterior" in caplog.text


def test_where_a_few_scores_decide_it_is_said_and_more_are_taken():
    """By hand: one parameter whose error could not be told."""
    blank, ones = np.zeros(2), np.ones(2)
    measured = Measured(
        ["level[0]", "level[1]"], ones, 1000 * ones, np.array([0.65, 1.0]),
        np.array([np.inf, 0.01]), blank, blank, blank, blank > 0, 50 * ones, ones,
    )  # fmt: skip
    assert parameter_verdicts(measured, 0.05) == ["cannot tell", "fine"]
    [verdict] = variable_verdicts(measured, 0.05)
    assert verdict.in_words == "cannot tell: a few scores decide" and "n_scored" in verdict.advice
    assert undecided(measured, 0.05)
    assert not undecided(measured._replace(sd_ratio_error=0.01 * ones, sd_ratio=ones), 0.05)
