"""Rules that stop to look at all rows.

Detailed balance of the steps and the test as coded, to 1e-10 on two targets; then draws of the
compiled chain at step sizes at which the same rule without its test is visibly wrong.
"""

import arviz as az
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest

from scipy import integrate, linalg

import pymc_sgld as psg

from pymc_sgld.chain import StepPlan
from pymc_sgld.chain.steps import Steps
from pymc_sgld.samplers import (
    Amagold,
    GradientGuidedMonteCarlo,
    MetropolisAdjustedLangevin,
    ReplicaExchangeLangevin,
    StochasticGradientLangevin,
)
from pymc_sgld.tuning import GaussianLaw, LinearLaw
from tests.targets import logistic_model

N_DIM = 2


def gaussian_density(x):
    return -(2 * x[0] ** 2 + 1.2 * x[0] * x[1] + 0.7 * x[1] ** 2) / 2


def skewed_density(x):
    """Quartic in one direction, with an exponential tail in the other, and coupled."""
    return -(x[0] ** 4) / 4 + x[1] - pt.exp(x[1]) - x[1] ** 2 / 6 - 0.4 * x[0] * x[1]


class Step:
    """One step of a rule on a target, on the Python linker, with its derivatives.

    A batch adds a random linear function to the gradient; on all rows it adds nothing.
    """

    def __init__(self, rule, density):
        self.rule = rule
        self.moving = [name for name in ("position", *rule.extra_state) if name != "work"]
        self.n_noise = rule.noise_vectors * N_DIM
        x = pt.vector("x", shape=(len(self.moving) * N_DIM,))
        noise = pt.vector("noise", shape=(self.n_noise,))
        slope, constant = pt.matrix(shape=(N_DIM, N_DIM)), pt.vector(shape=(N_DIM,))
        h, temperature = pt.dscalars(2)
        state = {name: x[k * N_DIM : (k + 1) * N_DIM] for k, name in enumerate(self.moving)} | {
            "work": pt.zeros(N_DIM)
        }
        new = rule.update(
            state,
            lambda z: pytensor.grad(density(z), z) + slope @ z + constant,
            step_size=h,
            temperature=temperature,
            noise=noise.reshape((rule.noise_vectors, N_DIM)),
        )
        moved = pt.concatenate([new[name] for name in self.moving])
        jacobians = [
            pt.stack([pytensor.grad(moved[k], wrt) for k in range(len(self.moving) * N_DIM)])
            for wrt in (x, noise)
        ]
        self._function = pytensor.function(
            [x, noise, slope, constant, h, temperature],
            [moved, new["work"], *jacobians],
            mode="FAST_COMPILE",
            on_unused_input="ignore",
        )
        z = pt.vector(shape=(N_DIM,))
        self.log_density = pytensor.function([z], density(z), mode="FAST_COMPILE")

    def __call__(self, x, noise, batch, h, temperature):
        return self._function(x, noise, *batch, h, temperature)

    def flipped(self, x):
        """The state with its momentum turned round."""
        sign = np.repeat([1.0 if name == "position" else -1.0 for name in self.moving], N_DIM)
        return sign * x

    def noise_between(self, x, x_new, *rest):
        """Newton's method: the noise that makes the move."""
        noise = np.zeros(self.n_noise)
        for _ in range(30):
            moved, _, _, by_noise = self(x, noise, *rest)
            correction = np.linalg.lstsq(by_noise, x_new - moved, rcond=None)[0]
            noise = noise + correction
            if np.abs(correction).max() < 1e-13:
                break
        np.testing.assert_allclose(self(x, noise, *rest)[0], x_new, rtol=1e-11, atol=1e-11)
        return noise

    def acceptance(self, x, x_new, work, temperature):
        """The probability of the test as coded, and where a rejection leads."""

        def state(x, work):
            return dict(zip(self.moving, x.reshape(-1, N_DIM), strict=True)) | {"work": work}

        nothing = np.zeros(N_DIM)
        accept, density = self.rule.accept, self.log_density
        arguments = state(x, nothing), state(x_new, work), density
        accepted, statistics = accept(*arguments, 0.0, temperature)
        rejected, _ = accept(*arguments, 1.0, temperature)
        for name in self.moving:
            np.testing.assert_array_equal(accepted[name], state(x_new, work)[name])
            np.testing.assert_array_equal(rejected[name], state(self.flipped(x), work)[name])
        assert not accepted["work"].any() and not rejected["work"].any()
        return statistics["acceptance_rate"]

    def log_target(self, x, temperature):
        position, *momentum = x.reshape(-1, N_DIM)
        kinetic = sum((one**2).sum() / 2 for one in momentum)
        return (self.log_density(position) - kinetic) / temperature


def flows(step, x, batches, noises, h, temperature):
    """The log-densities of a trajectory and of its reverse, each with its test.

    The reverse starts where the trajectory ends, momentum turned round, with the batches in reverse
    order. Densities are those of state and noises; the change of volume between the two sets of
    numbers, from the derivatives of the step, goes with the reverse.
    """
    path, work = [x], np.zeros(N_DIM)
    back_work, volume, back_noises = np.zeros(N_DIM), 0.0, []
    for batch, noise in zip(batches, noises, strict=True):
        here = path[-1]
        there, added, by_x, by_noise = step(here, noise, batch, h, temperature)
        work = work + added
        start, end = step.flipped(there), step.flipped(here)
        back = step.noise_between(start, end, batch, h, temperature)
        _, back_added, back_by_x, back_by_noise = step(start, back, batch, h, temperature)
        back_work, back_noises = back_work + back_added, [*back_noises, back]
        forward = np.hstack([by_x, by_noise])
        sign = np.diag(step.flipped(np.ones(len(x))))
        own = np.hstack([sign, np.zeros((len(x), step.n_noise))])
        backward = np.linalg.lstsq(back_by_noise, own - back_by_x @ sign @ forward, rcond=None)[0]
        volume += np.linalg.slogdet(np.vstack([forward, backward]))[1]
        path.append(there)
    end = path[-1]

    def total(first, last, noises, work):
        probability = step.acceptance(first, last, work, temperature)
        normal = -sum((noise**2).sum() for noise in noises) / 2
        return step.log_target(first, temperature) + normal + np.log(probability)

    one = total(x, end, noises, work)
    other = total(step.flipped(end), step.flipped(x), back_noises, back_work) + volume
    return one, other


TESTED = {
    "mala": (MetropolisAdjustedLangevin(), [1]),
    "sggmc": (GradientGuidedMonteCarlo(friction=0.8), [1, 2]),
    "amagold": (Amagold(friction=0.8), [1, 2]),
}


@pytest.mark.parametrize("density", [gaussian_density, skewed_density])
@pytest.mark.parametrize("name", TESTED)
def test_detailed_balance(name, density):
    """A trajectory and its reverse, with the reversed batches, are equally likely."""
    rule, lengths = TESTED[name]
    step = Step(rule, density)
    rng = np.random.default_rng(3)
    for temperature in (1.0, 4.0):
        for length in lengths:
            for _ in range(3):
                x = 0.7 * rng.normal(size=len(step.moving) * N_DIM)
                noises = rng.normal(size=(length, step.n_noise))
                slope, constant = rng.normal(size=(2, length, N_DIM, N_DIM)) * 0.5
                if name == "mala":  # on all rows
                    slope, constant = 0 * slope, 0 * constant
                batches = list(zip(slope, constant[:, 0], strict=True))
                one, other = flows(step, x, batches, noises, 0.3, temperature)
                assert one == pytest.approx(other, rel=1e-10, abs=1e-10)


def draws_of(step, temperature, step_size, every, n_draws=1500, start=(0.0, 0.0)):
    """Run the compiled chain; return positions, shape (draws, n_dim), and mean statistics."""
    chain = step.chain
    step.setup_chain(np.random.default_rng(0), 1, n_draws)
    position = chain.start(np.asarray(start, float))
    chain.state.plan = StepPlan(
        lambda t: step_size + 0.0 * t, lambda t: temperature + 0.0 * t, every
    )
    kept, statistics = [], []
    for _ in range(n_draws + 100):
        draw = chain.draw(position)
        position = draw.position
        kept.append(position)
        statistics.append(draw.statistics)
    means = {name: np.mean([one[name] for one in statistics]) for name in statistics[0]}
    return np.array(kept[100:]), means


def deviations(draws, laws):
    """Deviation of mean and variance, in standard errors, for each coordinate."""
    found = []
    for one, (mean, variance) in zip(draws.T, laws, strict=True):
        for values, right in ((one, mean), ((one - mean) ** 2, variance)):
            ess = az.ess(values[None], method="mean")
            assert ess > 200, ess
            found.append((values.mean() - right) / (values.std() / np.sqrt(ess)))
    return np.array(found)


def moments(log_density, temperature, low, high):
    """Mean and variance of a density in one dimension, integrated."""

    def integral(k):
        return integrate.quad(
            lambda x: x**k * np.exp(log_density(x) / temperature), low, high, limit=200
        )[0]

    total, first, second = (integral(k) for k in range(3))
    return first / total, second / total - (first / total) ** 2


@pytest.fixture(scope="module")
def two_targets():
    """A Gaussian and, apart from it, a skewed parameter, each with rows of its own."""
    rng = np.random.default_rng(1)
    y, skewed = rng.normal(1, 2, size=12), np.array([-0.5, 0.1, 0.4, 1.0, 3.0])
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, 5)
        pm.Normal("y", theta, 2, observed=y)
        place = pm.Normal("place", 0, 3)
        pm.Gumbel("skewed", place, 1.5, observed=skewed)

    def log_density(m):
        z = (skewed - m) / 1.5
        return -(z + np.exp(-z)).sum() - m**2 / 18 + 6

    precision = 12 / 4 + 1 / 25

    def laws(temperature):
        gaussian = y.sum() / 4 / precision, temperature / precision
        return [gaussian, moments(log_density, temperature, -15, 15)]

    return model, laws


# batch sizes, step sizes and steps per draw
CHAINS = {
    "mala": ({}, 0.3, 5),
    "sggmc": ({"batch_size": 2}, 0.2, 30),
    "amagold": ({"batch_size": 2}, 0.2, 30),
}


@pytest.mark.parametrize("sampler", CHAINS)
def test_mean_and_variance_are_right_and_wrong_without_the_test(
    make_step, two_targets, monkeypatch, sampler
):
    model, laws = two_targets
    batch, step_size, every = CHAINS[sampler]
    step = make_step("two_targets", model, sampler=sampler, step_size=0.05, **batch)
    for temperature in (1.0, 4.0):
        draws, means = draws_of(step, temperature, step_size, every)
        assert 0.3 < means["acceptance_rate"] < 0.95, means
        assert np.abs(deviations(draws, laws(temperature))).max() < 4

    def accept(self, before, after, *others):
        return {**after, "work": np.zeros_like(after["work"])}, {"acceptance_rate": 1.0}

    monkeypatch.setattr(type(step.chain.settings.kernel.rule), "accept", accept)
    draws, _ = draws_of(step, 1.0, step_size, every, n_draws=4000)
    variances = deviations(draws, laws(1.0))[1::2]
    assert variances.min() > 5, variances


@pytest.mark.slow  # beside the moments and the detailed balance of the same rule
def test_amagold_gets_the_double_well_right_where_sghmc_does_not(make_step):
    """The double well of the paper, with noise of the gradients alone from the rows."""
    rows = np.random.default_rng(0).normal(size=20)
    rows = 3 * (rows - rows.mean()) / rows.std()

    def energy(x):
        return (x + 4) * (x + 1) * (x - 1) * (x - 3) / 14

    with pm.Model() as model:
        x = pm.Flat("x")
        # takes away the curvature of the rows
        pm.Potential("well", -energy(x) + len(rows) * x**2 / (2 * 5**2))
        pm.Normal("y", x, 5, observed=rows)
    law = moments(lambda x: -energy(x), 1.0, -12, 12)
    found = {}
    for sampler in ("amagold", "sghmc"):
        step = make_step("well", model, sampler=sampler, step_size=0.1, batch_size=1)
        draws, _ = draws_of(step, 1.0, 0.25, 100, n_draws=2000, start=[2.0])
        found[sampler] = deviations(draws, [law])
    assert np.abs(found["amagold"]).max() < 4
    assert np.abs(found["sghmc"]).max() > 6


def test_replica_exchange_weighs_two_modes_that_sgld_cannot_leave(make_step):
    weights = np.array([0.3, 0.7])
    y = np.random.default_rng(2).normal(0, 1, size=10)
    with pm.Model() as model:
        x = pm.NormalMixture("x", weights, np.array([-3.0, 3.0]), 0.5)
        pm.Normal("y", x, 20, observed=y)

    def log_density(x):
        modes = np.logaddexp(*(np.log(weights) - 2 * (x + np.array([3.0, -3.0])) ** 2))
        return modes - ((x - y) ** 2).sum() / 800

    right = [
        integrate.quad(lambda x: np.exp(log_density(x)), *ends)[0] for ends in ((-8, 0), (0, 8))
    ]
    share = right[1] / sum(right)
    upper = {}
    for sampler in ("sgld", "replica_exchange_sgld"):
        own = {"swap_every": 20} if sampler != "sgld" else {}
        step = make_step("modes", model, sampler=sampler, step_size=0.01, batch_size=5, **own)
        draws, means = draws_of(step, 1.0, 0.02, 100, start=[-3.0])
        upper[sampler] = (draws[:, 0] > 0).astype(float)
    assert not upper["sgld"].any()
    found = upper["replica_exchange_sgld"]
    ess = az.ess(found[None], method="mean")
    assert ess > 400 and means["swap_rate"] > 0.1 and means["hot_restarts"] == 0
    assert abs(found.mean() - share) < 4 * np.sqrt(share * (1 - share) / ess)


def test_swaps_leave_both_laws_invariant():
    """The probabilities of a swap and of its reverse balance the product of the two laws."""
    rule = ReplicaExchangeLangevin(temperature_ratio=3.0)
    rng = np.random.default_rng(0)
    temperature = 1.7

    def log_density(x):
        return float(-(x**4).sum() + x.sum())

    for cold, hot in rng.normal(size=(5, 2, 3)):
        state = {"position": cold, "hot_offset": hot - cold}
        swapped, forth = rule.accept(state, state, log_density, 0.0, temperature)
        kept, _ = rule.accept(state, state, log_density, 1.0, temperature)
        assert all(kept[name] is state[name] for name in state)
        np.testing.assert_allclose(swapped["position"], hot, rtol=1e-14)
        np.testing.assert_allclose(swapped["position"] + swapped["hot_offset"], cold, rtol=1e-13)
        _, back = rule.accept(swapped, swapped, log_density, 0.0, temperature)

        def of_product(low, high):
            return (log_density(low) + log_density(high) / 3) / temperature

        one = of_product(cold, hot) + np.log(forth["swap_rate"])
        assert one == pytest.approx(of_product(hot, cold) + np.log(back["swap_rate"]), rel=1e-10)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_law_of_the_two_replicas(temperature):
    """Without swaps each has the law of SGLD at its temperature, with the noise of one batch."""
    h, curvature, noise, ratio = 0.3, 1.4, 0.7, 5.0
    sgld = LinearLaw(StochasticGradientLangevin())
    law = LinearLaw(ReplicaExchangeLangevin(temperature_ratio=ratio))
    cold, hot = (sgld.variance(h, curvature, noise, t) for t in (temperature, ratio * temperature))
    assert law.variance(h, curvature, noise, temperature) == pytest.approx(cold, rel=1e-10)
    step, injected, gradient = law.matrices(h, curvature, temperature)
    source = injected @ injected.T + noise * np.outer(gradient, gradient)
    offset = linalg.solve_discrete_lyapunov(step, source)[1, 1]
    shared = h**2 * noise / (1 - (1 - h * curvature) ** 2)  # covariance of the two
    assert offset == pytest.approx(cold + hot - 2 * shared, rel=1e-10)


def test_a_hot_replica_that_ran_off_begins_anew():
    rule = ReplicaExchangeLangevin()
    start = {"position": np.zeros(2), "hot_offset": np.zeros(2)}
    ran_off = {"position": np.ones(2), "hot_offset": np.array([np.inf, 1.0])}
    state, statistics = rule.accept(start, ran_off, lambda x: 0.0, 0.0, 1.0)
    assert (state["position"] == 1).all() and (state["hot_offset"] == 0).all()
    assert statistics == {"swap_rate": 0.0, "hot_restarts": 1.0}
    # far out, where the density is zero: it is never swapped in
    far = {"position": np.ones(2), "hot_offset": np.full(2, 1e9)}
    state, statistics = rule.accept(
        start, far, lambda x: -np.inf if x.max() > 1e3 else 0.0, 0.0, 1.0
    )
    assert statistics["swap_rate"] == 0 and (state["position"] == 1).all()


@pytest.mark.parametrize("name", TESTED)
def test_what_is_not_finite_is_rejected(name):
    rule, _ = TESTED[name]
    before = {key: np.ones(2) for key in ("position", *rule.extra_state)}
    for broken in before:
        after = before | {broken: np.array([1.0, np.nan])}
        state, statistics = rule.accept(before, after, lambda x: 0.0, 0.0, 1.0)
        assert statistics == {"acceptance_rate": 0.0} and (state["position"] == 1).all()
    nowhere, _ = rule.accept(
        before, before | {"position": np.zeros(2)}, lambda x: -np.inf if x[0] < 1 else 0.0, 0.0, 1.0
    )
    assert (nowhere["position"] == 1).all()


@pytest.mark.parametrize("name", TESTED)
def test_no_inflation_is_predicted(name):
    rule, _ = TESTED[name]
    picture = GaussianLaw(LinearLaw(rule), np.eye(2), 3 * np.eye(2), np.eye(2))
    assert picture.sd_inflation(0.5) == 0
    # the step size to begin with is that of the rule without its test
    h = picture.threshold_step_size(target_bias=0.05)
    variance = picture.law.variance(h, 1.0, 3.0)
    assert variance == pytest.approx(1.05**2, rel=1e-6) and h < rule.largest_step


def test_a_trajectory_has_one_step_size_and_one_permutation(make_step, monkeypatch):
    """Else its reverse would not be as likely."""
    model = logistic_model(n_rows=30)
    schedule = psg.schedules.polynomial_decay(0.1, 0.55)
    with model:
        step = psg.step_methods.REGISTRY["sggmc"](
            step_size=schedule, batch_size=20, trajectory=7, steps_per_draw=21, verify=False
        )
    chain, asked = step.chain, []
    step.setup_chain(np.random.default_rng(0), 1, 30)
    position = chain.start(np.zeros(chain.n_dim))
    run = Steps.run_piece

    def spy(self, current, first, step_sizes, temperatures):
        asked.append((first, step_sizes))
        return run(self, current, first, step_sizes, temperatures)

    monkeypatch.setattr(Steps, "run_piece", spy)
    for _ in range(20):
        position = chain.draw(position).position
    assert len(asked) == 60  # no trajectory is cut by a shuffle
    assert all(len(set(sizes)) == 1 and len(sizes) == 7 for _, sizes in asked)
    assert len({sizes[0] for _, sizes in asked}) == 60


def test_the_step_size_follows_the_rate_of_acceptance():
    """MALA in 60 dimensions, where the best step is well below the largest."""
    rows = np.random.default_rng(0).normal(size=(40, 60))
    with pm.Model():
        theta = pm.Normal("theta", 0, 5, shape=60)
        pm.Normal("y", theta, 1, observed=rows)
        idata = psg.sample(
            "mala", 300, tune=200, chains=1, random_seed=1, progressbar=False, steps_per_draw=4
        )
    stats = idata.sample_stats
    assert float(stats["acceptance_rate"].mean()) == pytest.approx(0.574, abs=0.06)
    assert (stats["predicted_sd_inflation"] == 0).all()
    # two gradients and one test a step; the start of a draw is looked up or evaluated anew
    assert 3 * 4 <= float(stats["data_passes"].mean()) <= 3 * 4 + 1


@pytest.mark.parametrize(
    ("sampler", "arguments", "message"),
    [
        (
            "mala",
            {"batch_size": 50},
            r"mala reads all 500 rows at every step, got batch_size=50\. Leave batch_size out\. "
            r"Its test needs the log-density of all rows: a test on a batch does not leave the "
            r"posterior invariant.*'sggmc' or 'amagold'.*'sgld'",
        ),
        ("mala", {"gradient": "minibatch"}, r"must be one of 'full', got 'minibatch'.*Its test"),
        ("ula", {"batch_size": 50}, r"ula reads all 500 rows .* On batches this is 'sgld'"),
        (
            "sgld",
            {"batch_size": 50, "gradient": "full"},
            r"sgld with gradient='full' reads all 500 .* or pass gradient='minibatch'",
        ),
        ("sggmc", {"friction": 0}, r"friction must be > 0 and finite, got 0"),
        ("amagold", {"friction": -1.0}, r"friction must be > 0 and finite, got -1"),
        ("sggmc", {"trajectory": 0}, r"trajectory must be >= 1, got 0"),
        ("amagold", {"trajectory": 0}, r"trajectory must be >= 1, got 0"),
        ("mala", {"trajectory": 3}, r"'trajectory' is not an argument of sampler 'mala'"),
        ("replica_exchange_sgld", {"swap_every": 0}, r"swap_every must be >= 1, got 0"),
        (
            "replica_exchange_sgld",
            {"temperature_ratio": 1.0},
            r"temperature_ratio must be > 1, got 1\.0: the second replica is the hotter one",
        ),
        (
            "amagold",
            {"steps_per_draw": 25},
            r"steps_per_draw=25 is not a multiple of the 10 steps after which amagold looks at all "
            r"rows\. Give steps_per_draw=30\.",
        ),
    ],
)
def test_errors(sampler, arguments, message):
    with logistic_model(), pytest.raises((ValueError, TypeError), match=message):
        psg.sample(sampler, **arguments)
