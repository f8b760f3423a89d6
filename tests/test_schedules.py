import numpy as np
import pytest

from pymc_sgld.schedules import (
    as_schedule,
    bind,
    constant,
    evaluate,
    polynomial_decay,
    polynomial_decay_between,
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
        (lambda: evaluate("step_size", lambda t: 1.0 - t, STEPS), "gave 0.0 at step 1; it must be"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unbound_schedule_says_what_to_do():
    with pytest.raises(TypeError, match=r"call bind\(n_steps\) first"):
        polynomial_decay_between(1e-2, 1e-4)(STEPS)
