r"""A score that is learned from data, and draws from it by annealed Langevin dynamics.

What it shows: denoising score matching [1]_ is a regression of rows, so that it is a model like any
other. Noise is added to data beforehand, at ten levels,

.. math:: \tilde x = x + \sigma \varepsilon, \qquad
          \varepsilon \mid \tilde x, \sigma \sim N(f(\tilde x, \sigma), 1),

with f a small network, and :math:`-f(\tilde x, \sigma) / \sigma` is then the score of the data with
noise of that level: minibatches, samplers and draws of the weights are those of any regression.

The data are two normal components 11 of their sds apart, with weights .8 and .2. Langevin dynamics
with the score of the lowest level cannot know these weights, for it never crosses: the share of
paths at each component is that of their starts. From the highest level down [2]_ paths cross while
the components are one. The learned field is no gradient of a density; so these are ten lines of
NumPy, and no sampler of the library.

References
----------
.. [1] Vincent, P. (2011). A connection between score matching and denoising autoencoders. Neural
   Computation 23, 1661-1674. https://doi.org/10.1162/NECO_a_00142
.. [2] Song, Y. and Ermon, S. (2019). Generative modeling by estimating gradients of the data
   distribution. NeurIPS. https://arxiv.org/abs/1907.05600
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pymc as pm

from scipy import special

import pymc_sgld as psg

from models._datasets import Array
from models._running import Options, Result

WEIGHTS = np.array([0.8, 0.2])
CENTRES = np.array([[-2.0, -2.0], [2.0, 2.0]])
SD = 0.51
LEVELS = np.geomspace(4.0, 0.1, 10)
POINTS, REPLICAS = 4000, 5  # data, and noises of each
HIDDEN = (48, 48)
PATHS, STEPS = 2000, 50  # at each level
LENGTH = 0.3  # of a step, squared, over that of the noise of a level
BATCH, RATE, MOMENTUM_KEPT = 256, 0.05, 0.9
DRAWS, STEPS_PER_DRAW = 20, 150

# points, shape (n, 2), and a level to scores, shape (n, 2)
Score = Callable[[Array, float], Array]


class Noised(NamedTuple):
    """Data with noise, its level, and the noise in units of that; one row each."""

    points: Array
    levels: Array
    noise: Array


def drawn(rng: np.random.Generator, n_points: int) -> Array:
    """Return points of the two components, shape (n_points, 2)."""
    which = rng.choice(2, p=WEIGHTS, size=n_points)
    return CENTRES[which] + SD * rng.standard_normal((n_points, 2))


def load_data(rows: int | None = None, seed: int = 1) -> Noised:
    """Return points with noise, five times each, at levels that are drawn."""
    rng = np.random.default_rng(seed)
    n_points = POINTS if rows is None else -(-rows // REPLICAS)
    points = np.repeat(drawn(rng, n_points), REPLICAS, axis=0)[:rows]
    levels = rng.choice(LEVELS, size=len(points))
    noise = rng.standard_normal(points.shape)
    return Noised(points + levels[:, None] * noise, levels, noise)


def inputs(points: Array, levels: Array) -> Array:
    """Return what the network is given: points on one scale at all levels, and the level."""
    scale = np.sqrt(levels**2 + 4.0)
    return np.column_stack([points / scale[:, None], np.log(levels)])


def build_model(data: Noised) -> pm.Model:
    """Declare the regression of the noise on points with noise: two layers of tanh units."""
    with pm.Model() as model:
        at: Any = pm.Data("inputs", inputs(data.points, data.levels))
        fan_in = 3
        for number, units in enumerate(HIDDEN):
            weights = pm.Normal(f"weights_{number}", 0, 1, shape=(fan_in, units))
            biases = pm.Normal(f"biases_{number}", 0, 1, shape=units)
            at = pm.math.tanh(pm.math.dot(at, weights) * (2 / np.sqrt(fan_in)) + biases)
            fan_in = units
        outward = pm.Normal("outward", 0, 1, shape=(fan_in, 2)) * (2 / np.sqrt(fan_in))
        level = pm.Normal("level", 0, 1, shape=2)
        pm.Normal("noise", pm.math.dot(at, outward) + level, 1, observed=data.noise)
    return model


def network(draw: dict[str, Array], points: Array, levels: Array) -> Array:
    """Return the noise that a draw of the weights predicts, shape (n, 2)."""
    at = inputs(points, levels)
    for number in range(len(HIDDEN)):
        product = at @ draw[f"weights_{number}"] * (2 / np.sqrt(at.shape[1]))
        at = np.tanh(product + draw[f"biases_{number}"])
    return np.asarray(at @ draw["outward"] * (2 / np.sqrt(at.shape[1])) + draw["level"])


def learned_score(draws: Any, most: int = 5) -> Score:
    """Return the score by the mean over draws of the weights."""
    posterior = draws["posterior"].to_dataset().stack(sample=("chain", "draw"))
    at = {name: np.moveaxis(one.to_numpy(), -1, 0) for name, one in posterior.items()}
    chosen = np.linspace(0, len(at["level"]) - 1, most).round().astype(int)

    def score(points: Array, level: float) -> Array:
        levels = np.full(len(points), level)
        each = [network({n: x[i] for n, x in at.items()}, points, levels) for i in chosen]
        return np.asarray(-np.mean(each, axis=0) / level)

    return score


def exact_score(points: Array, level: float) -> Array:
    """Return the score of the mixture with noise of a level."""
    variance = SD**2 + level**2
    apart = CENTRES - points[:, None]  # (n, 2 components, 2)
    logs = np.log(WEIGHTS) - np.square(apart).sum(axis=2) / (2 * variance)
    share = special.softmax(logs, axis=1)
    return np.asarray((share[:, :, None] * apart).sum(axis=1) / variance)


def langevin(score: Score, levels: Array, steps: int, seed: int = 2, paths: int = PATHS) -> Array:
    r"""Return the ends of paths of Langevin dynamics, level by level.

    .. math:: x' = x + \tfrac{\alpha}{2} s(x, \sigma) + \sqrt{\alpha}\, \xi, \qquad
              \alpha = 0.3\, \sigma^2
    """
    rng = np.random.default_rng(seed)
    points = LEVELS[0] * rng.standard_normal((paths, 2))
    for level in levels:
        length = LENGTH * level**2
        for _ in range(steps):
            noise = rng.standard_normal(points.shape)
            points = points + length / 2 * score(points, level) + np.sqrt(length) * noise
    return np.asarray(points)


def loss(score: Score, data: Noised) -> float:
    """Return half the mean square of the noise that is left, by coordinate."""
    left = np.empty_like(data.noise)
    for level in LEVELS:
        rows = data.levels == level
        left[rows] = data.noise[rows] + level * score(data.points[rows], level)
    return float(np.square(left).mean() / 2)


def weight_of_first(points: Array) -> float:
    """Return the share of points that are nearer to the first component."""
    return float((points.sum(axis=1) < 0).mean())


def described(points: Array) -> dict[str, float]:
    """Return weight, sd and the share of points that are far from both components."""
    far = np.linalg.norm(points[:, None] - CENTRES, axis=2).min(axis=1)
    first = points[points.sum(axis=1) < 0]
    near = first[np.linalg.norm(first - CENTRES[0], axis=1) < 4 * SD]
    return {
        "weight of the first": weight_of_first(points),
        "sd there": float(near.std(axis=0).mean()),
        "astray": float((far > 5 * SD).mean()),
    }


def settings(n_rows: int) -> dict[str, Any]:
    """Return arguments of :func:`pymc_sgld.sample`; those of other networks here."""
    step_size = float(np.sqrt(RATE / n_rows))
    return {
        "sampler": "sghmc",
        "batch_size": min(BATCH, n_rows),
        "step_size": step_size,
        "friction": (1 - MOMENTUM_KEPT) / step_size,
        "steps_per_draw": STEPS_PER_DRAW,
        "draws": DRAWS,
        "tune": DRAWS,
        "chains": 1,
        "check": False,
        "compute_convergence_checks": False,
    }


def run(options: Options) -> Result:
    """Learn the score, follow it from the highest level down, and at the lowest alone."""
    data = load_data(options.rows)
    model = build_model(data)
    own = settings(len(data.noise))
    with model:
        starts = {variable.name: "prior" for variable in model.free_RVs}
        draws = psg.sample(**options.sampling(own), initvals=starts)
    learned, rows, ends = learned_score(draws), {}, {}
    for name, score in (("exact", exact_score), ("learned", learned)):
        for how, levels, steps in (
            ("annealed", LEVELS, STEPS),
            ("lowest level alone", LEVELS[-1:], STEPS * len(LEVELS)),
        ):
            points = langevin(score, levels, steps)
            rows[f"{name} score, {how}"] = described(points)
            ends[f"{name}, {how}"] = points
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "Langevin dynamics"
    fresh = load_data(20_000, seed=9)
    losses = f"{loss(learned, fresh):.3f} (exact score: {loss(exact_score, fresh):.3f})"
    notes = [f"Half the mean square of the noise that is left: {losses}."]
    return Result({"where paths end": table}, show(data, learned, ends), notes)


def show(data: Noised, score: Score, ends: dict[str, Array]) -> dict[str, Any]:
    """Return the learned field at two levels, and the ends of paths."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
    grid = np.stack(np.meshgrid(np.linspace(-5, 5, 15), np.linspace(-5, 5, 15)), axis=-1)
    flat = grid.reshape(-1, 2)
    for axis, level in zip(axes, (LEVELS[3], LEVELS[6]), strict=False):
        arrows = score(flat, level) * level**2
        axis.quiver(*flat.T, *arrows.T, angles="xy", width=0.004)
        axis.set_title(f"learned score, noise of {level:.2g}", fontsize=10)
    for axis, name in zip(
        axes[2:], ("learned, annealed", "learned, lowest level alone"), strict=True
    ):
        points = ends[name]
        axis.plot(*points.T, ".", markersize=1.5, alpha=0.4)
        share = weight_of_first(points)
        axis.set_title(f"{name}\nweight of the first {share:.2f}", fontsize=10)
    for axis in axes:
        axis.plot(*CENTRES.T, "o", color="tab:red", markersize=4, fillstyle="none")
        axis.set(xlim=(-5.5, 5.5), ylim=(-5.5, 5.5), aspect="equal")
    return {"learned_score": figure}
