"""The widths that "auto" gives a logistic regression with Laplace priors, against NUTS.

All 26,049 persons of a split of a9a. NUTS has the covariance of the draws of "auto" as its metric,
and each person as the places of the indicators that are one: the density is the same, and a
gradient takes a tenth of the time. Run: python -m tests.benchmarks.adult_income_against_nuts
(ten minutes).
"""

import arviz as az
import numpy as np
import pymc as pm
import pytensor.tensor as pt

import pymc_sgld as psg

from models import adult_income

TUNE, DRAWS, CHAINS = 150, 600, 3


def by_places(data):
    """The model of adult_income, with indices of indicators in the place of 123 columns."""
    n_rows, n_columns = data.x.shape
    places = np.full((n_rows, int(data.x.sum(axis=1).max())), n_columns)
    for row, indicators in enumerate(data.x):
        ones = np.flatnonzero(indicators)
        places[row, : len(ones)] = ones
    with pm.Model(coords={"feature": range(n_columns)}) as model:
        intercept = pm.Laplace("intercept", 0, 1)
        slope = pm.Laplace("slope", 0, 1, dims="feature")
        padded = pt.concatenate([slope, np.zeros(1)])
        eta = intercept
        for column in places.T:
            eta = eta + padded[column]
        pm.Bernoulli("y", logit_p=eta, observed=data.y)
    return model


def columns_of(posterior):
    intercept = posterior["intercept"].to_numpy()[..., None]
    return np.concatenate([intercept, posterior["slope"].to_numpy()], axis=-1)


def nuts(data, like):
    """Draws with the covariance of other draws as the metric, begun at some of these."""
    rng = np.random.default_rng(0)
    flat = like.reshape(-1, like.shape[-1])
    starts = flat[rng.integers(len(flat), size=CHAINS)]
    with by_places(data):
        step = pm.NUTS(
            scaling=np.cov(flat.T), is_cov=True, target_accept=0.9, compile_kwargs={"mode": "NUMBA"}
        )
        result = pm.sample(
            DRAWS, tune=TUNE, chains=CHAINS, cores=2, step=step, random_seed=1, progressbar=False,
            initvals=[{"intercept": one[0], "slope": one[1:]} for one in starts],
            compute_convergence_checks=False,
        )  # fmt: skip
    return columns_of(result["posterior"])


def main():
    data = adult_income.load_data(split=0)
    with adult_income.build_model(data):
        idata = psg.sample("auto", chains=2, cores=1, random_seed=1, progressbar=False)
    ours = columns_of(idata["posterior"])
    theirs = nuts(data, ours)
    mean, sd = theirs.mean(axis=(0, 1)), theirs.std(axis=(0, 1))
    ratio = ours.std(axis=(0, 1)) / sd
    gap = (ours.mean(axis=(0, 1)) - mean) / sd
    ess, r_hat = (
        np.array([float(one(theirs[..., j])) for j in range(len(mean))])
        for one in (az.ess, az.rhat)
    )
    own = np.array([float(az.ess(ours[..., j])) for j in range(len(mean))])
    error = np.sqrt(ratio**2 / own + 1 / ess)
    measured = idata["tuning"]["sd_ratio"].to_numpy()
    print(f"NUTS: R-hat at most {r_hat.max():.3f}, ESS at least {ess.min():.0f}")
    print(f"largest error of a mean, in sds of NUTS: {np.abs(gap).max():.3f}")
    rms, both = np.sqrt((gap**2).mean()), np.sqrt((error**2).mean())
    print(f"root mean square {rms:.3f}, Monte Carlo error {both:.3f}")
    print(f"sd ratios {ratio.min():.2f}, {np.median(ratio):.2f}, {ratio.max():.2f}")
    print(f"above 1.1: {(ratio > 1.1).sum()} of {len(ratio)}")
    print(f"largest measured at the end of the run: {np.nanmax(measured):.2f}")


if __name__ == "__main__":
    main()
