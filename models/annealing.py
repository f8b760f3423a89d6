r"""The lowest point of rugged functions, by Langevin dynamics that cools down.

What it shows: `psg.anneal` on functions that optimisers are tried on. Descent ends in the valley it
starts in; Langevin dynamics at a high temperature crosses from valley to valley, and as it cools it
prefers the deepest. A function is declared as a `pm.Potential` of a variable with a uniform prior
over its box, and every chain starts at a point drawn from that. Side by side, from as many starts:

- annealed Langevin, whose temperature falls geometrically (:attr:`Landscape.cooling`);
- the same update at a temperature of nearly 0, which is gradient descent;
- `scipy.optimize.dual_annealing`, which makes jumps of heavy tails and searches locally. It stops
  after ten thousand evaluations of the function, unless it is done before.

A run has succeeded if its best point is in the valley of the lowest one: if L-BFGS ends there.

Rastrigin's and Ackley's functions have their lowest point in the middle of the box, where a method
that is drawn to the middle finds it for nothing; here they are moved. Himmelblau's has four lowest
points, so every descent succeeds: what is asked of it is in which of the four the chains end. The
double well has its deeper valley on the left.

References
----------
.. [1] Geman, S. and Hwang, C.-R. (1986). Diffusions for global optimization. SIAM Journal on
   Control and Optimization 24. https://doi.org/10.1137/0324060
.. [2] Xiang, Y., Sun, D. Y., Fan, W. and Gong, X. G. (1997). Generalized simulated annealing
   algorithm and its application to the Thomson model. Physics Letters A 233.
   https://doi.org/10.1016/S0375-9601(97)00474-X
"""

import math

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from scipy import optimize

from models._running import Options, Result
from pymc_sgld import anneal
from pymc_sgld.schedules import constant, geometric_cooling
from pymc_sgld.types import Array, Schedule

COMPARED = ("mala", "nuts", "advi")
NO_TEMPERATURE = 1e-8
JUMPING_EVALUATIONS = 10_000


@dataclass(frozen=True)
class Landscape:
    """A function of several valleys, and where its lowest points are.

    Attributes
    ----------
    function : callable
        Of a vector of shape (n_dim,), of NumPy or of PyTensor.
    reach : float
        The box is [-reach, reach] in every direction.
    lowest : ndarray, shape (n_lowest, n_dim)
        The points where it is lowest.
    cooling : (float, float)
        First and last temperature. At the first, barriers are crossed; the last is low enough for
        the deepest valley to stand out.
    """

    function: Callable[[Any], Any]
    reach: float
    lowest: Array
    cooling: tuple[float, float]

    def __len__(self) -> int:
        """Return the number of dimensions."""
        return int(self.lowest.shape[1])

    def valley(self, point: Array) -> int:
        """Return which of the lowest points L-BFGS ends in from a point; -1 if in none."""
        box = [(-self.reach, self.reach)] * len(self)
        end = optimize.minimize(self.function, point, method="L-BFGS-B", bounds=box).x
        distances = np.linalg.norm(self.lowest - end, axis=1)
        return int(np.argmin(distances)) if distances.min() < 0.05 else -1


AWAY = np.array([1.3, -2.2])  # where Rastrigin's and Ackley's lowest points are moved to


def rastrigin(x: Any) -> Any:
    """Return a bowl with a valley at every step of 1, between barriers of about 20."""
    z = x - AWAY
    return 10 * 2 + (z**2 - 10 * np.cos(2 * np.pi * z)).sum()


def ackley(x: Any) -> Any:
    """Return a funnel in a plain full of holes; rounded by 1e-6 at the tip, for its slope."""
    z = x - AWAY
    funnel = 20 * (1 - np.exp(-0.2 * np.sqrt((z**2).mean() + 1e-12)))
    return funnel + math.e - np.exp(np.cos(2 * np.pi * z).mean())


def himmelblau(x: Any) -> Any:
    """Return a function of four valleys that are equally deep."""
    return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2


def double_well(x: Any) -> Any:
    """Return two valleys, 3 apart in depth, between barriers of 4.7 and 7.6."""
    return (6 * (x**2 - 1) ** 2 + 1.5 * x).sum()


LANDSCAPES = {
    "double well": Landscape(double_well, 2.5, np.array([[-1.0299]]), (8, 0.1)),
    "Himmelblau": Landscape(
        himmelblau,
        6.0,
        np.array([[3, 2], [-2.805118, 3.131312], [-3.779310, -3.283186], [3.584428, -1.848126]]),
        (50, 0.5),
    ),
    "Rastrigin": Landscape(rastrigin, 5.12, AWAY[None], (10, 2)),
    "Ackley": Landscape(ackley, 32.768, AWAY[None], (2, 0.2)),
}


def load_data(rows: int | None = None) -> Landscape:
    """Return Himmelblau's function; there are no data, and no rows. See :data:`LANDSCAPES`."""
    return LANDSCAPES["Himmelblau"]


def build_model(data: Landscape) -> pm.Model:
    """Declare a point in the box, with the density :math:`e^{-f(x)}` up to a constant."""
    with pm.Model() as model:
        x = pm.Uniform("x", -data.reach, data.reach, shape=len(data))
        pm.Potential("minus_f", -data.function(x))
    return model


def best_points(
    landscape: Landscape,
    temperature: Schedule,
    *,
    chains: int = 20,
    draws: int = 1000,
    steps_per_draw: int = 50,
    seed: int = 1,
    progressbar: bool = False,
    **options: Any,
) -> tuple[Array, Array]:
    """Return the best point that each chain saw, and where it was at every draw.

    Shapes (chains, n_dim) and (chains, draws, n_dim). ``options`` are those of `psg.anneal`.
    """
    found = anneal(
        build_model(landscape),
        temperature=temperature,
        draws=draws,
        steps_per_draw=steps_per_draw,
        chains=chains,
        cores=1,
        initvals={"x": "prior"},
        polish=False,
        random_seed=seed,
        progressbar=progressbar,
        **options,
    )
    path = found.path["x"].to_numpy()
    best = found.path["logp"].to_numpy().argmax(axis=1)
    return path[np.arange(chains), best], path


def jumping_points(landscape: Landscape, runs: int = 20, seed: int = 1) -> tuple[Array, float]:
    """Return where dual annealing ends in each run, and the evaluations it took on average."""
    box = [(-landscape.reach, landscape.reach)] * len(landscape)
    results = [
        optimize.dual_annealing(
            landscape.function, box, maxfun=JUMPING_EVALUATIONS, rng=np.random.default_rng(one)
        )
        for one in np.random.SeedSequence(seed).spawn(runs)
    ]
    return np.array([one.x for one in results]), float(np.mean([one.nfev for one in results]))


# -- what ``python -m models run annealing`` prints and draws ---------------------------------


def run(options: Options) -> Result:
    """Look for the lowest points with all three, from many starts; see the module."""
    sizes: dict[str, Any] = {"chains": options.chains or 20, "draws": options.draws or 1000}
    rates, ends, paths = {}, {}, {}
    for name in options.track(LANDSCAPES, "landscapes"):
        landscape = LANDSCAPES[name]
        cooled, paths[name] = best_points(
            landscape, geometric_cooling(*landscape.cooling), seed=options.seed, **sizes
        )
        still, _ = best_points(landscape, constant(NO_TEMPERATURE), seed=options.seed, **sizes)
        jumped, evaluations = jumping_points(landscape, sizes["chains"], options.seed)
        methods = {"annealed": cooled, "descent": still, "dual annealing": jumped}
        valleys = {key: [landscape.valley(one) for one in at] for key, at in methods.items()}
        rates[name] = {
            **{key: np.mean(np.array(one) >= 0) for key, one in valleys.items()},
            "evaluations of dual annealing": evaluations,
        }
        ends[name] = valleys
    notes = [
        f"Shares of {sizes['chains']} runs. Annealed and descent take {50 * sizes['draws']:,} "
        "gradients each, and are run in one dimension (double well) or two."
    ]
    return Result(
        {"success": pd.DataFrame(rates).T.rename_axis("function"), "Himmelblau": _counts(ends)},
        {"annealing": figure_of_paths(paths)},
        notes,
    )


def _counts(ends: dict[str, dict[str, list[int]]]) -> pd.DataFrame:
    """Return how many runs ended in each of Himmelblau's four lowest points."""
    points = [f"({x:.2f}, {y:.2f})" for x, y in LANDSCAPES["Himmelblau"].lowest]
    counts = {
        key: [one.count(number) for number in range(len(points))]
        for key, one in ends["Himmelblau"].items()
    }
    return pd.DataFrame(counts, index=pd.Index(points, name="lowest point"))


def figure_of_paths(paths: dict[str, Array]) -> Any:
    """Return the first chain's path on each landscape of two dimensions, hot to cold."""
    import matplotlib.pyplot as plt

    plane = {name: path for name, path in paths.items() if path.shape[-1] == 2}
    figure, axes = plt.subplots(1, len(plane), figsize=(11, 3.9), layout="constrained")
    for axis, (name, path) in zip(axes, plane.items(), strict=True):
        landscape = LANDSCAPES[name]
        line = np.linspace(-landscape.reach, landscape.reach, 200)
        heights = [[landscape.function(np.array([x, y])) for x in line] for y in line]
        axis.contourf(line, line, np.log1p(heights), 20, cmap="Greys_r", alpha=0.6)
        colours = np.geomspace(*landscape.cooling, path.shape[1])
        points = axis.scatter(*path[0].T, c=colours, s=3, cmap="plasma", norm="log")
        axis.plot(*landscape.lowest.T, "x", color="C2", markersize=8, markeredgewidth=2)
        axis.set(title=name, xlabel="x[0]", aspect="equal")
        figure.colorbar(points, ax=axis, label="temperature", shrink=0.7)
    axes[0].set_ylabel("x[1]")
    return figure
