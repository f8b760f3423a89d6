"""Data of regressions of any size, their modes by Newton's method, and CPU time: NumPy alone."""

import resource

import numpy as np

PRIOR_SD = 1.0
FAMILIES = ("logistic", "linear", "Poisson")


def regression(family, n_rows, n_dim, seed):
    """Return design, outcome; the coefficients have a standard normal prior."""
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(n_rows, n_dim))
    linear = design @ (rng.normal(size=n_dim) / np.sqrt(n_dim))
    if family == "logistic":
        return design, (rng.random(n_rows) < 1 / (1 + np.exp(-linear))).astype(np.int64)
    if family == "Poisson":
        return design, rng.poisson(np.exp(linear / 2))
    return design, linear + rng.normal(size=n_rows)


def logistic_mode(design, outcome):
    """Return mode and covariance there of the logistic regression."""
    position = np.zeros(design.shape[1])
    for _ in range(12):
        share = 1 / (1 + np.exp(-design @ position))
        slope = design.T @ (outcome - share) - position / PRIOR_SD**2
        curvature = (design * (share * (1 - share))[:, None]).T @ design
        covariance = np.linalg.inv(curvature + np.eye(len(position)) / PRIOR_SD**2)
        position = position + covariance @ slope
    return position, covariance


def cpu_seconds():
    """Return the CPU seconds of this process and of those that it waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def resident_megabytes():
    """Return the memory that this process has now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def peak_megabytes():
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
