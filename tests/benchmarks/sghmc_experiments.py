"""The two experiments of Chen et al. 2014 on simulated targets: the paper's figures 1 and 3.

``python -m tests.benchmarks.sghmc_experiments [--out PICTURE]``. The first is simulated: 40,000
independent chains of each sampler on U = -2 x**2 + x**4 with gradient noise N(0, 4), one draw of
each. The second is exact: a Gaussian of correlation 0.9 with gradient noise N(0, I), covariances
and autocorrelations by the Lyapunov equation, at the paper's step sizes.
"""

import argparse

from collections import deque
from typing import NamedTuple

import numpy as np

from rich.console import Console
from rich.table import Table
from scipy import integrate, interpolate, stats

from pymc_sgld.samplers import StochasticGradientHamiltonian, StochasticGradientLangevin
from tests.linear_chain import SettledChain
from tests.many_chains import ManyChains
from tests.peers import naive_hamiltonian

# The quartic: step, friction and the gradient's variance of the paper.
STEP, FRICTION, QUARTIC_NOISE = 0.1, 3.0, 4.0
N_CHAINS = 40_000
# The Gaussian: eta and alpha of the paper, from the largest on.
COVARIANCE = np.array([[1.0, 0.9], [0.9, 1.0]])
SGLD_ETA = [0.18 * 0.8**i for i in range(5)]
SGHMC_ETA = [(0.05 * 0.36**i, 0.05 * 0.6**i) for i in range(5)]


class Distance(NamedTuple):
    """How far draws are from the target."""

    kolmogorov: float  # largest difference of the distribution functions
    total_variation: float  # of the histograms over 40 bins
    sd_ratio: float


class Point(NamedTuple):
    """A step size in the second experiment."""

    eta: float
    error: float  # mean absolute error of the stationary covariance
    time: float  # autocorrelation time of a coordinate's square, in steps
    paper_time: float  # 1 + 2 times the lags until the autocorrelation is below 0.05


def quartic_density(x):
    return np.exp(2 * x**2 - x**4) / _quartic_moment(0)


def quartic_draws(name, n_chains=N_CHAINS, seed=0):
    """One draw of each of independent chains, by a name of ``QUARTIC``."""
    sampler, arguments = QUARTIC[name]
    return sampler(n_chains, seed, **arguments)


def distance(draws):
    bins = np.linspace(-2, 2, 41)
    cumulative = _quartic_distribution()
    found = np.histogram(draws, np.array([-np.inf, *bins[1:-1], np.inf]))[0] / len(draws)
    expected = np.diff([0, *cumulative(bins[1:-1]), 1])
    return Distance(
        float(stats.kstest(draws, cumulative).statistic),
        float(abs(found - expected).sum() / 2),
        float(draws.std() / np.sqrt(_quartic_moment(2) / _quartic_moment(0))),
    )


def gaussian_points():
    """The second experiment: both samplers take the known noise out, as in the paper's code."""
    return {
        "sgld": [_point(StochasticGradientLangevin(), eta, eta) for eta in SGLD_ETA],
        "sghmc": [
            _point(StochasticGradientHamiltonian(alpha / eta**0.5), eta**0.5, eta)
            for eta, alpha in SGHMC_ETA
        ],
    }


def _naive(n_chains, seed, noise, n_trajectories=15):
    return naive_hamiltonian(
        lambda x: 4 * x - 4 * x**3,
        n_chains,
        n_trajectories,
        step_size=STEP,
        n_inner=750 // n_trajectories,
        noise=noise,
        seed=seed,
    )


def _ours(n_chains, seed, step_size, compensated):
    chains = ManyChains(
        StochasticGradientHamiltonian(FRICTION),
        (n_chains, 1),
        lambda x: 4 * x - 4 * x**3,
        compensated=compensated,
    )
    steps = chains.positions(
        int(60 / step_size), step_size=step_size, noise=QUARTIC_NOISE, seed=seed
    )
    return deque(steps, maxlen=1)[0][:, 0]


QUARTIC = {
    "naive, exact gradient": (_naive, dict(noise=0.0)),
    "naive": (_naive, dict(noise=QUARTIC_NOISE)),
    "naive, one long trajectory": (_naive, dict(noise=QUARTIC_NOISE, n_trajectories=1)),
    "sghmc": (_ours, dict(step_size=STEP, compensated=False)),
    "sghmc, noise_compensation": (_ours, dict(step_size=STEP, compensated=True)),
    "the same, a quarter of the step": (_ours, dict(step_size=STEP / 4, compensated=True)),
}


def _quartic_moment(power):
    return integrate.quad(lambda x: x**power * np.exp(2 * x**2 - x**4), -4, 4)[0]


def _quartic_distribution():
    x = np.linspace(-4, 4, 4001)
    values = integrate.cumulative_simpson(quartic_density(x), x=x, initial=0)
    return interpolate.interp1d(x, values, bounds_error=False, fill_value=(0, 1))


def _point(rule, step_size, eta):
    chain = SettledChain(rule, COVARIANCE, step_size, noise=1.0, known_noise=1.0)
    correlations = chain.autocovariances(4000)[:, 0] / chain.covariance[0, 0]
    return Point(
        eta,
        float(abs(chain.covariance - COVARIANCE).mean()),
        float(2 * (correlations**2).sum() - 1),
        float(1 + 2 * np.argmax(correlations < 0.05)),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", help="file for a picture of both experiments")
    arguments = parser.parse_args()
    draws = {name: quartic_draws(name) for name in QUARTIC}
    points = gaussian_points()
    console = Console(width=110)
    console.print(_quartic_table(draws))
    console.print(_gaussian_table(points))
    if arguments.out:
        draw(draws, points, arguments.out)


def _quartic_table(draws):
    table = Table(title="Quartic with gradient noise N(0, 4): 40,000 draws, distance to the target")
    for column in ("sampler", "Kolmogorov", "total variation", "sd over the right one"):
        table.add_column(column)
    x = np.linspace(-3, 3, 100_001)
    weights = quartic_density(x) / quartic_density(x).sum()
    exact = np.random.default_rng(1).choice(x, N_CHAINS, p=weights)
    for name, values in {"draws of the target": exact, **draws}.items():
        table.add_row(name, *(f"{value:.4f}" for value in distance(values)))
    return table


def _gaussian_table(points):
    table = Table(title="Gaussian, correlation 0.9, gradient noise N(0, I): exact")
    for column in ("sampler", "eta", "covariance error", "time of the square", "paper's time"):
        table.add_column(column)
    for name, row in points.items():
        for point in row:
            table.add_row(name, *(f"{value:.4g}" for value in point))
    return table


def draw(draws, points, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    x = np.linspace(-2.5, 2.5, 400)
    left.plot(x, quartic_density(x), "k", label="target")
    bins = np.linspace(-2.5, 2.5, 81)
    for name in ("naive", "naive, one long trajectory", "sghmc, noise_compensation"):
        left.hist(draws[name], bins, density=True, histtype="step", label=name)
    left.set(xlabel="x", ylabel="density", title="Quartic, gradient noise N(0, 4)", ylim=(0, 0.8))
    for (name, row), marker in zip(points.items(), "xo", strict=True):
        right.loglog([p.paper_time for p in row], [p.error for p in row], marker=marker, label=name)
    right.set(xlabel="autocorrelation time as in the paper, steps", ylabel="covariance error")
    right.set_title("Gaussian, correlation 0.9: exact")
    right.set_xticks([25, 50, 100, 150], ["25", "50", "100", "150"], minor=False)
    right.set_xticks([], minor=True)
    for axes in (left, right):
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
