r"""Abilities of persons and properties of questions: the two-parameter logistic model of LSAT-6.

What it shows: a latent variable for every row. Person i answers question j right with probability

.. math:: \operatorname{logit} p_{ij} = d_j + a_j z_i, \qquad z_i \sim N(0, 1)

with the easiness d and the discrimination a of the question, and the ability z of the person, of
which there are as many as rows. ``psg.sample`` integrates the abilities out where it takes
minibatches; :func:`pymc_sgld.latent_posterior` draws those of some persons afterwards.

The data are the answers of 1,000 persons to five questions of section 6 of the Law School
Admission Test, as counts of the 32 patterns of answers, and made-up ones of any size
(:func:`made_up`). The reference needs no sampler: the likelihood of the patterns is a sum over
equally spaced abilities, and draws of the normal distribution at its mode are weighted by it.

References
----------
.. [1] Bock, R. D. and Lieberman, M. (1970). Fitting a response model for n dichotomously scored
   items. Psychometrika 35, 179-197. https://doi.org/10.1007/BF02291262
.. [2] Bock, R. D. and Aitkin, M. (1981). Marginal maximum likelihood estimation of item
   parameters: application of an EM algorithm. Psychometrika 46, 443-459.
   https://doi.org/10.1007/BF02293801
"""

from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from scipy import special, stats
from scipy.optimize import approx_fprime, minimize

from models._datasets import some_rows
from pymc_sgld.types import Array

COMPARED = ("auto", "nuts")
VARIABLES = ("discrimination", "easiness")
# Of persons with the answers 00000, 00001, ..., 11111 (Bock and Lieberman 1970, table 1).
# fmt: off
LSAT_6 = (
    3, 6, 2, 11, 1, 1, 3, 4, 1, 8, 0, 16, 0, 3, 2, 15,
    10, 29, 14, 81, 3, 28, 15, 80, 16, 56, 21, 173, 11, 61, 28, 298,
)
# fmt: on
EASINESS_SD = 2.0  # of the prior: from 2 % to 98 % right within two sds
DISCRIMINATION_LOG_SD = 0.5  # of the prior: from 0.37 to 2.7 within two sds
_ABILITIES = np.linspace(-6, 6, 49)  # of the reference, in sds of the persons
_DRAWS = 20_000  # of the reference


def load_data(rows: int | None = None) -> Array:
    """Return the answers to LSAT-6, of shape (persons, questions): 1 is right."""
    patterns = np.array([[pattern >> bit & 1 for bit in (4, 3, 2, 1, 0)] for pattern in range(32)])
    answers = np.repeat(patterns, LSAT_6, axis=0)
    return np.asarray(answers[some_rows(len(answers), rows)])


def made_up(persons: int, questions: int, seed: int = 1) -> Array:
    """Return made-up answers: discriminations from 0.5 to 2, and questions from easy to hard."""
    rng = np.random.default_rng([persons, questions, seed])
    discrimination = np.exp(0.35 * rng.standard_normal(questions)).clip(0.5, 2)
    easiness = rng.permutation(np.linspace(-1.5, 1.5, questions))
    logit = easiness + discrimination * rng.standard_normal((persons, 1))
    return np.asarray(rng.random(logit.shape) < special.expit(logit)).astype(int)


def build_model(data: Array) -> pm.Model:
    """Declare the model for data as :func:`load_data` and :func:`made_up` return them."""
    coords = {"question": np.arange(1, data.shape[1] + 1), "person": np.arange(len(data))}
    with pm.Model(coords=coords) as model:
        # A positive discrimination says which end of the scale is the able one.
        discrimination = pm.LogNormal("discrimination", 0, DISCRIMINATION_LOG_SD, dims="question")
        easiness = pm.Normal("easiness", 0, EASINESS_SD, dims="question")
        ability = pm.Normal("ability", 0, 1, dims="person")
        pm.Bernoulli(
            "right",
            logit_p=easiness + discrimination * ability[:, None],
            observed=data,
            dims=("person", "question"),
        )
    return model


def log_likelihood(discrimination: Array, easiness: Array, data: Array) -> Array:
    """Return the log-likelihood of all persons, abilities summed out.

    Parameters
    ----------
    discrimination, easiness : array, shape (..., questions)
    data : array, shape (persons, questions)

    Returns
    -------
    array, shape (...)
    """
    patterns, persons = np.unique(data, axis=0, return_counts=True)
    ability = _ABILITIES[:, None]
    logit = easiness[..., None, :] + discrimination[..., None, :] * ability
    right, wrong = -np.logaddexp(0, -logit), -np.logaddexp(0, logit)  # (..., abilities, questions)
    at = right @ patterns.T + wrong @ (1 - patterns).T
    spacing = np.log(_ABILITIES[1] - _ABILITIES[0])
    each = special.logsumexp(at + stats.norm.logpdf(ability) + spacing, axis=-2)
    return np.asarray(each @ persons)


def log_posterior(position: Array, data: Array) -> Array:
    """Return it at log discriminations and easinesses, one after the other on the last axis."""
    log_discrimination, easiness = np.split(position, 2, axis=-1)
    prior = stats.norm.logpdf(log_discrimination, 0, DISCRIMINATION_LOG_SD).sum(axis=-1)
    prior += stats.norm.logpdf(easiness, 0, EASINESS_SD).sum(axis=-1)
    return np.asarray(prior + log_likelihood(np.exp(log_discrimination), easiness, data))


def reference(data: Array) -> pd.DataFrame:
    """Return moments of the posterior by importance sampling around its mode."""
    questions = data.shape[1]
    found = minimize(lambda at: -log_posterior(at, data), np.zeros(2 * questions))

    def slope(at: Array) -> Array:
        along = approx_fprime(at, lambda there: float(log_posterior(there, data)), 1e-5)
        return np.asarray(along)

    information = -approx_fprime(found.x, slope, 1e-4)
    covariance = np.linalg.inv((information + information.T) / 2)
    law = stats.multivariate_t(found.x, covariance, df=10, seed=0)
    draws = law.rvs(_DRAWS)
    logs = [log_posterior(some, data) for some in np.array_split(draws, 100)]
    weights = special.softmax(np.concatenate(logs) - law.logpdf(draws))
    values = np.concatenate([np.exp(draws[:, :questions]), draws[:, questions:]], axis=1)
    mean = weights @ values
    labels = [f"{name}[{j}]" for name in VARIABLES for j in range(1, questions + 1)]
    sd = np.sqrt(weights @ (values - mean) ** 2)
    return pd.DataFrame({"mean": mean, "sd": sd}, index=labels)


def show(draws: Any, data: Array) -> dict[str, Any]:
    """Return the curves of the questions: the chance of a right answer by ability, with bands."""
    import matplotlib.pyplot as plt

    posterior = draws["posterior"].to_dataset().stack(sample=("chain", "draw"))
    line = np.linspace(-3, 3, 121)
    figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
    for number, question in enumerate(posterior["question"].to_numpy()):
        one = posterior.sel(question=question)
        discrimination, easiness = (one[name].to_numpy()[::8, None] for name in VARIABLES)
        curve = special.expit(easiness + discrimination * line)
        low, middle, high = np.quantile(curve, [0.05, 0.5, 0.95], axis=0)
        axis.plot(line, middle, color=f"C{number % 10}", label=f"question {question}")
        axis.fill_between(line, low, high, color=f"C{number % 10}", alpha=0.2, linewidth=0)
    axis.set(
        xlabel="ability, in sds of the persons", ylabel="chance of a right answer", ylim=(0, 1)
    )
    axis.set_title(f"{len(data):,} persons: median and 90 % band", fontsize=10)
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    return {"curves": figure}
