"""Draws that were refused: when to give up, and what is said of them at the end of a run."""

import logging

from typing import Any

import numpy as np
import pymc as pm

from pymc.exceptions import SamplingError

from pymc_sgld import records
from pymc_sgld.chain import Chain, Draw, Settings

_log = logging.getLogger("pymc.sgld")
_BEFORE_ERROR = 20  # in a row
_BEFORE_ERROR_OUTSIDE = 1000  # where the support has an end, which refuses draws at any step size
_WORTH_SAYING = 0.05  # of all draws
_OF_CHOSEN = (
    "Where the chain is, the density is far from the Gaussian that the step was chosen for, as "
    "that of a scale of which the data say little, together with its effects. Give proper priors "
    "that keep scales from zero, write group effects so that their scale enters the prior alone "
    "(docs/hierarchies.md), or take NUTS."
)


def count_refusal(chain: Chain, draw: Draw) -> None:
    """Give up where nothing is accepted."""
    state = chain.state
    if not draw.diverging:
        state.refused_in_a_row = 0
        return
    state.refused_in_a_row += 1
    bounded = chain.settings.support.is_bounded
    most = _BEFORE_ERROR_OUTSIDE if bounded else _BEFORE_ERROR
    if state.refused_in_a_row < most:
        return
    if draw.outside:
        raise SamplingError(
            f"{most} draws in a row ended where the log-density is not finite, with step_size="
            f"{draw.step_size:.3g}: outside of the support. Give a smaller step_size or fewer "
            "steps_per_draw, or write the constraint as a transform: pm.HalfNormal, pm.Uniform, "
            "pm.TruncatedNormal, transform=pm.distributions.transforms.ordered."
        )
    where = f"{most} draws in a row were not finite with step_size={draw.step_size:.3g}"
    if chain.settings.step_size is None:
        raise SamplingError(f"{where}, which was chosen. {_OF_CHOSEN}")
    if chain.settings.kernel.metric.name == "dense":
        raise SamplingError(
            f"{where}. The step is too large for this model: give a smaller step_size, or leave it "
            "out to have it chosen."
        )
    raise SamplingError(
        f"{where}. The step is too large for this model: give a smaller step_size, leave it out to "
        "have it chosen, or use preconditioner='dense' where parameters have very different scales."
    )


def report_refusals(result: Any, model: pm.Model, settings: Settings) -> None:
    """Warn of draws that were refused, and say what can be the cause.

    Parameters
    ----------
    result : DataTree
    model : pm.Model
    settings : Settings
        Of the chain: its support, and whether the step size was left out.
    """
    share = float(np.mean(result["sample_stats"][records.DIVERGING]))
    if share <= _WORTH_SAYING:
        return
    said = f"{share:.0%} of the draws were refused (diverging in sample_stats): the chain stayed."
    names = ", ".join(repr(potential.name) for potential in model.potentials)
    if settings.support.is_bounded:
        of = f" of {names}" if names else ""
        _log.warning(
            f"{said} The support{of} has an end, beyond which the log-density is not finite. Where "
            "it can be, write the constraint as a transform: pm.HalfNormal, pm.Uniform, "
            "transform=pm.distributions.transforms.ordered."
        )
    elif settings.step_size is None:
        _log.warning(f"{said} {_OF_CHOSEN}")
    else:
        _log.warning(
            f"{said} The step is too large for this model: give a smaller step_size, or leave it "
            "out to have it chosen."
        )
