"""Slips of other libraries, each measured as it is there, and the same measurement of ours.

The updates of the others are written anew in ``tests/peers.py``. "Measured" are variances over the
right ones found on the library itself, or on its update, in long runs with errors of 0.01 to 0.03.
A slip of that kind in a rule of ours fails here by the name of the rule.

One is left to the future: a contour sampler (blackjax's csgld takes the energy's weight for its
power zeta), which we do not have; a test stands guard. One cannot be coded: tests that look at ten
draws for their shape find none of these.
"""

from dataclasses import replace

import numpy as np
import pytest

from pymc_sgld.chain.random_streams import RandomStreams
from pymc_sgld.samplers import (
    Badodab,
    NoseHooverThermostat,
    StochasticGradientHamiltonian,
    StochasticGradientLangevin,
    TestedRule,
)
from pymc_sgld.step_methods.registry import REGISTRY
from pymc_sgld.tuning import LinearLaw
from tests import peers
from tests.many_chains import ManyChains
from tests.peers import ExplicitEuler, LengthThermostat, RefreshedTrajectory


def rule_of(name):
    step_method = REGISTRY[name]
    return step_method.rule_class(**step_method.rule_defaults)


def is_affine(name):
    return not (rule_of(name).nonlinear_state or isinstance(rule_of(name), TestedRule))


def injects_noise(name):
    return np.any(LinearLaw(rule_of(name)).matrices(0.1, 1.0).noise)


AFFINE = [name for name in sorted(REGISTRY) if is_affine(name) and injects_noise(name)]
LANGEVIN = [n for n in AFFINE if REGISTRY[n].rule_class is StochasticGradientLangevin]


# ------------------------------------------- the momentum is drawn anew at each call (blackjax, R)


def blackjax_sghmc(n_inner, friction=0.01):
    return RefreshedTrajectory(n_inner, lambda step_size: ExplicitEuler(friction), one_batch=True)


@pytest.mark.parametrize(
    ("n_inner", "step_size", "measured"),
    [(5, 0.05, 1.272), (5, 0.02, 1.235), (10, 0.05, 1.118), (10, 0.02, 1.135), (50, 0.02, 1.028)],
)
def test_blackjax_sghmc_is_too_wide_by_one_over_its_steps(n_inner, step_size, measured):
    exact = blackjax_sghmc(n_inner).variance(step_size, 1.0, 0.0)
    assert exact == pytest.approx(measured, abs=0.03)
    # L / (L - 1), however small the step: nothing that a smaller one would heal
    limit = blackjax_sghmc(n_inner, friction=1e-9).variance(1e-4, 1.0, 0.0)
    assert limit == pytest.approx(n_inner / (n_inner - 1), rel=1e-4)


@pytest.mark.parametrize(("refreshed", "measured"), [(0.5, 0.43), (1.0, 0.83)])
def test_r_sgmcmc_sghmc_is_too_narrow(refreshed, measured):
    """Half the variance is drawn, and a kick before the move makes L / (L + 1) of the rest."""
    for squared_step in (1e-3, 1e-4):
        h = squared_step**0.5
        call = RefreshedTrajectory(
            5, lambda h: StochasticGradientHamiltonian(0.01 / h), refreshed=refreshed
        )
        assert call.variance(h, 1.0, 0.0) == pytest.approx(measured, abs=0.01)


@pytest.mark.parametrize("friction", [0.01, 1.0])
def test_our_sghmc_is_right_at_the_same_steps(friction):
    law = LinearLaw(StochasticGradientHamiltonian(friction))
    for step_size in (0.05, 0.02):
        assert law.variance(step_size, 1.0, 0.0) == pytest.approx(1, abs=step_size**2)


@pytest.mark.parametrize("sampler", ["sghmc", "baoa", "sgnht"])
def test_our_momentum_lives_through_a_draw(make_step, gaussian, sampler):
    """Draws of 1 step and one draw of 6 steps end in one state, momentum and all."""
    arguments = dict(step_size=0.1, batch_size=12, friction=0.3)
    if sampler == "sgnht":
        arguments = dict(step_size=0.05, batch_size=12)
    step = make_step("gaussian", gaussian.model(), sampler=sampler, **arguments)
    ends = []
    for steps_per_draw, n_draws in ((1, 6), (6, 1)):
        step.setup_chain(np.random.default_rng(0), 0, n_draws)
        chain = step.chain
        position = chain.start(np.zeros(2))
        chain.state.plan = replace(chain.plan, steps_per_draw=steps_per_draw)
        for _ in range(n_draws):
            position = chain.draw(position).position
        ends.append(np.concatenate([position, *chain.state.extra_state.values()]))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-12)


def test_explicit_euler_without_refreshing_explodes():
    """Posteriors 0.1.3 with its default friction: 2 at h = 0.005, and beyond 0.01 no law at all."""
    law = LinearLaw(ExplicitEuler(0.01))
    assert law.variance(0.005, 1.0, 0.0) == pytest.approx(2, abs=1e-3)
    assert law.variance(0.02, 1.0, 0.0) == np.inf


# ------------------------------------------------------------- noise: its scale and temperature


@pytest.mark.parametrize("source", ["edward#722", "the SAGA code of Baker 2019", "pSGLD#2"])
def test_noise_whose_sd_is_the_step_size_freezes(source):
    """The variance is right at one step size and falls with the step."""
    law = LinearLaw(peers.NoiseOfStepSize())
    found = [law.variance(h, 1.0, 0.0) for h in (0.4, 0.1, 0.01)]
    np.testing.assert_allclose(found, [1.0, 0.2 / 0.95, 0.02 / 0.995], rtol=1e-9)


@pytest.mark.parametrize("sampler", AFFINE)
def test_our_noise_has_the_scale_of_its_step(sampler):
    """Right at every small step, and better the smaller it is; saga_ld and the like are in this."""
    law = LinearLaw(rule_of(sampler))
    for step_size in (1e-2, 1e-3):
        assert law.variance(step_size, 1.0, 0.0) == pytest.approx(1, abs=step_size)


def test_noise_times_the_temperature_is_seen_at_4_only():
    law = LinearLaw(peers.NoiseTimesTemperature())
    found = [law.variance(0.2, 1.0, 0.0, temperature) / temperature for temperature in (1.0, 4.0)]
    np.testing.assert_allclose(found, [1, 4], rtol=1e-9)


def test_a_momentum_refreshed_at_temperature_1_is_seen_at_4_only():
    """blackjax draws N(0, I) whatever the temperature: at 4 the variance is that of 1."""
    call = blackjax_sghmc(10)
    assert call.variance(0.02, 1.0, 0.0, 4.0) / 4 == pytest.approx(1.11 / 4, abs=0.01)


@pytest.mark.parametrize("sampler", AFFINE)
def test_our_temperature_scales_variances_and_nothing_else(sampler):
    """Temperature T with T times the gradient's noise is temperature 1, T times as wide."""
    law = LinearLaw(rule_of(sampler))
    for noise in (0.0, 2.0):
        at_one = law.variance(0.2, 1.0, noise)
        for temperature in (0.25, 4.0):
            found = law.variance(0.2, 1.0, temperature * noise, temperature) / temperature
            assert found == pytest.approx(at_one, rel=1e-9)


@pytest.mark.parametrize("sampler", ["sgld", "sghmc", "baoa", "leimkuhler_matthews", "baoab"])
def test_our_compensation_takes_out_the_noise_whatever_the_temperature(sampler):
    """blackjax takes T**2 of it out."""
    law = LinearLaw(rule_of(sampler))
    for temperature in (1.0, 4.0):
        found = law.variance(0.2, 1.0, 2.0, temperature, known_noise=2.0)
        assert found == pytest.approx(law.variance(0.2, 1.0, 0.0, temperature), rel=1e-9)


# ------------------------------------------------------------------------------- thermostats


@pytest.mark.parametrize(("n_dim", "measured"), [(2, 2.67), (10, 10.4)])
def test_a_thermostat_of_the_length_is_too_hot_and_ours_is_not(n_dim, measured):
    """SGMCMCJax's BADODAB compares the length of the momentum with the dimension."""
    shape, run = (2000 // n_dim, n_dim), dict(burn=600, n_steps=600, step_size=0.05)
    slipped, error = ManyChains(LengthThermostat(), shape).variance_ratio(**run)
    assert slipped == pytest.approx(measured, abs=0.12 + 4 * error)
    for right in (LengthThermostat(power=2), Badodab(0.5)):
        found, error = ManyChains(right, shape).variance_ratio(**run)
        assert error < 0.02
        assert found == pytest.approx(1, abs=4 * error)


def test_an_explicit_thermostat_with_little_friction_is_too_wide_and_badodab_is_not():
    """blackjax's sgnht at its default friction 0.01 and h = 0.05: found 1.06 to 1.08.

    It is the published update, and ours has the same bias at that friction; our default is 1, where
    the bias is the -h / 2 that its docstring calls of first order. The symmetric splitting has none
    at either.
    """
    long, short = dict(burn=3000, n_steps=1500), dict(burn=300, n_steps=500)
    for rule in (peers.ExplicitThermostat(0.01), NoseHooverThermostat(0.01)):
        found, error = ManyChains(rule, (2000, 1)).variance_ratio(step_size=0.05, **long)
        assert error < 0.01
        assert 1.04 < found < 1.13
    for rule, expected, length in (
        (NoseHooverThermostat(), 1 - 0.05 / 2, short),
        (Badodab(0.01), 1, long),
        (Badodab(), 1, short),
    ):
        found, error = ManyChains(rule, (2000, 1)).variance_ratio(step_size=0.05, **length)
        assert found == pytest.approx(expected, abs=4 * error)


# ---------------------------------------------------------------------------- random numbers


def test_no_random_number_is_used_twice():
    """blackjax makes the first momentum with the parent of the keys of the steps."""
    streams = RandomStreams((1, 2), 50, 2, np.array([9]), np.array([9]))
    numbers = np.concatenate(
        [streams.tuning().standard_normal(5000), streams.block(0, 1000).noise.ravel()]
    )
    assert len(np.unique(numbers)) == len(numbers)


@pytest.mark.parametrize("sampler", AFFINE)
def test_no_sampler_stands_still(sampler):
    """SGMCMCJax's BADODAB and BAOAB gave the same draw for ever."""
    step, injected, _ = LinearLaw(rule_of(sampler)).matrices(0.1, 1.0)
    assert not np.allclose((step @ injected)[0], 0)
    assert not np.allclose(step[0], np.eye(len(step))[0])


def test_a_contour_sampler_would_need_its_own_case():
    """blackjax's csgld steps with the weight of an energy where its authors have weight**zeta."""
    assert not [name for name in REGISTRY if "contour" in name or "csgld" in name]
