"""Models whose posterior has one mode, in units that nobody chose."""

import numpy as np
import pymc as pm

_ROWS = (600, 3000, 12_000, 30_000, 60_000)
_ROWS_OF_A_LEVEL = (1, 2, 3, 5, 10, 20, 60, 300)


def random_model(seed):
    """Return a regression with columns in units of 10^-5 to 10^5, rare levels and sorted rows.

    Normal priors and likelihoods that are log-concave in the linear predictor: the log-posterior is
    strictly concave. Some have a column that is nearly another, one with a heavy tail, or one whose
    mean is thirty of its sds; rows sorted by level, by a column, or neither.
    """
    rng = np.random.default_rng([seed, 77])
    n_rows = int(rng.choice(_ROWS))
    sizes = np.minimum(rng.choice(_ROWS_OF_A_LEVEL, 5), n_rows // 10)
    level = np.repeat(np.arange(6), [*sizes, n_rows - sizes.sum()])
    if rng.random() < 0.5:
        level = rng.permutation(level)
    design = rng.normal(size=(n_rows, 4))
    if rng.random() < 0.3:
        design[:, 3] = design[:, 2] + 0.01 * design[:, 3]
    if rng.random() < 0.3:
        design[:, 0] = np.exp(design[:, 0])
    if rng.random() < 0.3:
        design[:, 1] += 30
    if rng.random() < 0.5:
        design = design[np.argsort(design[:, 0])]
    slopes, effects = 0.6 * rng.normal(size=4), rng.normal(0, 0.7, 6)
    predictor = -0.5 + (design - design.mean(axis=0)) @ slopes + effects[level]
    units = 10 ** rng.uniform(-5, 5, 4)
    with pm.Model() as model:
        b, a = pm.Normal("b", 0, 10 / units, shape=4), pm.Normal("a", 0, 20)
        mean = a + (design * units) @ b + pm.Normal("u", 0, 1, shape=6)[level]
        match seed % 3:
            case 0:
                share = 1 / (1 + np.exp(-predictor))
                y = (rng.random(n_rows) < share).astype(int)
                pm.Bernoulli("y", logit_p=mean, observed=y)
            case 1:
                counts = rng.poisson(np.exp(np.minimum(predictor, 3)))
                pm.Poisson("y", pm.math.exp(mean), observed=counts)
            case _:
                pm.Normal("y", mean, 1, observed=predictor + rng.normal(size=n_rows))
    return model
