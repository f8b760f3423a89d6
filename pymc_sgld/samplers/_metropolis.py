"""The Metropolis test of a trajectory, shared by the rules that have one."""

import math

from collections.abc import Callable, Mapping

import numpy as np

from pymc_sgld.records import ACCEPTANCE_RATE
from pymc_sgld.types import Array


def metropolis_test(
    before: Mapping[str, Array],
    after: Mapping[str, Array],
    log_density: Callable[[Array], float],
    uniform: float,
    temperature: float,
) -> tuple[dict[str, Array], dict[str, float]]:
    r"""Accept or reject a trajectory, with the probability that leaves the target invariant.

    .. math:: \alpha = \min\{1, \exp([\ell(\theta_K) - \ell(\theta_0) - w] / T)\}

    Here :math:`\ell` is the log-density of all rows and :math:`w`, the state ``work`` that the rule
    accumulates, what the gradients on the way say of its rise; each rule proves that its own w
    makes detailed balance hold, momenta flipped. So the momentum is flipped at a rejection.

    Parameters
    ----------
    before, after, log_density, uniform, temperature
        See :class:`pymc_sgld.samplers.TestedRule`.

    Returns
    -------
    state : dict of arrays
        With ``work`` set to zero for the next trajectory.
    statistics : dict
        ``acceptance_rate``: the probability above, 0 where a number is not finite.
    """
    probability = 0.0
    if all(np.isfinite(value).all() for value in after.values()):
        start, end = float(log_density(before["position"])), float(log_density(after["position"]))
        exponent = (end - start - float(np.sum(after["work"]))) / temperature
        probability = math.exp(min(exponent, 0.0)) if not math.isnan(exponent) else 0.0
    state = dict(after if uniform < probability else before)
    if uniform >= probability and "momentum" in state:
        state["momentum"] = -state["momentum"]
    state["work"] = np.zeros_like(before["work"])
    return state, {ACCEPTANCE_RATE: probability}
