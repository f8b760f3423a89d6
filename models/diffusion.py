r"""Langevin walkers in a double well, beside their Fokker-Planck equation and a random walk.

What it shows: three descriptions of one motion. The Langevin equation

.. math:: dX = -U'(X)\, dt + \sqrt{2T}\, dW

moves single walkers; its Fokker-Planck equation

.. math:: \partial_t p = \partial_x (U' p) + T\, \partial_x^2 p

moves their density; and a random walk on a lattice, which jumps left or right and is held back
where that leads uphill, becomes either as the lattice gets finer. The walkers are chains of the
library: the model is a `pm.Potential` of as many coordinates as there are walkers, and ``ula`` is
the Euler-Maruyama scheme of the equation. All start in the left well. Soon they fill it; to cross
the barrier takes the time of Kramers (1940), and only then is their law that of Boltzmann,
:math:`p \propto e^{-U/T}`. A sampler that is stopped before that knows one mode.

The Fokker-Planck equation is solved on a grid by rates of jumping between neighbouring cells,

.. math:: r_{i \to j} = \frac{T}{\Delta^2} \exp\Big(-\frac{U_j - U_i}{2T}\Big) ,

which leave Boltzmann's law on the cells as it is, and are exact in time by eigenvectors.

References
----------
.. [1] Kramers, H. A. (1940). Brownian motion in a field of force and the diffusion model of
   chemical reactions. Physica 7. https://doi.org/10.1016/S0031-8914(40)90098-2
.. [2] Risken, H. (1996). The Fokker-Planck Equation, 2nd edition. Springer.
   https://doi.org/10.1007/978-3-642-61544-3
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from scipy import stats
from scipy.linalg import eigh_tridiagonal

from models._running import Options, Result
from pymc_sgld import sample
from pymc_sgld.types import Array

SHOWN = (0.05, 0.2, 1.0, 10.0)  # times
TIMES = 0.05 * np.arange(1, 241)
COMPARED = ("mala", "nuts", "advi")
BINS = 52  # of the walkers' histograms; a divisor of the cells of the equation


@dataclass(frozen=True)
class Walkers:
    r"""Where walkers start, and the double well :math:`U(x) = b\,(x^2 - 1)^2 + a x` they are in.

    Attributes
    ----------
    start : ndarray, shape (n_walkers,)
    barrier : float
        :math:`b`, height of the barrier between the wells at -1 and 1, in units of T = 1.
    tilt : float
        :math:`a`; a positive one makes the left well the deeper one.
    """

    start: Array
    barrier: float = 2.0
    tilt: float = 0.25

    def __len__(self) -> int:
        """Return the number of walkers."""
        return len(self.start)

    def energy(self, x: Any) -> Any:
        """Return U at positions, of NumPy or of PyTensor."""
        return self.barrier * (x**2 - 1) ** 2 + self.tilt * x


def load_data(rows: int | None = None) -> Walkers:
    """Return walkers (10,000 unless ``rows`` says otherwise) in the left well, at x = -1."""
    return Walkers(np.full(rows or 10_000, -1.0))


def build_model(data: Walkers) -> pm.Model:
    """Declare independent walkers, each with the density :math:`e^{-U(x)}`."""
    with pm.Model(coords={"walker": np.arange(len(data))}) as model:
        x = pm.Flat("x", dims="walker", initval=data.start)
        pm.Potential("minus_energy", -data.energy(x).sum())
    return model


def simulate(
    data: Walkers,
    times: Sequence[float] | Array = TIMES,
    *,
    step_size: float = 0.0025,
    seed: int = 1,
    progressbar: bool = False,
    **options: Any,
) -> Array:
    """Return the walkers at given times, shape (n_times, n_walkers), by the sampler "ula".

    The times are rounded to the shortest of them, which is rounded to whole steps.
    """
    steps = max(round(min(times) / step_size), 1)
    numbers = np.rint(np.asarray(times) / (steps * step_size)).astype(int)
    result = sample(
        "ula",
        int(numbers.max()),
        tune=0,
        chains=1,
        cores=1,
        step_size=step_size,
        steps_per_draw=steps,
        initvals={"x": data.start},
        random_seed=seed,
        progressbar=progressbar,
        model=build_model(data),
        compute_convergence_checks=False,
        **options,
    )
    return np.asarray(result.posterior["x"].values[0, numbers - 1])


@dataclass(frozen=True)
class FokkerPlanck:
    """The Fokker-Planck equation on cells of equal width, with walls at both ends.

    Attributes
    ----------
    energy : callable
        U at positions.
    grid : ndarray, shape (n_cells,)
        The middles of the cells.
    temperature : float
    """

    energy: Callable[[Array], Array]
    grid: Array
    temperature: float = 1.0

    @property
    def width(self) -> float:
        """Of a cell."""
        return float(self.grid[1] - self.grid[0])

    @property
    def edges(self) -> Array:
        """Of the cells, shape (n_cells + 1,)."""
        number = np.arange(len(self.grid) + 1)
        return np.asarray(self.grid[0] + self.width * (number - 0.5))

    @cached_property
    def boltzmann(self) -> Array:
        """The probabilities of the cells in the limit, :math:`e^{-U/T}` normalised."""
        weights = np.exp(
            -(self.energy(self.grid) - self.energy(self.grid).min()) / self.temperature
        )
        return np.asarray(weights / weights.sum())

    @cached_property
    def _modes(self) -> tuple[Array, Array]:
        """Eigenvalues, from 0 down, and eigenvectors of the generator made symmetric."""
        energy = self.energy(self.grid)
        half = np.exp(np.diff(energy) / (2 * self.temperature))
        rate = self.temperature / self.width**2
        leaving = np.zeros(len(self.grid))
        leaving[:-1] += rate / half  # to the right
        leaving[1:] += rate * half
        values, vectors = eigh_tridiagonal(-leaving, np.full(len(half), rate))
        return values[::-1], vectors[:, ::-1]

    @property
    def slowest_rate(self) -> float:
        """The rate at which the last deviation from Boltzmann's law dies out, per unit of time."""
        return float(-self._modes[0][1])

    def start_at(self, position: float) -> Array:
        """Return the probabilities of a start at a point, shared between the two nearest cells."""
        place = np.clip((position - self.grid[0]) / self.width, 0, len(self.grid) - 1)
        left = min(int(place), len(self.grid) - 2)
        start = np.zeros(len(self.grid))
        start[left], start[left + 1] = left + 1 - place, place - left
        return start

    def at(self, time: float, start: Array) -> Array:
        """Return the probabilities of the cells at a time, from those at time 0."""
        values, vectors = self._modes
        root = np.sqrt(self.boltzmann)
        return np.asarray(root * (vectors @ (np.exp(values * time) * (vectors.T @ (start / root)))))


def fokker_planck(data: Walkers, n_cells: int = 1040, reach: float = 2.6) -> FokkerPlanck:
    """Return the equation of the walkers, on [-reach, reach] at temperature 1."""
    edges = np.linspace(-reach, reach, n_cells + 1)
    return FokkerPlanck(data.energy, (edges[1:] + edges[:-1]) / 2)


def random_walk(equation: FokkerPlanck, time: float, start: Array) -> Array:
    r"""Return the law at a time of Metropolis's random walk on the cells.

    It tries the cell on the left or the right, each half of the time, and goes there with
    probability :math:`\min(1, e^{-\Delta U / T})`. A step takes :math:`\Delta^2 / 2T`.
    """
    energy = equation.energy(equation.grid)
    rise = np.diff(energy) / equation.temperature
    right, left = np.minimum(1, np.exp(-rise)) / 2, np.minimum(1, np.exp(rise)) / 2
    stay = np.ones(len(energy))
    stay[:-1] -= right
    stay[1:] -= left
    law = start
    for _ in range(round(time * 2 * equation.temperature / equation.width**2)):
        moved = stay * law
        moved[1:] += right * law[:-1]
        moved[:-1] += left * law[1:]
        law = moved
    return law


def euler(equation: FokkerPlanck, time: float, position: float, step_size: float) -> Array:
    """Return the law at a time of the scheme that the walkers step by, by quadrature.

    A step is a normal distribution around where the drift leads, with variance 2 h T; the cells
    must be narrow beside its width.
    """
    grid, width = equation.grid, equation.width
    drift = -np.gradient(equation.energy(grid), width)
    variance = 2 * step_size * equation.temperature
    to = np.exp(-((grid[:, None] - grid - step_size * drift) ** 2) / (2 * variance))
    to /= to.sum(axis=0)
    slope = float(np.interp(position, grid, drift))
    law = np.exp(-((grid - position - step_size * slope) ** 2) / (2 * variance))
    law /= law.sum()
    for _ in range(round(time / step_size) - 1):
        law = to @ law
    return np.asarray(law)


def kramers_rate(data: Walkers, temperature: float = 1.0) -> float:
    r"""Return Kramers' rate of relaxation: of crossing from left to right, and back, added.

    :math:`\sqrt{U''(a)\, |U''(b)|}\, e^{-(U(b) - U(a)) / T} / 2 \pi` for a bottom a and the top b
    of the barrier; right where the barrier is high beside T.
    """
    slope = np.polynomial.Polynomial([data.tilt, -4 * data.barrier, 0, 4 * data.barrier])
    left, top, right = np.sort(slope.roots().real)
    curvature = slope.deriv()
    rate = 0.0
    for bottom in (left, right):
        height = data.energy(top) - data.energy(bottom)
        frequency = np.sqrt(curvature(bottom) * -curvature(top)) / (2 * np.pi)
        rate += float(frequency * np.exp(-height / temperature))
    return rate


def relative_entropy(law: Array, other: Array) -> float:
    """Return the Kullback-Leibler divergence of one law from another, in nats."""
    seen = law > 0
    return float(np.sum(law[seen] * np.log(law[seen] / other[seen])))


def gap(law: Array, other: Array) -> float:
    """Return the largest distance of two distribution functions (Kolmogorov's)."""
    return float(np.abs(np.cumsum(law - other)).max())


def binned(law: Array, n_cells: int) -> Array:
    """Return the probabilities of fewer, wider cells, of which each holds equally many."""
    return np.asarray(law.reshape(n_cells, -1).sum(axis=1))


# -- what ``python -m models run diffusion`` prints and draws ---------------------------------


def run(options: Options) -> Result:
    """Let the walkers go, and hold them against their equation; see the module."""
    data = load_data(options.rows)
    equation = fokker_planck(data)
    positions = simulate(data, seed=options.seed, progressbar=options.progress)
    decay, rates = relaxation(data, equation, positions), rates_of(data, equation)
    limits = {"random walk": walk_limit(data), "Euler steps": euler_limit(equation)}
    return Result(
        {"law over time": decay.loc[list(SHOWN)], "rates": rates, **limits},
        {
            "law_over_time": figure_of_laws(data, equation, positions),
            "relaxation": figure_of_relaxation(decay, equation),
            "limits": figure_of_limits(limits),
        },
        [
            "p: Kolmogorov-Smirnov test of the walkers against the equation; small values speak "
            "against it.",
            f"A histogram of {len(data):,} walkers in {BINS} bins has a relative entropy of about "
            f"{(BINS - 1) / (2 * len(data)):.4f} from its own law.",
        ],
    )


def relaxation(data: Walkers, equation: FokkerPlanck, positions: Array) -> pd.DataFrame:
    """Return how far equation and walkers are from Boltzmann's law, and from each other."""
    start = equation.start_at(float(data.start[0]))
    edges = np.linspace(equation.edges[0], equation.edges[-1], BINS + 1)
    limit = binned(equation.boltzmann, BINS)
    rows = []
    for time, places in zip(TIMES, positions, strict=True):
        law = equation.at(time, start)
        seen = np.histogram(places, edges)[0] / len(places)
        distribution = np.concatenate([[0], np.cumsum(law)])
        test = stats.kstest(places, lambda x, f=distribution: np.interp(x, equation.edges, f))
        rows.append(
            {
                "KL of the equation": relative_entropy(law, equation.boltzmann),
                "KL of the walkers": relative_entropy(seen, limit),
                "KS distance": test.statistic,
                "p": test.pvalue,
            }
        )
    return pd.DataFrame(rows, index=pd.Index(TIMES.round(6), name="time"))


def rates_of(data: Walkers, equation: FokkerPlanck) -> pd.DataFrame:
    """Return the slowest rate of relaxation: of the equation, and as Kramers has it."""
    rates = {"Fokker-Planck": equation.slowest_rate, "Kramers": kramers_rate(data)}
    return pd.DataFrame({"rate": rates}).assign(time=lambda table: 1 / table["rate"])


def walk_limit(data: Walkers, time: float = 1.0) -> pd.DataFrame:
    """Return how far the random walk is from the equation, by the lattice's spacing."""
    fine = fokker_planck(data, 2600)
    law = fine.at(time, fine.start_at(float(data.start[0])))
    distances = {}
    for n_cells in (13, 26, 52, 104, 260):
        walk = fokker_planck(data, n_cells)
        reached = random_walk(walk, time, walk.start_at(float(data.start[0])))
        distances[round(walk.width, 9)] = gap(reached, binned(law, n_cells))
    return pd.DataFrame({"gap": distances}).rename_axis("spacing of the lattice")


def euler_limit(equation: FokkerPlanck, time: float = 1.0, position: float = -1.0) -> pd.DataFrame:
    """Return how far the scheme of the walkers is from the equation, by its step size."""
    law = equation.at(time, equation.start_at(position))
    sizes = (0.04, 0.02, 0.01, 0.005, 0.0025)
    distances = {h: gap(euler(equation, time, position, h), law) for h in sizes}
    return pd.DataFrame({"gap": distances}).rename_axis("step size h")


def figure_of_laws(data: Walkers, equation: FokkerPlanck, positions: Array) -> Any:
    """Return histograms of the walkers over the densities of the equation."""
    import matplotlib.pyplot as plt

    start = equation.start_at(float(data.start[0]))
    figure, axes = plt.subplots(1, len(SHOWN), figsize=(11, 3.2), sharex=True, layout="constrained")
    for axis, time in zip(axes, SHOWN, strict=True):
        number = int(np.argmin(np.abs(TIMES - time)))
        edges = np.linspace(equation.edges[0], equation.edges[-1], BINS + 1)
        axis.hist(positions[number], edges, density=True, color="0.8", label="walkers")
        density = equation.at(time, start) / equation.width
        axis.plot(equation.grid, density, label="Fokker-Planck")
        limit = equation.boltzmann / equation.width
        axis.plot(equation.grid, limit, "k:", linewidth=1, label="Boltzmann")
        axis.set(title=f"t = {time:g}", xlabel="position x", xlim=(-2, 2))
    axes[0].set_ylabel("density")
    axes[0].legend(frameon=False, loc="upper right", fontsize=8)
    return figure


def figure_of_relaxation(decay: pd.DataFrame, equation: FokkerPlanck) -> Any:
    """Return the relative entropy from Boltzmann's law over time."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    times = decay.index.to_numpy()
    axis.plot(times, decay["KL of the walkers"], ".", color="0.6", label="walkers (histogram)")
    axis.plot(times, decay["KL of the equation"], label="Fokker-Planck")
    middle = np.argmin(np.abs(times - 3.0))
    slope = np.exp(-2 * equation.slowest_rate * (times - times[middle]))
    line = decay["KL of the equation"].iloc[middle] * slope
    axis.plot(times, line, "k--", linewidth=1, label="slope of twice the slowest rate")
    axis.set(yscale="log", xlabel="time t", ylabel="relative entropy KL(p, Boltzmann), nats")
    axis.set_ylim(1e-5, 10)
    axis.legend(frameon=False, fontsize=8)
    return figure


def figure_of_limits(tables: dict[str, pd.DataFrame]) -> Any:
    """Return the distances of the random walk and of the Euler steps from the equation."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True, layout="constrained")
    for axis, (name, table) in zip(axes, tables.items(), strict=True):
        x, y = table.index.to_numpy(), table["gap"].to_numpy()
        finest = np.argmin(x)
        axis.loglog(x, y, "o-", label=name)
        axis.loglog(x, y[finest] * x / x[finest], "k:", linewidth=1, label="first order")
        axis.legend(frameon=False, fontsize=8)
        axis.set_xlabel(table.index.name)
        axis.set_xticks(x, [f"{one:.2g}" for one in x])
        axis.minorticks_off()
    axes[0].set_ylabel("largest gap of the\ndistribution functions, t = 1")
    return figure
