import numpy as np
import pytest

from pymc_sgld.schedules import (
    as_schedule,
    bind,
    constant,
    cosine_cycles,
    evaluate,
    geometric_cooling,
    logarithmic_cooling,
    polynomial_decay,
    polynomial_decay_between,
    repeated_cosine,
    warm_up,
)

STEPS = np.arange(1000)


def test_polynomial_decay_is_the_papers_formula():
    values = polynomial_decay(0.5, 10.0, 0.7)(STEPS)
    np.testing.assert_allclose(values, [0.5 / (10 + t) ** 0.7 for t in STEPS])


@pytest.mark.parametrize("exponent", [0.51, 0.55, 1.0])
def test_decay_between_meets_both_ends_on_the_papers_curve(exponent):
    schedule = bind(polynomial_decay_between(1e-2, 1e-4, exponent), 1000)
    assert isinstance(schedule, polynomial_decay) and schedule.exponent == exponent
    values = evaluate("step_size", schedule, STEPS)
    np.testing.assert_allclose(values[[0, -1]], [1e-2, 1e-4])
    assert (np.diff(values) < 0).all()


def test_numbers_and_callables_are_schedules():
    assert as_schedule("step_size", 3) == constant(3.0)
    assert (evaluate("x", as_schedule("x", lambda t: 1 / (1 + t)), STEPS)[:2] == [1, 0.5]).all()
    assert bind(constant(2.0), 10) == constant(2.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: constant(0), "must be > 0"),
        (lambda: polynomial_decay(0.1, 1, 0.5), r"exponent must be in \(0.5, 1\], got 0.5"),
        (lambda: polynomial_decay(0.1, 1, 1.01), "exponent must be"),
        (lambda: polynomial_decay(-1, 1), "scale of polynomial_decay must be > 0"),
        (lambda: polynomial_decay(1, 0), "offset of polynomial_decay must be > 0"),
        (lambda: polynomial_decay_between(1e-4, 1e-2), "first must be > last"),
        (lambda: cosine_cycles(0.0, 3), "largest of cosine_cycles must be > 0"),
        (lambda: cosine_cycles(0.1, 0), "cycles of cosine_cycles must be >= 1, got 0"),
        (lambda: warm_up(-1.0, 3), "schedule of warm_up must be > 0 and finite, got -1.0. Give a"),
        (lambda: warm_up(1.0, 0), "n_steps of warm_up must be >= 1, got 0"),
        (lambda: geometric_cooling(1.0, 0.0), "last of geometric_cooling must be > 0"),
        (lambda: geometric_cooling(1.0, 2.0), "geometric_cooling falls: first must be > last"),
        (lambda: logarithmic_cooling(np.inf), "scale of logarithmic_cooling must be > 0 and fini"),
        (lambda: evaluate("step_size", lambda t: 1.0 - t, STEPS), "gave 0.0 at step 1; it must be"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


UNBOUND = [polynomial_decay_between(1e-2, 1e-4), cosine_cycles(1.0, 3), geometric_cooling(1, 0.1)]


@pytest.mark.parametrize("schedule", UNBOUND, ids=lambda schedule: type(schedule).__name__)
def test_an_unbound_schedule_says_what_to_do(schedule):
    with pytest.raises(TypeError, match=r"call bind\(n_steps\) first"):
        schedule(STEPS)


@pytest.mark.parametrize("cycles", [1, 7, 10, 1000, 3000])
def test_cosine_cycles_are_the_papers_formula_and_never_0(cycles):
    """Zhang et al. number the steps of K from 1: mod(k - 1, ceil(K / M)) / ceil(K / M)."""
    schedule = bind(cosine_cycles(0.3, cycles), 1000)
    length = int(np.ceil(1000 / cycles))
    assert schedule == repeated_cosine(0.3, length)
    formula = [0.15 * (np.cos(np.pi * (t % length) / length) + 1) for t in STEPS]
    values = evaluate("step_size", schedule, STEPS)
    np.testing.assert_allclose(values, formula, rtol=1e-10)
    assert (values[::length] == 0.3).all() and (np.diff(values[:length]) < 0).all()


def test_the_end_of_a_very_long_cycle_is_above_0():
    length = 10**9  # 1 + cos is 0 in floating point there
    [last] = evaluate("step_size", repeated_cosine(1.0, length), np.array([length - 1]))
    assert last == pytest.approx((np.pi / 2 / length) ** 2)


def test_warm_up_rises_to_any_schedule():
    below = polynomial_decay(0.5, 10.0)
    values = evaluate("step_size", warm_up(below, 50), STEPS)
    np.testing.assert_allclose(values[:50], below(STEPS[:50]) * np.arange(1, 51) / 50)
    np.testing.assert_array_equal(values[49:], below(STEPS[49:]))
    np.testing.assert_allclose(warm_up(2.0, 4)(STEPS[:6]), [0.5, 1, 1.5, 2, 2, 2])
    bound = bind(warm_up(cosine_cycles(1.0, 4), 10), 1000)
    assert bound.schedule == repeated_cosine(1.0, 250)
    assert bind(warm_up(3, 10), 1000)(STEPS[20:])[0] == 3


def test_cooling():
    values = evaluate("temperature", bind(geometric_cooling(10, 0.1), 1000), STEPS)
    np.testing.assert_allclose(values[[0, -1]], [10, 0.1])
    np.testing.assert_allclose(values[1:] / values[:-1], 0.01 ** (1 / 999))
    values = evaluate("temperature", logarithmic_cooling(5.0), STEPS)
    np.testing.assert_allclose(values, [5 / np.log(2 + t) for t in STEPS])
