"""Simulation-based calibration with simuk: `python -m tests.benchmarks.calibration`.

The example of docs/calibration.md. Ranks of the parameter that data were made from, among draws of
its posterior, are uniform if the draws are right; too narrow a posterior has too many at the ends.
"""

import argparse

from collections.abc import Sequence

import numpy as np
import pymc as pm
import simuk

from scipy import stats

import pymc_sgld as psg

N_ROWS, N_DRAWS, CHAINS = 2000, 250, 2


class MadeAnew(Sequence):
    """A step method for pm.sample that is made in whatever model is sampled."""

    def __init__(self, method, **arguments):
        self.method, self.arguments = method, arguments

    def __len__(self):
        return 1

    def __getitem__(self, number):
        if number:
            raise IndexError(number)
        return self.method(**self.arguments)


def logistic():
    """Return a logistic regression on data of known coefficients."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(N_ROWS, 2))
    outcome = rng.binomial(1, 1 / (1 + np.exp(-rows @ [0.5, -0.3])))
    with pm.Model() as model:
        x = pm.Data("x", rows)
        beta = pm.Normal("beta", 0, 1, shape=2)
        pm.Bernoulli("y", logit_p=pm.math.dot(x, beta), observed=pm.Data("outcome", outcome))
    return model


def sampling(method, **arguments):
    """Return what simuk hands to pm.sample."""
    return {
        "step": MadeAnew(method, verify=False, **arguments), "draws": N_DRAWS, "tune": 50,
        "chains": CHAINS, "cores": 1, "quiet": True,
    }  # fmt: skip


def prior_ranks(n_simulations, method, **arguments):
    """Return the ranks among draws given simulated data, shape (n_simulations, 2)."""
    sbc = simuk.SBC(
        logistic(), num_simulations=n_simulations, sample_kwargs=sampling(method, **arguments),
        seed=1, progress_bar=False,
    )  # fmt: skip
    sbc.run_simulations()
    return sbc.simulations["prior_sbc"]["beta"].to_numpy()[0]


def posterior_ranks(n_simulations, method, **arguments):
    """Return those among draws given the rows that are there, and as many simulated ones."""
    model = logistic()
    rows = model["x"].get_value()

    def twice(model, data, number):
        pm.set_data({"x": np.tile(rows, (2, 1)), "outcome": data["y"]}, model=model)

    trace = psg.sample(
        "auto", n_simulations, model=model, chains=1, random_seed=3, progressbar=False, quiet=True,
        check=False, var_names=["beta"],
    )  # fmt: skip
    sbc = simuk.SBC(
        model, method="posterior", num_simulations=n_simulations, trace=trace, update_data=twice,
        sample_kwargs=sampling(method, **arguments), seed=1, progress_bar=False,
    )  # fmt: skip
    sbc.run_simulations()
    return sbc.simulations["posterior_sbc"]["beta"].to_numpy()[0]


def main():
    """Print how uniform the ranks are."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.calibration")
    parser.add_argument("--simulations", type=int, default=100)
    parser.add_argument("--skip", type=int, default=0, help="cases that are left out")
    asked = parser.parse_args()
    n_simulations = asked.simulations
    cases = {
        "auto": (psg.step_methods.Auto, {}),
        "sgld, sds 50 % too wide": (psg.SGLD, {"batch_size": 20, "target_bias": 0.5}),
    }
    print(f"{'':<44} sd of ranks / uniform's   p of uniform (Kolmogorov)")
    for name, (method, arguments) in list(cases.items())[asked.skip :]:
        for which, ranks_of in {"prior": prior_ranks, "posterior": posterior_ranks}.items():
            shares = (ranks_of(n_simulations, method, **arguments) + 0.5) / (CHAINS * N_DRAWS + 1)
            for number, share in enumerate(shares.T):
                p_value = stats.kstest(share, "uniform").pvalue
                label = f"{name}, {which}, beta[{number}]"
                print(f"{label:<44} {share.std() * 12**0.5:>22.2f}   {p_value:>24.2f}", flush=True)


if __name__ == "__main__":
    main()
