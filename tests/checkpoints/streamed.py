"""Models whose rows are on disk, with their steps: for runs that are killed and go on."""

import numpy as np
import pymc as pm

import pymc_sgld as psg

from pymc_sgld.model_graph.density import bound_data
from pymc_sgld.row_sources import random_blocks
from tests.checkpoints.processes import Endless

N_ROWS, N_GROUPS = 3000, 12


def hierarchy():
    with pm.Model() as model:
        group, column = pm.Data("group", np.zeros(1, int)), pm.Data("column", np.zeros(1))
        mean, scale = pm.Normal("mean"), pm.HalfNormal("scale")
        effect = pm.Normal("effect", mean, scale, shape=N_GROUPS)
        outcome = effect[group] + pm.Normal("slope") * column
        pm.Normal("y", outcome, 1.0, observed=pm.Data("outcome", np.zeros(1)))
    return model


def written(folder):
    """Write the rows, and return where they are."""
    rng = np.random.default_rng(6)
    group, column = rng.integers(0, N_GROUPS, N_ROWS), rng.normal(size=N_ROWS)
    outcome = rng.normal(0, 0.3, N_GROUPS)[group] + 0.5 * column + rng.normal(size=N_ROWS)
    rows = {"group": group, "column": column, "outcome": outcome}
    for name, values in rows.items():
        np.save(folder / f"{name}.npy", values)
    return {name: folder / f"{name}.npy" for name in rows}


STREAMED = {
    "scratch": ("sgld", {"step_size": 1e-4, "steps_per_draw": 30}, {}),
    "gibbs": ("auto", {"hyperparameters": "gibbs", "rng": 1}, {}),
    "blocks": ("sgld", {"step_size": 1e-4, "steps_per_draw": 30}, {"scratch": False}),
}


def prepared_on_disk(kind, folder, **call):
    """Return a run, and its draws where it is not killed."""
    name, arguments, how = STREAMED[kind]
    if kind == "blocks":  # as if the file were too large to be read
        bound_data._INTO_MEMORY, random_blocks.BYTES_OF_A_BLOCK = 1000, 8 * 10
    data, model = written(folder), hierarchy()
    rows = psg.row_model(
        model, data=data, progressbar=False, **{"scratch": folder / "scratch"} | how
    )
    with model:
        step = psg.step_methods.REGISTRY[name](rows=rows, batch_size=50, verify=False, **arguments)
    run = Endless(model, step, **call)
    return run, run.whole()
