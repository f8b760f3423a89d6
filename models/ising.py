r"""The Ising model, sampled by Langevin dynamics through its exact continuous form.

What it shows: a model of discrete spins :math:`s_i = \pm 1` on a square lattice with periodic
edges,

.. math:: p(s) = \frac{1}{Z} \exp\Big(\beta J \sum_{\langle ij \rangle} s_i s_j
    + \beta H \sum_i s_i\Big), \qquad \beta = 1 / T ,

has no gradients, but it is the marginal law of one that has. With A the matrix of neighbours and
:math:`B = J (A + c)` positive definite (c > 4), a Gaussian integral (Hubbard, 1959) gives

.. math:: Z = e^{-N \beta J c / 2} \sqrt{\frac{\det B}{(2\pi)^N}}
    \int e^{-\psi^\top B \psi / 2} \prod_i 2 \cosh f_i\, d\psi,
    \qquad f = \sqrt{\beta}\, B \psi + \beta H .

The density of the field :math:`\psi` is smooth, and given the field the spins are independent,
:math:`P(s_i = 1) = 1 / (1 + e^{-2 f_i})`. Nothing is approximated: Langevin draws of the field give
draws of the spins. All temperatures are sampled at once; the curvature of the Gaussian part does
not depend on the temperature, so one step size serves all.

Beside the draws stand: all states of a lattice of 4 x 4, counted; Onsager's solution of the
infinite lattice, with :math:`T_c = 2J / \log(1 + \sqrt 2) \approx 2.269 J`; and mean field,
:math:`m = \tanh(\beta (z J m + H))` with z = 4 neighbours, which has a transition at 4 J instead.
Mean field is the best independent law in the Gibbs-Bogoliubov-Feynman inequality,

.. math:: \log Z \ge N \big[ S(m) + \beta (z J m^2 / 2 + H m) \big] ,

with S the entropy of a spin of mean m. ADVI on the field bounds the same log Z by the same
inequality, with independent Gaussians.

References
----------
.. [1] Hubbard, J. (1959). Calculation of partition functions. Physical Review Letters 3.
   https://doi.org/10.1103/PhysRevLett.3.77
.. [2] Onsager, L. (1944). Crystal statistics I. Physical Review 65.
   https://doi.org/10.1103/PhysRev.65.117
.. [3] Yang, C. N. (1952). The spontaneous magnetization of a two-dimensional Ising model.
   Physical Review 85. https://doi.org/10.1103/PhysRev.85.808
.. [4] Zhang, Y., Sutton, C., Storkey, A. and Ghahramani, Z. (2012). Continuous relaxations for
   discrete Hamiltonian Monte Carlo. NeurIPS.
   https://papers.nips.cc/paper/4652-continuous-relaxations-for-discrete-hamiltonian-monte-carlo
"""

import math

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm

from scipy import interpolate, special

from models._running import Options, Result
from pymc_sgld import sample
from pymc_sgld.types import Array

NEIGHBOURS = 4
CRITICAL_TEMPERATURE = 2 / np.log(1 + np.sqrt(2))  # in units of J
COMPARED = {
    "baoab": {"gradient": "full", "step_size": 0.15, "steps_per_draw": 30},
    "nuts": {},
    "advi": {},
}
TEMPERATURES = (1.0, 1.5, 1.8, 2.0, 2.15, 2.27, 2.4, 2.6, 3.0, 3.5, 4.0, 5.0)


@dataclass(frozen=True)
class Lattice:
    """Square lattices with periodic edges, one for each temperature.

    Attributes
    ----------
    size : int
        Spins along an edge, 3 at least.
    temperatures : sequence of float
        In the units of the coupling; Boltzmann's constant is 1.
    coupling, field : float
        J > 0 and H.
    shift : float
        c > 4, added to the diagonal of the matrix of neighbours: it makes the Gaussian part
        positive definite, and cancels. The smaller, the lower the barriers between states; near 4
        the checkerboard has no curvature left.
    """

    size: int = 16
    temperatures: Sequence[float] = TEMPERATURES
    coupling: float = 1.0
    field: float = 0.0
    shift: float = 4.5

    def __post_init__(self) -> None:
        """Check the arguments."""
        if self.size < 3:
            raise ValueError(
                f"size must be 3 at least, got {self.size}: on a smaller lattice with periodic "
                "edges a spin would be its own neighbour, or a neighbour twice."
            )
        if not self.shift > NEIGHBOURS:
            raise ValueError(
                f"shift must be > {NEIGHBOURS}, got {self.shift}: the smallest eigenvalue of the "
                f"matrix of neighbours can be -{NEIGHBOURS}, and the Gaussian part must be "
                "positive definite."
            )

    def __len__(self) -> int:
        """Return the number of spins of a lattice."""
        return self.size**2

    @property
    def betas(self) -> Array:
        """Inverse temperatures, shape (n_temperatures,)."""
        return 1 / np.asarray(self.temperatures, dtype=float)

    @cached_property
    def neighbours(self) -> Array:
        """Numbers of the four neighbours of each spin, shape (n_spins, 4)."""
        number = np.arange(len(self)).reshape(self.size, self.size)
        return np.stack(
            [np.roll(number, shift, axis).ravel() for axis in (0, 1) for shift in (1, -1)], axis=1
        )

    def times_matrix(self, values: Any) -> Any:
        """Return B times values of shape (..., n_spins), of NumPy or of PyTensor."""
        around = values[..., self.neighbours].sum(axis=-1)
        return self.coupling * (around + self.shift * values)

    def local_fields(self, psi: Any) -> Any:
        """Return f for fields of shape (..., n_temperatures, n_spins)."""
        beta = self.betas[:, None]
        return np.sqrt(beta) * self.times_matrix(psi) + beta * self.field

    @property
    def constant(self) -> Array:
        """What makes the density of the field integrate to Z, as a logarithm, a temperature."""
        wave = 2 * np.cos(2 * np.pi * np.arange(self.size) / self.size)
        spectrum = self.coupling * (wave[:, None] + wave + self.shift)
        gaussian = (np.log(spectrum).sum() - len(self) * np.log(2 * np.pi)) / 2
        return np.asarray(gaussian - len(self) * self.betas * self.coupling * self.shift / 2)


def load_data(rows: int | None = None) -> Lattice:
    """Return a lattice of ``rows`` x ``rows`` spins (16 x 16) at twelve temperatures."""
    return Lattice(rows or 16)


def build_model(data: Lattice) -> pm.Model:
    """Declare the field, whose density integrates to the product of the partition functions."""
    coords = {"temperature": list(data.temperatures), "site": np.arange(len(data))}
    with pm.Model(coords=coords) as model:
        start = np.ones((len(data.temperatures), len(data)))
        psi = pm.Flat("psi", dims=("temperature", "site"), initval=start)
        f = data.local_fields(psi)
        gaussian = -(psi * data.times_matrix(psi)).sum() / 2
        two_cosh = pm.math.logaddexp(f, -f).sum()
        pm.Potential("log_density", gaussian + two_cosh + data.constant.sum())
    return model


def simulate(
    data: Lattice,
    draws: int = 2000,
    *,
    tune: int = 200,
    chains: int = 2,
    cores: int = 1,
    step_size: float = 0.15,
    steps_per_draw: int = 30,
    seed: int = 1,
    progressbar: bool = False,
    **options: Any,
) -> Array:
    """Return spins of shape (chains, draws, n_temperatures, n_spins), by the sampler "baoab".

    Well below the transition a chain stays among the states of one sign, also where a field makes
    the other sign a little likelier or less likely: read |m| and the energy there.
    """
    result = sample(
        "baoab",
        draws,
        tune=tune,
        chains=chains,
        cores=cores,
        gradient="full",
        step_size=step_size,
        steps_per_draw=steps_per_draw,
        random_seed=seed,
        progressbar=progressbar,
        model=build_model(data),
        compute_convergence_checks=False,
        **options,
    )
    return spins(data, result.posterior["psi"].values, np.random.default_rng(seed))


def spins(data: Lattice, psi: Array, rng: np.random.Generator) -> Array:
    """Draw the spins given their fields: independent, and exact."""
    up = special.expit(2 * data.local_fields(psi))
    return np.where(rng.random(up.shape) < up, 1, -1).astype(np.int8)


def magnetisation(spins: Array) -> Array:
    """Return the mean spin of states of shape (..., n_spins)."""
    return np.asarray(spins.mean(axis=-1, dtype=float))


def energy(data: Lattice, spins: Array) -> Array:
    """Return the energy per spin of states of shape (..., n_spins)."""
    forward = spins[..., data.neighbours[:, 0]] + spins[..., data.neighbours[:, 2]]
    pairs = (spins * forward).mean(axis=-1, dtype=float)
    return np.asarray(-data.coupling * pairs - data.field * magnetisation(spins))


# -- what the draws are held against --------------------------------------------------------


def enumerate_states(data: Lattice) -> pd.DataFrame:
    """Return log Z, the mean |m|, m and energy per spin at each temperature, by counting states.

    There are 2^N of them: 65,536 for a lattice of 4 x 4, and no larger one is taken.
    """
    if len(data) > 16:
        raise ValueError(
            f"2^{len(data)} states are too many to count; a lattice of 4 x 4 has 2^16. "
            "Pass Lattice(size=4, ...)."
        )
    codes = np.arange(2 ** len(data))[:, None] >> np.arange(len(data))
    states = (2 * (codes & 1) - 1).astype(np.int8)
    m, e = magnetisation(states), energy(data, states)
    logs = -np.outer(data.betas, e) * len(data)
    log_z = special.logsumexp(logs, axis=1)
    weights = np.exp(logs - log_z[:, None])
    return pd.DataFrame(
        {"log_z": log_z, "abs_m": weights @ np.abs(m), "m": weights @ m, "energy": weights @ e},
        index=pd.Index(data.temperatures, name="temperature"),
    )


def mean_field(data: Lattice) -> pd.DataFrame:
    """Return the solution m >= 0 of mean field with the highest bound, and its bound on log Z.

    m is found by going from 1 to tanh(beta (z J m + H)) again and again: monotone, and it ends in
    the largest solution, which for H >= 0 is the best.
    """
    if data.field < 0:
        raise ValueError(f"field must be >= 0, got {data.field}: turn all spins round instead.")
    beta, pull = data.betas, NEIGHBOURS * data.coupling
    m = np.ones_like(beta)
    for _ in range(100_000):
        new = np.tanh(beta * (pull * m + data.field))
        if np.abs(new - m).max() < 1e-13:
            break
        m = new
    entropy = special.entr((1 + m) / 2) + special.entr((1 - m) / 2)
    bound = len(data) * (entropy + beta * (pull * m**2 / 2 + data.field * m))
    index = pd.Index(data.temperatures, name="temperature")
    return pd.DataFrame({"m": m, "bound": bound}, index=index)


def onsager_magnetisation(temperature: Any) -> Array:
    """Return the spontaneous |m| of the infinite lattice for J = 1 (Yang 1952); 0 above T_c."""
    beta = 1 / np.asarray(temperature, dtype=float)
    return np.asarray(np.maximum(1 - np.sinh(2 * beta) ** -4.0, 0) ** 0.125)


def onsager_energy(temperature: Any) -> Array:
    """Return the energy per spin of the infinite lattice for J = 1, H = 0 (Onsager 1944)."""
    beta = 1 / np.asarray(temperature, dtype=float)
    modulus = 2 * np.sinh(2 * beta) / np.cosh(2 * beta) ** 2
    integral = special.ellipk(modulus**2)
    bracket = 1 + 2 / np.pi * (2 * np.tanh(2 * beta) ** 2 - 1) * integral
    return np.asarray(-bracket / np.tanh(2 * beta))


def advi_bound(data: Lattice, *, iterations: int = 10_000, seed: int = 1) -> pd.Series:
    """Return ADVI's bound on log Z at each temperature: its ELBO, on 20,000 draws of its own.

    The field's law is one of independent Gaussians. The draws are split by temperature, which
    is exact: the density is a product over temperatures. The bound is the tighter the larger the
    shift, which loosens the bonds between the sites' fields.
    """
    approximation = pm.fit(
        iterations,
        method="advi",
        model=build_model(data),
        random_seed=seed,
        progressbar=False,
        obj_optimizer=pm.adam(learning_rate=0.01),
    )
    shape = (len(data.temperatures), len(data))
    mean = approximation.mean.eval().reshape(shape)
    sd = approximation.std.eval().reshape(shape)
    rng = np.random.default_rng(seed)
    psi = mean + sd * rng.standard_normal((20_000, *shape))
    gaussian = -(psi * data.times_matrix(psi)).sum(axis=-1) / 2
    f = data.local_fields(psi)
    density = gaussian + np.logaddexp(f, -f).sum(axis=-1) + data.constant
    entropy = np.log(sd * np.sqrt(2 * np.pi * math.e)).sum(axis=-1)
    index = pd.Index(data.temperatures, name="temperature")
    return pd.Series(density.mean(axis=0) + entropy, index=index, name="advi")


def integrated_log_z(data: Lattice, energies: Array) -> pd.Series:
    r"""Return log Z by temperature from mean energies per spin, those of draws for example.

    :math:`\partial_\beta \log Z = -N e`, from :math:`N \log 2` at beta = 0: the integral of a
    cubic spline through the energies. It needs H = 0, for which e is 0 at beta = 0, and
    temperatures that follow one another closely.
    """
    if data.field:
        raise ValueError(f"field must be 0, got {data.field}: e at beta = 0 is known for that.")
    order = np.argsort(data.betas)
    betas = np.concatenate([[0.0], data.betas[order]])
    spline = interpolate.CubicSpline(betas, np.concatenate([[0.0], energies[order]]))
    integral = np.array([float(spline.integrate(0, beta)) for beta in data.betas])
    index = pd.Index(data.temperatures, name="temperature")
    return pd.Series(len(data) * (np.log(2) - integral), index=index, name="integrated")


# -- what ``python -m models run ising`` prints and draws -------------------------------------

COUNTED = (0.8, 1.0, 1.25, 1.5, 1.8, 2.0, 2.27, 2.6, 3.0, 4.0, 6.0, 12.0)  # temperatures of 4 x 4


def run(options: Options) -> Result:
    """Sample the lattice and one of 4 x 4, and hold them against what is known; see the module."""
    draws, chains = options.draws or 2000, options.chains or 2
    common: dict[str, Any] = {
        "tune": options.tune or 200,
        "chains": chains,
        "cores": options.cores or 1,
    }
    common |= {"seed": options.seed, "progressbar": options.progress}
    large, small = load_data(options.rows), Lattice(4, COUNTED)
    of_large = moments(large, simulate(large, draws, **common))
    of_small = moments(small, simulate(small, draws, **common))
    counted = enumerate_states(small)
    bounds = pd.DataFrame(
        {
            "exact": counted["log_z"],
            "from the draws' energies": integrated_log_z(small, of_small["energy"].to_numpy()),
            "mean field (GBF)": mean_field(small)["bound"],
            "ADVI": advi_bound(small, seed=options.seed),
        }
    )
    of_large["Onsager, |m|"] = onsager_magnetisation(large.temperatures)
    of_large["Onsager, energy"] = onsager_energy(large.temperatures)
    of_large["mean field, m"] = mean_field(large)["m"]
    of_small["counted, |m|"], of_small["counted, energy"] = counted["abs_m"], counted["energy"]
    edge = f"{large.size} x {large.size}"
    return Result(
        {f"{edge} spins": of_large, "4 x 4 spins": of_small, "log Z of 4 x 4": bounds},
        {
            "magnetisation": figure_of_transition(of_large, of_small, edge),
            "log_partition_function": figure_of_bounds(bounds, small),
        },
        [
            "Errors are one standard error, from the effective number of draws.",
            f"Onsager's solution is of the infinite lattice; T_c = {CRITICAL_TEMPERATURE:.4f} J.",
        ],
    )


def moments(data: Lattice, spins: Array) -> pd.DataFrame:
    """Return mean |m| and energy per spin of draws by temperature, with their standard errors."""
    found = {}
    for name, values in (
        ("abs_m", np.abs(magnetisation(spins))),
        ("energy", energy(data, spins)),
    ):
        found[name] = values.mean(axis=(0, 1))
        each = np.moveaxis(values, -1, 0)
        found[f"{name} error"] = np.array([float(az.mcse(one)) for one in each])
    return pd.DataFrame(found, index=pd.Index(data.temperatures, name="temperature"))


def figure_of_transition(large: pd.DataFrame, small: pd.DataFrame, edge: str) -> Any:
    """Return magnetisation and energy against temperature, draws beside theory."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    fine = np.linspace(0.8, 6.0, 500)
    axes[0].plot(fine, onsager_magnetisation(fine), "k", linewidth=1, label="Onsager, infinite")
    middle = mean_field(Lattice(temperatures=tuple(fine)))["m"]
    axes[0].plot(fine, middle, "k--", linewidth=1, label="mean field")
    axes[1].plot(fine, onsager_energy(fine), "k", linewidth=1, label="Onsager, infinite")
    counted = enumerate_states(Lattice(4, tuple(fine[::10])))
    for axis, name in zip(axes, ("abs_m", "energy"), strict=True):
        axis.plot(counted.index, counted[name], "C1", linewidth=1, label="4 x 4, states counted")
        for table, colour, label in ((large, "C0", edge), (small, "C1", "4 x 4")):
            error = 2 * table[f"{name} error"]
            axis.errorbar(
                table.index, table[name], error, fmt="o", markersize=4, color=colour,
                label=f"{label}, Langevin",
            )  # fmt: skip
        axis.axvline(CRITICAL_TEMPERATURE, color="0.8", linewidth=0.8, zorder=0)
        axis.set(xlabel="temperature T / J", xlim=(0.7, 6.1))
    axes[0].set_ylabel("mean |magnetisation| per spin")
    axes[1].set_ylabel("mean energy per spin / J")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def figure_of_bounds(bounds: pd.DataFrame, data: Lattice) -> Any:
    """Return how far bounds and estimates of log Z are from the exact one, per spin."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    below = bounds.sub(bounds["exact"], axis=0).drop(columns="exact") / len(data)
    for name, style in zip(below.columns, ("o", "s--", "^--"), strict=True):
        axis.plot(below.index, below[name], style, markersize=4, label=name)
    axis.axhline(0, color="k", linewidth=0.8)
    axis.set(xscale="log", xlabel="temperature T / J", ylabel="(log Z found - exact) / spin")
    ticks = (0.8, 1, 1.5, 2, 3, 4, 6, 12)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.legend(frameon=False, fontsize=8)
    return figure
