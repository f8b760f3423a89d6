"""Annealing: the law at a temperature, the optimum it ends in, and what it says of the way."""

import arviz as az
import numpy as np
import pymc as pm
import pytest
import scipy.stats

from pytensor.compile.mode import Mode

import pymc_sgld as psg

from pymc_sgld.chain.cooling import follow
from pymc_sgld.schedules import constant, geometric_cooling, logarithmic_cooling
from tests.targets import linear_regression, logistic_model

PYTHON = Mode(linker="py", optimizer=None)  # numba takes seconds for one evaluation
QUIET = {"cores": 1, "progressbar": False, "verify": False}


def tilted_himmelblau():
    """Four minima; the tilt makes that at (3, 2) the lowest, 5 below the next."""
    with pm.Model() as model:
        x, y = pm.Uniform("x", -6, 6), pm.Uniform("y", -6, 6)
        himmelblau = (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2
        pm.Potential("f", -himmelblau - ((x - 3) ** 2 + (y - 2) ** 2) / 2)
    return model, {"x": 3.0, "y": 2.0}, -2 * np.log(12)


def rastrigin():
    """Ten minima 1 apart, with barriers of 20; the lowest 1 below the next, off the centre."""
    with pm.Model() as model:
        x = pm.Uniform("x", -5.12, 5.12)
        pm.Potential("f", -(10 + (x - 2.1) ** 2 - 10 * pm.math.cos(2 * np.pi * (x - 2.1))))
    return model, {"x": 2.1}, -np.log(10.24)


@pytest.mark.parametrize(
    ("make", "cooling", "steps_per_draw"),
    [
        (tilted_himmelblau, (50, 0.5), 25),
        pytest.param(rastrigin, (20, 0.3), 200, marks=pytest.mark.slow),
    ],
)
def test_the_global_optimum(make, cooling, steps_per_draw):
    """Of 10 starts from the prior; success is to see a point above all other valleys.

    Beside it the same steps without noise to speak of, which is gradient descent.
    """
    model, optimum, top = make()
    common = {
        "draws": 200, "steps_per_draw": steps_per_draw, "chains": 10, "random_seed": 0,
        "initvals": {rv.name: "prior" for rv in model.free_RVs}, "model": model, **QUIET,
    }  # fmt: skip
    annealed = psg.anneal(temperature=geometric_cooling(*cooling), **common)
    descent = psg.anneal(temperature=1e-3, polish=False, **common)
    shares = [
        float((result.path["logp"].max("draw") > top - 0.9).mean())
        for result in (annealed, descent)
    ]
    assert shares[0] >= 0.7 and shares[1] <= 0.4, shares
    assert annealed.logp <= annealed.polished_logp == pytest.approx(top, abs=1e-5)
    for name, value in optimum.items():
        assert annealed.polished[name] == pytest.approx(value, abs=1e-3)
        assert annealed.best[name] == pytest.approx(value, abs=0.3)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_law_is_the_tempered_density_of_the_variables_themselves(temperature):
    """Beta(3, 4) to the power 1 / T is Beta(1 + 2 / T, 1 + 3 / T); Jacobians have no part in it."""
    with pm.Model():
        pm.Beta("x", 3, 4)
        result = psg.anneal(
            temperature=temperature, sampler="baoab", draws=4000, steps_per_draw=4, chains=2,
            polish=False, random_seed=1, step_size=0.5, preconditioner="identity", **QUIET,
        )  # fmt: skip
    law = scipy.stats.beta(1 + 2 / temperature, 1 + 3 / temperature)
    draws = result.path["x"]
    for values, expected in ((draws, law.mean()), ((draws - law.mean()) ** 2, law.var())):
        ess = float(az.ess(values.values))
        error = float(values.std()) / np.sqrt(ess)
        assert ess > 500 and abs(float(values.mean()) - expected) < 4 * error
    assert result.polished is None and np.isnan(result.polished_logp)


def test_the_optimum_of_a_bounded_variable_is_that_of_find_map():
    """Gamma(3, 1) has its mode at 2; its logarithm, with the Jacobian, at log 3."""
    with pm.Model() as model:
        pm.Gamma("x", 3, 1)
        result = psg.anneal(draws=200, chains=2, random_seed=1, **QUIET)
    assert result.polished["x"] == pytest.approx(2, abs=1e-4)
    assert result.best["x"] == pytest.approx(2, abs=0.1)
    logp = model.compile_logp(jacobian=False, mode=PYTHON)
    assert result.logp == pytest.approx(float(logp({"x_log__": np.log(result.best["x"])})))
    assert result.polished_logp == pytest.approx(scipy.stats.gamma(3).logpdf(2))


def test_on_batches_of_rows_the_path_is_evaluated_on_all():
    model = logistic_model(n_rows=500)
    with model:
        cooling = logarithmic_cooling(2.0)
        result = psg.anneal(
            draws=60, steps_per_draw=10, temperature=cooling, batch_size=50, chains=2,
            random_seed=2, step_size=1e-3, **QUIET,
        )  # fmt: skip
    path = result.path
    assert dict(path.sizes)["chain"] == 2 and path.sizes["draw"] == 60
    last = 10 * np.arange(2, 62) - 1  # after one draw of tuning
    np.testing.assert_allclose(path["temperature"], np.tile(2 / np.log(2 + last), (2, 1)))
    logp = model.compile_logp(jacobian=False, mode=PYTHON)
    for chain, draw in ((0, 0), (1, 59)):
        point = {name: path[name].values[chain, draw] for name in ("alpha", "beta")}
        assert float(path["logp"][chain, draw]) == pytest.approx(float(logp(point)))
    assert result.logp == float(path["logp"].max())
    assert result.polished_logp > result.logp > result.polished_logp - 2
    lines = repr(result).splitlines()
    assert any("log-density" in line and f"{result.logp:.6g}" in line for line in lines)
    assert any(line.split()[0] == "alpha" for line in lines if line.split())
    _, slope = psg.row_model(model).logp_and_gradient(
        result.polished, compile_kwargs={"mode": PYTHON}
    )
    assert all(np.abs(part).max() < 1e-3 for part in slope.values())


def test_step_sizes_follow_the_temperature_where_batches_make_noise(make_step):
    options = {"batch_size": 50, "batches": "independent"}
    step = make_step("regression", linear_regression().model(), **options)
    step.setup_chain(np.random.default_rng(0), 1, 1)
    step.step({"theta": np.zeros(3)})
    picture = step.chain.state.predicted_law
    cooling = geometric_cooling(10, 0.01).bind(1000)
    steps = follow(picture, cooling, 1000)
    numbers = np.array([0, 200, 555, 999])
    wanted = [picture.threshold_step_size(float(one)) for one in cooling(numbers)]
    np.testing.assert_allclose(steps(numbers), wanted, rtol=0.03)
    assert steps(numbers)[0] > 10 * steps(numbers)[-1]
    assert follow(picture, constant(2.0), 1000) == constant(picture.threshold_step_size(2.0))


def test_refused():
    with pm.Model():
        x = pm.Normal("x", shape=2)
        pm.Potential("f", -(x**4).sum())
        with pytest.raises(ValueError, match=r"sampler must be one of 'sgld'.*got 'sgnht'"):
            psg.anneal(sampler="sgnht")
        with pytest.raises(ValueError, match=r"no rows to take batches of, got batch_size=10\."):
            psg.anneal(batch_size=10)
        with pytest.raises(ValueError, match=r"temperature must be > 0 and finite, got 0\."):
            psg.anneal(temperature=0)
        with pytest.raises(psg.RowError, match="Nothing to minibatch"):
            psg.sample("sgld", progressbar=False)
        pm.Poisson("k", 3)
        with pytest.raises(psg.RowError, match="discrete free variables have no gradient"):
            psg.anneal()
