"""Hyperparameters drawn given all else: what they are, that no row is read, and the exact law."""

from dataclasses import replace
from types import SimpleNamespace

import arviz as az
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import scipy

from pymc.exceptions import SamplingError
from pytensor.graph.traversal import ancestors

import pymc_sgld as psg

from pymc_sgld.hierarchical_gibbs.arrowhead_metric import (
    ConditionalMetric,
    ConditionalNoise,
    conditional_metric,
)
from pymc_sgld.hierarchical_gibbs.conditional_curvature import conditional_curvature
from pymc_sgld.hierarchical_gibbs.hyperparameter_step import hyperparameter_step
from pymc_sgld.hierarchical_gibbs.interweaving import judged
from pymc_sgld.hierarchical_gibbs.moves import MovesMemory
from pymc_sgld.hierarchical_gibbs.posterior_covariance import posterior_covariance
from pymc_sgld.hierarchical_gibbs.prior_model import compile_prior, hyperparameters_of, prior_model
from pymc_sgld.hierarchical_gibbs.without_data import pilot
from pymc_sgld.model_graph import row_model
from pymc_sgld.samplers import RestartedLangevin
from pymc_sgld.step_methods import auto_gibbs
from tests.gaussian_hierarchy import LEAST_LOG_SCALE, gaussian_hierarchy

QUIET = {"progressbar": False, "cores": 1, "compute_convergence_checks": False}
ERRORS = 4.5  # standard errors: the largest of some thirty


@pytest.fixture(scope="module")
def hierarchy():
    return gaussian_hierarchy()


@pytest.fixture(scope="module")
def model(hierarchy):
    return hierarchy.model()


@pytest.fixture(scope="module")
def read(model):
    """The model as rows, the names of its hyperparameters, and the step that draws them."""
    rows = row_model(model)
    names = hyperparameters_of(rows)
    entries = rows.layout.entries(names)
    return rows, names, hyperparameter_step(rows, names, entries, rows.model.initial_point())


@pytest.fixture(scope="module")
def step(model):
    """Auto with nothing said of hyperparameters, on a scale that is known weakly."""
    return psg.Auto(model=model, rng=0, verify=False, batch_size=200)


def standard_errors(draws, mean, sd):
    """Return how many standard errors mean and sd of draws are off, draws (chain, draw)."""
    of_mean = (draws.mean() - mean) / (sd / np.sqrt(float(az.ess(draws))))
    square = (draws - mean) ** 2
    of_variance = (square.mean() - sd**2) / (square.std() / np.sqrt(float(az.ess(square))))
    return abs(of_mean), abs(of_variance)


def test_hyperparameters_are_what_no_row_depends_on(read):
    assert read[1] == ("mu", "tau_log__") and list(read[2].entries) == [0, 1]
    g, x = np.repeat(np.arange(5), 8), np.linspace(-1, 1, 40)

    def of(build):
        with pm.Model() as model:
            build()
        return hyperparameters_of(row_model(model))

    def slopes():  # the mean is in the rows, the noise scale too; the effects' scale is not
        mu, tau, sigma = pm.Normal("mu"), pm.HalfNormal("tau"), pm.HalfNormal("sigma")
        u = pm.Normal("u", 0, tau, shape=5)
        pm.Normal("y", mu + u[g] * x, sigma, observed=x)

    def nested():  # the rows see the last level alone
        mu, tau, above = pm.Normal("mu"), pm.HalfNormal("tau"), pm.HalfNormal("above")
        district = pm.Normal("district", mu, above, shape=2)
        u = pm.Normal("u", district[np.array([0, 0, 1, 1, 1])], tau, shape=5)
        pm.Normal("y", u[g], 1, observed=x)

    def not_centred():
        mu, tau = pm.Normal("mu"), pm.HalfNormal("tau")
        pm.Normal("y", mu + tau * pm.Normal("z", shape=5)[g], 1, observed=x)

    def apart():  # a parameter on its own is no hyperparameter of anything
        pm.Normal("unused")
        pm.Normal("y", pm.Normal("mu"), 1, observed=x)

    assert of(slopes) == ("tau_log__",)
    assert of(nested) == ("mu", "tau_log__", "above_log__", "district")
    assert of(not_centred) == of(apart) == ()


def test_the_hyperparameters_are_drawn_without_rows(hierarchy, read):
    """Nothing as long as the data is in the graph, and other data change no draw."""
    rows, names, step = read
    graph = prior_model(rows).logp()
    held = [v.data for v in ancestors([graph]) if hasattr(v, "data")]
    assert max(np.size(one) for one in held) < hierarchy.n_groups + 1
    assert len(hierarchy.outcome) > 50 * hierarchy.n_groups
    other = row_model(gaussian_hierarchy(seed=5).model())
    again = hyperparameter_step(other, names, step.entries, other.model.initial_point())
    position = np.random.default_rng(0).normal(size=rows.n_dim)
    drawn = [one.draw(position, np.random.default_rng(1), None, True)[0] for one in (step, again)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0][:2] != position[:2]).all() and (drawn[0][2:] == position[2:]).all()


def test_a_draw_depends_on_what_was_learned_and_on_nothing_else(hierarchy, read):
    """One compiled step serves all chains; when tuning ends, it learns no more."""
    step, start = read[2], np.random.default_rng(0).normal(size=hierarchy.n_groups + 3)

    def draw(learned, tuning, seed=1):
        return step.draw(start, np.random.default_rng(seed), learned, tuning)

    first, learned = draw(None, True)
    for seed in range(30):
        _, learned = draw(learned, True, seed)
    again, _ = draw(None, True)
    np.testing.assert_array_equal(first, again)
    after, kept = draw(learned, False)
    assert (after != first).any()  # the widths of slices that were learned
    for seed in range(30):
        _, kept = draw(kept, False, seed)
    np.testing.assert_array_equal(draw(kept, False)[0], after)
    np.testing.assert_array_equal(draw(learned, False)[0], after)


def test_the_draw_of_the_hyperparameters_leaves_the_prior_alone(hierarchy, read):
    """Effects from their prior given hyperparameters, and these given the effects: the prior.

    The successive-conditional simulator of Geweke (2004), https://doi.org/10.1198/016214504000001132
    """
    step, rng, learned = read[2], np.random.default_rng(2), None
    position, draws = np.zeros(hierarchy.n_groups + 3), []
    for number in range(8200):
        mu, tau = position[0], np.exp(position[1])
        position[2:-1] = mu + tau * rng.normal(size=hierarchy.n_groups)
        position[-1] = rng.normal()
        position, learned = step.draw(position, rng, learned, number < 200)
        draws.append(position[:2])
    mu, log_tau = np.array(draws[200:]).T[:, None, :]
    assert max(standard_errors(mu, 0, 1)) < ERRORS
    # log of the absolute value of a standard normal number
    mean, sd = -(np.euler_gamma + np.log(2)) / 2, np.pi / np.sqrt(8)
    assert max(standard_errors(log_tau, mean, sd)) < ERRORS


def test_the_run_without_data_is_exact_where_the_likelihood_is_quadratic(hierarchy, read):
    rows, _, step = read
    rng = np.random.default_rng(3)
    prior = compile_prior(rows, "NUMBA")
    design = np.zeros((len(hierarchy.group), hierarchy.n_groups + 1))
    design[np.arange(len(design)), hierarchy.group] = 1
    design[:, -1] = hierarchy.column
    position = np.zeros(rows.n_dim)
    curvature = conditional_curvature(
        prior, position, step.entries, design.T @ design, [1, 1, hierarchy.n_groups, 1], rng
    )
    assert curvature.directions.shape == (1, rows.n_dim)  # the prior's Hessian is diagonal
    learned = [None]

    def update(moved):
        moved, learned[0] = step.draw(moved, rng, learned[0], True)
        return moved

    score = design.T @ hierarchy.outcome
    draws = pilot(curvature, position, position, score, update, 6000, rng)[500:]
    slope = np.zeros(rows.n_dim)
    slope[curvature.moving] = score
    covariance = posterior_covariance(curvature, slope, draws[::10])
    # twenty-seven times fewer draws of the hyperparameters than the other has of everything
    ratios = scipy.linalg.eigvalsh(covariance, np.cov(draws, rowvar=False))
    assert 0.7 < ratios.min() and ratios.max() < 1.4
    draws[:, 1] = np.maximum(draws[:, 1], LEAST_LOG_SCALE)
    mean, sd, log_tau, log_tau_sd = hierarchy.posterior()
    wanted = [(0, mean[0], sd[0]), (1, log_tau, log_tau_sd)]
    wanted += [(j + 1, mean[j], sd[j]) for j in range(1, len(mean))]
    for column, of_mean, of_sd in wanted:
        assert max(standard_errors(draws[None, :, column], of_mean, of_sd)) < ERRORS


def test_a_test_on_all_rows_corrects_a_wrong_quadratic(step):
    """Where the quadratic is off, the ratio is that of the rows, and such moves are tested."""
    chain, rng = step.chain, np.random.default_rng(7)
    moves, function = chain.moves.interweaving, chain.block_function
    density = chain.moves.hierarchy.density
    assert not moves.tested and moves.error < 1e-4  # the likelihood is the quadratic
    wrong = replace(moves, rows=moves.rows._replace(information=2 * moves.rows.information))
    draws = chain.tuner.tuned.draws
    wrong, passes = judged(wrong, function, density, draws, 0.05, rng)
    assert wrong.tested and wrong.error > 0.1 and passes == 9
    old = draws[0]
    new = moves.propose(old, rng)
    rows = [function.full(at)[0] - density(at) for at in (new, old)]
    off = wrong.rows.value(new) - wrong.rows.value(old)
    assert wrong.log_ratio(function, density, old, new) == pytest.approx(rows[0] - rows[1] - off)
    assert moves.log_ratio(function, density, old, new) == pytest.approx(0, abs=1e-4)


def test_a_tested_move_is_taken_with_the_probability_of_its_ratio(step, monkeypatch):
    """A ratio of 1 / e: the share of 4000 moves, within four of its standard errors."""
    moves = replace(step.chain.moves.interweaving, tested=True)
    monkeypatch.setattr(type(moves), "propose", lambda self, position, generator: position + 1)
    monkeypatch.setattr(type(moves), "log_ratio", lambda *arguments: -1.0)
    rng, start = np.random.default_rng(8), np.zeros(2)
    taken = [moves.move(start, None, None, rng) for _ in range(4000)]
    assert {passes for _, passes in taken} == {2.0}
    share = np.mean([position[0] for position, _ in taken])
    expected = np.exp(-1)
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000)


def test_tests_on_many_rows_come_rarely(step, monkeypatch):
    """Two passes over 35,000 rows in the time of 3.5 draws; they are counted where they come."""
    chain = step.chain
    moves = chain.moves.interweaving
    monkeypatch.setattr(type(moves), "log_ratio", lambda *arguments: -1.0)
    seen = iter(range(100))
    monkeypatch.setattr(type(moves), "excess", lambda *arguments: -float(next(seen)))
    large = SimpleNamespace(dtype="float64", total_sizes=(30_000, 5000))
    rare, _ = judged(
        replace(moves), large, None, chain.tuner.tuned.draws, 0.05, np.random.default_rng(0)
    )
    assert rare.tested and rare.every == 4 and rare.error == 1
    monkeypatch.setattr(chain, "moves", replace(chain.moves, interweaving=rare))
    chain.restart((1, 2), 0, 9)
    position, passes = chain.start(np.array(chain.prepared.mode)), []
    for _ in range(9):
        drawn = chain.draw(position)
        position = drawn.position
        passes.append(drawn.data_passes)
    extra = np.array(passes[1:]) - min(passes)
    np.testing.assert_allclose(extra, [0, 0, 2, 0, 0, 0, 2, 0], atol=1e-12)


def test_noise_of_batches_is_in_the_coordinates_of_the_hyperparameters(step):
    """Along the coordinate of an effect, in terms of noise in parameters, as of L' N L.

    Where there are many effects each has a coordinate of its own, which moves it alone.
    """
    chain, rng = step.chain, np.random.default_rng(9)
    curvature = replace(chain.moves.curvature, single=np.arange(1, 9), border=np.array([0, 9]))
    moves = replace(chain.moves, curvature=curvature)
    position = np.array(chain.prepared.mode)
    of_parameter, of_border = np.linspace(2, 3, 11), np.full(11, 7.0)
    memory = MovesMemory(ConditionalNoise(of_parameter, of_border))
    for log_tau in (-3.0, 0.5):
        position[1] = log_tau
        under = moves.before_draw(position, memory, rng, step_size=1.0, temperature=1.0)
        noise, factor = under.gradient_noise, under.metric.matrix()
        expected = np.diag(factor.T @ np.diag(of_parameter) @ factor)[2:10]
        np.testing.assert_allclose(noise[2:10], expected, rtol=1e-12)
        # a hundred rows of variance one in each group, and the prior
        precision = 100 + np.exp(-2 * log_tau)
        np.testing.assert_allclose(noise[2:10], of_parameter[2:10] / precision, rtol=1e-4)
        assert noise[-1] == 7


@pytest.mark.parametrize("n_single", [0, 6])
def test_coordinates_of_an_arrowhead(n_single):
    """L L' is the inverse of the precision; what does not move has no part in it."""
    rng = np.random.default_rng(4)
    moving = np.array([1, 2, 4, 5, 6, 7, 8, 9])
    single, border = moving[:n_single], moving[n_single:]
    root = rng.normal(size=(8, 8))
    precision = root @ root.T + np.eye(8)
    inside = precision[:n_single, :n_single]
    inside[:] = np.diag(30 + np.diag(inside))
    centre = rng.normal(size=10)
    metric = conditional_metric(
        centre,
        single,
        border,
        np.diag(inside),
        precision[:n_single, n_single:],
        precision[n_single:, n_single:],
    )
    assert metric.log_determinant == pytest.approx(np.linalg.slogdet(precision)[1], rel=1e-10)
    factor = metric.matrix()
    whole = np.zeros((10, 10))
    whole[np.ix_(moving, moving)] = np.linalg.inv(precision)
    np.testing.assert_allclose(factor @ factor.T, whole, atol=1e-12)
    z = rng.normal(size=10)
    z[[0, 3]] = 0
    position = metric.to_position(z, *metric.parameters())
    np.testing.assert_allclose(position, centre + factor @ z)
    np.testing.assert_allclose(metric.to_coordinates(position), z, atol=1e-10)
    gradient = rng.normal(size=10)
    symbolic = metric.pull_back(pt.constant(gradient), *map(pt.constant, metric.parameters()))
    np.testing.assert_allclose(symbolic.eval(mode="FAST_COMPILE"), factor.T @ gradient)
    np.testing.assert_allclose(metric.whitened(gradient), factor.T @ gradient)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_run_of_steps_leaves_a_gaussian_as_it_is(steps):
    """The rule's own graph, pushed by unit vectors, with gradient noise that it takes out."""
    rule, h, v, temperature = RestartedLangevin(steps), 1.2, 0.15, 2.0
    position, momentum, kick, xi, error = (pt.vector(shape=(1,), dtype="float64") for _ in range(5))
    new = rule.update(
        {"position": position, "momentum": momentum, "kick": kick},
        lambda at: -at + error,
        step_size=pt.constant(h),
        temperature=pt.constant(temperature),
        noise=xi[None],
        gradient_noise=pt.constant([v]),
    )
    names = ("position", "momentum", "kick")
    step = pytensor.function(
        [position, momentum, kick, xi, error], [new[n] for n in names], mode="FAST_COMPILE"
    )

    def end(position, normal, noise, errors):
        start = rule.restart(np.array([normal]), h, temperature)
        state = [np.array([position]), start["momentum"], start["kick"]]
        for number in range(steps):
            state = step(*state, np.array([noise[number]]), np.array([errors[number]]))
        return state[0][0]

    nothing, units = np.zeros(steps), np.eye(steps)
    kept = end(1.0, 0.0, nothing, nothing)
    variance = end(0.0, 1.0, nothing, nothing) ** 2
    variance += sum(end(0.0, 0.0, unit, nothing) ** 2 for unit in units)
    variance += v * sum(end(0.0, 0.0, nothing, unit) ** 2 for unit in units)
    assert variance / (1 - kept**2) == pytest.approx(temperature, rel=1e-12)


def errors_of(hierarchy, posterior):
    """Return the largest error of means and variances, in standard errors."""
    mean, sd, log_tau, log_tau_sd = hierarchy.posterior()
    draws = {name: posterior[name].to_numpy() for name in posterior}
    pairs = [(draws["mu"], mean[0], sd[0]), (draws["b"], mean[-1], sd[-1])]
    pairs += [(draws["u"][..., g], mean[1 + g], sd[1 + g]) for g in range(hierarchy.n_groups)]
    if not hierarchy.known_scale:
        pairs.append((np.maximum(np.log(draws["tau"]), LEAST_LOG_SCALE), log_tau, log_tau_sd))
    return max(max(standard_errors(*pair)) for pair in pairs)


def test_auto_splits_where_a_scale_is_known_weakly(hierarchy, step):
    assert step.choice.hyperparameters.startswith("tau is drawn given all else")  # mu: a location
    assert step.choice.gradient == "control_variate"
    # predicted without sampling; here the likelihood is what the prediction takes it for
    sd = hierarchy.posterior()[-1]
    assert step.chain.tuner.tuned.log_scale_sd == pytest.approx(sd, rel=0.4)


@pytest.mark.slow
def test_law_with_minibatches_and_an_unknown_scale(hierarchy, model, step):
    """Against quadrature over the scale: mean and variance of every parameter."""
    with model:
        idata = pm.sample(4000, step=step, tune=200, chains=2, random_seed=1, **QUIET)
    assert errors_of(hierarchy, idata.posterior) < ERRORS
    passes = idata.sample_stats["data_passes"].values[0, 1]
    # of the steps on batches, and of the table of an order that serves 400 of them: no more
    assert passes == pytest.approx(3 * (200 / 800 + 1 / 400))


@pytest.mark.slow  # quicker: the law of each part, tests/hierarchical_gibbs/test_sparse_search.py
def test_law_where_a_split_was_tuned_by_sparse_matrices(hierarchy, model, monkeypatch):
    """The same on batches of 200, with the search for thousands of effects."""
    monkeypatch.setattr(auto_gibbs, "LARGEST_DENSE", 1)
    step = psg.Auto(model=model, rng=0, verify=False, batch_size=200)
    assert step.chain.tuner.tuned.covariance is None and step.choice.gradient == "control_variate"
    with model:
        idata = pm.sample(4000, step=step, tune=200, chains=2, random_seed=1, **QUIET)
    assert errors_of(hierarchy, idata.posterior) < ERRORS


@pytest.mark.slow
def test_auto_moves_all_together_where_scales_are_known_well(hierarchy):
    known = gaussian_hierarchy(n_groups=60, rows=50, scale=1.0).model()
    assert psg.Auto(model=known, rng=0, verify=False).choice.hyperparameters == ""


@pytest.mark.slow
@pytest.mark.parametrize("two", [False, True])
def test_another_mode_of_what_rows_see_is_told(two):
    """The rows see the square of a coefficient, or the coefficient itself."""
    rng = np.random.default_rng(8)
    group, x = np.repeat(np.arange(8), 100), rng.normal(size=800)
    effects = 0.1 * rng.normal(size=8)
    y = effects[group] + x + 0.5 * rng.normal(size=800)
    with pm.Model() as model:
        mu, tau = pm.Normal("mu", 0, 1), pm.HalfNormal("tau", 1)
        u, b = pm.Normal("u", mu, tau, shape=8), pm.Normal("b", 1, 1)
        pm.Normal("y", u[group] + (b**2 if two else b) * x, 0.5, observed=y)
    choice = psg.Auto(model=model, rng=0, verify=False, hyperparameters="gibbs").choice
    # b lies at 1 and at -1, two in 0.5 / sqrt(800) / 2 apart, and eight effects beside it do not
    sds = 2 / (0.5 / np.sqrt(800) / 2) / np.sqrt(9)
    assert choice.other_mode == (pytest.approx(sds, rel=0.2) if two else 0)


@pytest.mark.statistical
@pytest.mark.parametrize("arguments", [{"gradient": "full"}, {"batch_size": 200}])
@pytest.mark.parametrize("known_scale", [0.1, None])
def test_law_more_closely(known_scale, arguments):
    hierarchy = gaussian_hierarchy(known_scale=known_scale)
    with hierarchy.model():
        step = psg.Auto(rng=0, verify=False, hyperparameters="gibbs", **arguments)
        idata = pm.sample(20_000, step=step, tune=200, chains=2, random_seed=1, **QUIET)
    assert errors_of(hierarchy, idata.posterior) < ERRORS


def test_a_saved_state_gives_the_same_next_draw(model, step):
    step.setup_chain(np.random.default_rng(0), 3, 5)
    point = model.initial_point()
    for _ in range(3):
        point, _ = step.step(point)
    saved = step.sampling_state
    first, _ = step.step(point)
    step.sampling_state = saved
    second, _ = step.step(point)
    assert all((first[name] == second[name]).all() for name in first)
    assert first["tau_log__"] != point["tau_log__"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"hyperparameters": "gibs"}, "hyperparameters must be one of 'auto', 'gibbs', 'joint'"),
        ({"hyperparameters": "gibbs"}, "Write group effects centred"),
    ],
)
def test_what_is_not_possible_is_refused(regression, arguments, told):
    with pytest.raises(ValueError, match=told), regression.model():
        psg.Auto(verify=False, **arguments)


def test_effects_without_a_gaussian_picture_are_told_or_moved_with_all_else(model, monkeypatch):
    """As effects that are multiplied with each other: the curvature is not positive."""

    def no_whitening(self, slope):
        return np.full_like(slope, np.nan)

    monkeypatch.setattr(ConditionalMetric, "whitened", no_whitening)
    with model, pytest.raises(SamplingError, match="no Gaussian picture at their mode"):
        psg.Auto(verify=False, rng=0, hyperparameters="gibbs")
    with model:
        assert psg.Auto(verify=False, rng=0).choice.hyperparameters == ""


def test_temperature_and_preconditioner_of_ones_own(model):
    for arguments, told in (
        ({"temperature": 2.0}, "the temperature is not 1"),
        ({"preconditioner": "diagonal"}, "it makes its own"),
    ):
        with pytest.raises(ValueError, match=told), model:
            psg.Auto(verify=False, hyperparameters="gibbs", **arguments)
