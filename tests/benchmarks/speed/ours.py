"""A run in this environment: ``python -m tests.benchmarks.speed.ours METHOD N SEED FILE``.

Prints JSON. CPU seconds are counted from after the imports and the data, compiling included.
"""

import json
import sys

import numpy as np
import pymc as pm

import pymc_sgld as psg

from tests.benchmarks.speed.data import (
    PRIOR_SD,
    cpu_seconds,
    peak_megabytes,
    regression,
    resident_megabytes,
)

QUIET = {"progressbar": False, "random_seed": 1}
ADVI_ITERATIONS, ADVI_BATCH = 30_000, 100
STEP_CALLS = 20_000  # many more than are made ahead at a time


def logistic(design, outcome):
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, PRIOR_SD, shape=design.shape[1])
        pm.Bernoulli("y", logit_p=pm.math.dot(design, beta), observed=outcome)
    return model


def beta(tree):
    return tree["posterior"]["beta"].transpose("chain", "draw", ...).to_numpy()


def psg_auto(design, outcome):
    """``psg.sample()`` as it comes: 4 chains of 1,000 draws, its check included."""
    with logistic(design, outcome):
        return beta(psg.sample(chains=4, cores=1, **QUIET))


def psg_auto_long(design, outcome):
    """4 chains of 20,000 draws."""
    with logistic(design, outcome):
        return beta(psg.sample(draws=20_000, chains=4, cores=1, **QUIET))


def nutpie(design, outcome):
    """One chain of 300 + 300."""
    import nutpie as library

    compiled = library.compile_pymc_model(logistic(design, outcome))
    sizes = {"draws": 300, "tune": 300, "chains": 1, "cores": 1}
    return beta(library.sample(compiled, seed=1, progress_bar=False, **sizes))


def advi(design, outcome):
    """PyMC's mean field on ``pm.Minibatch`` of 100 rows, 30,000 iterations, as it comes."""
    with pm.Model():
        some, said = pm.Minibatch(design, outcome.astype(np.int32), batch_size=ADVI_BATCH)
        slopes = pm.Normal("beta", 0, PRIOR_SD, shape=design.shape[1])
        logit = (some * slopes).sum(axis=1)
        pm.Bernoulli("y", logit_p=logit, observed=said, total_size=len(outcome))
        fit = pm.fit(ADVI_ITERATIONS, progressbar=False, random_seed=1)
        return beta(fit.sample(4000, random_seed=1))


def first_draw(name):
    """Return the CPU seconds of a model of ``models/`` until its first draw is there."""
    import models

    module = models.load(name)
    model = module.build_model(module.load_data(None))

    class Enough(Exception):
        pass

    def stop(trace, draw):
        raise Enough

    started = cpu_seconds()
    try:
        psg.sample(
            model=model, cores=1, chains=1, callback=stop, compute_convergence_checks=False, **QUIET
        )
    except Enough:
        pass
    return {"cpu_seconds": cpu_seconds() - started}


def scale(n_rows, n_dim=5):
    """Return what "auto" costs as rows grow: until the first draw, a step, peak memory."""
    design, outcome = regression("logistic", n_rows, n_dim, 0)
    megabytes = (design.nbytes + outcome.nbytes) / 1e6
    before = resident_megabytes()
    started = cpu_seconds()
    model = logistic(design, outcome)
    with model:
        step = psg.Auto(rng=np.random.default_rng(1))
    tune = step.default_tune_steps
    step.setup_chain(np.random.default_rng(0), tune, STEP_CALLS + 1)
    point, _ = step.step(model.initial_point())
    ready = cpu_seconds() - started
    for _ in range(tune - 1):
        point, _ = step.step(point)
    step.stop_tuning()
    point, _ = step.step(point)
    started = cpu_seconds()
    for _ in range(STEP_CALLS):
        point, stats = step.step(point)
    spent = cpu_seconds() - started
    n_steps = STEP_CALLS * step.chain.state.plan.steps_per_draw
    return {
        "data_megabytes": megabytes,
        "peak_over_data_megabytes": peak_megabytes() - before,
        "first_draw_cpu_seconds": ready,
        "microseconds_a_draw": spent / STEP_CALLS * 1e6,
        "microseconds_a_step": spent / n_steps * 1e6,
        "batch_size": int(stats[0]["batch_size"]),
    }


def main(method, what, seed, path):
    if method == "first_draw":
        return first_draw(what)
    if method == "scale":
        return scale(int(what))
    design, outcome = regression("logistic", int(what), 20, seed)
    started = cpu_seconds()
    draws = globals()[method](design, outcome)
    spent = cpu_seconds() - started
    np.save(path, draws)
    return {"cpu_seconds": spent}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))
