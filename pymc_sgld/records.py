"""What a result holds besides draws: every attribute, group and statistic, its unit, its meaning.

Whoever writes or reads one of them takes its name from here. ``docs/sample-stats.md`` shows these
tables. What PyMC and ArviZ name (``posterior``, ``n_steps``, ``sampling_time``) is theirs.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Record(NamedTuple):
    """What one name stands for."""

    unit: str
    meaning: str
    dtype: type[Any] = np.float64  # of a statistic


# -- statistics: a value for each chain and draw, in the group ``sample_stats`` ----------------

STEP_SIZE = "step_size"
STEP_SIZE_WEIGHT = "step_size_weight"
TEMPERATURE = "temperature"
BATCH_SIZE = "batch_size"
DATA_PASSES = "data_passes"
GRADIENT_NOISE_RATIO = "gradient_noise_ratio"
PREDICTED_SD_INFLATION = "predicted_sd_inflation"
MINIBATCH_LOGP = "minibatch_logp"
DIVERGING = "diverging"
SECONDS = "seconds"
CYCLE = "cycle"
ACCEPTANCE_RATE = "acceptance_rate"
SWAP_RATE = "swap_rate"
HOT_RESTARTS = "hot_restarts"
MODE_DISTANCE = "mode_distance"
KINETIC_TEMPERATURE = "kinetic_temperature"

OF_EVERY_SAMPLER = {
    STEP_SIZE: Record(
        "time (with a preconditioner a pure number)",
        "h of the draw's last step",
    ),
    STEP_SIZE_WEIGHT: Record(
        "time",
        "sum of h over the draw's steps: the weight of the draw in Welling & Teh's step-weighted "
        "expectation, their equation (11), among the draws of its chain. Equal for all draws when "
        "h is constant; chains count alike whatever their h",
    ),
    TEMPERATURE: Record("1", "T of the draw's last step"),
    BATCH_SIZE: Record("rows", "rows read by a step, all groups of rows together", np.int64),
    DATA_PASSES: Record(
        "passes",
        "row gradients spent on this draw, over the number of rows. The first draw that is "
        "measured at carries the cost of mode search and curvature: with the default settings it "
        "is in the warm-up",
    ),
    GRADIENT_NOISE_RATIO: Record(
        "1",
        "Welling & Teh's alpha = h v / (2T), with v the largest eigenvalue of the covariance of "
        "the batch gradient, in the coordinates of the preconditioner. Below 0.1: the noise of the "
        "batches is small beside the injected noise of SGLD at that step. For samplers with "
        "momentum, and where batches come in epochs, over which the noise adds up to almost none, "
        "it is not comparable: read the next line. `inf` for `constant_sgd`, which "
        "injects none",
    ),
    PREDICTED_SD_INFLATION: Record(
        "1",
        "largest relative excess of a parameter's sd over the posterior's, predicted from the "
        'curvature and the gradient noise at the mode (or where sampling began): 0.05 means "up '
        'to 5 % too wide". 0 for the samplers with a Metropolis test (`mala`, `sggmc`, '
        "`amagold`), `inf` where the step is unstable, `nan` in the warm-up of a run with a given "
        "step size, for samplers with a thermostat or a preconditioner of their own, and beyond "
        "2000 parameters",
    ),
    MINIBATCH_LOGP: Record(
        "nats",
        "log-posterior, unnormalised, estimated on the draw's last batch at its last position; "
        "exact where a batch is all rows",
    ),
    DIVERGING: Record(
        "yes/no",
        "the draw, or its log-density, was not finite and was refused: the chain stayed where it "
        "was",
        bool,
    ),
    SECONDS: Record("s", "wall time of the draw, inside the step method"),
}
OF_SOME_SAMPLERS = {
    CYCLE: Record(
        "1",
        "of `cyclical_sgld` and `cyclical_sghmc`: the cycle the draw belongs to, from 0; -1 in the "
        "tune phase, which is a cycle of its own. The first draw of a cycle carries the "
        "exploration before it in `data_passes` and `seconds`; its `step_size_weight`, as that of "
        "every draw, counts its last `steps_per_draw` steps",
        np.int64,
    ),
    ACCEPTANCE_RATE: Record(
        "1",
        "`mala`, `sggmc`, `amagold`: mean probability, over the draw's trajectories, with which "
        "the test on all rows accepts. A step size that is left out is led to 0.574 (`mala`) or "
        "0.65 in the tune phase",
    ),
    SWAP_RATE: Record(
        "1",
        "`replica_exchange_sgld`: mean probability, over the draw's attempts, with which the cold "
        "and the hot replica change places. Near 0 the replicas do not help each other: take a "
        "smaller `temperature_ratio`",
    ),
    HOT_RESTARTS: Record(
        "1",
        "`replica_exchange_sgld`: share of the draw's attempts at which the hot replica was not "
        "finite and began anew at the cold one. Above 0 the step is too large at the hot "
        "temperature",
    ),
    MODE_DISTANCE: Record(
        "posterior sds",
        "`auto`: how far the mode that is found from the chain's own start lies from the one tuned "
        "at, per parameter, on a sample of rows. Above 1 the chain takes its own mode, and a "
        "warning names it",
    ),
    KINETIC_TEMPERATURE: Record(
        "1",
        "samplers with momentum: mean square of the momentum after the draw, per parameter. Its "
        "mean over draws is the temperature, but for discretisation: above it, the noise of the "
        "batches heats the chain. `auto` draws its momentum anew at every step, so that there it "
        "says nothing",
    ),
}
STATISTICS = OF_EVERY_SAMPLER | OF_SOME_SAMPLERS


def types_of(names: Iterable[str]) -> dict[str, tuple[Any, list[int]]]:
    """Return type and shape of statistics, as PyMC asks for them; a new rule's are floats."""
    blank = Record("", "")
    return {name: (STATISTICS.get(name, blank).dtype, []) for name in names}


_SUMMED = (DATA_PASSES, SECONDS, STEP_SIZE_WEIGHT)
_AVERAGED = (ACCEPTANCE_RATE, SWAP_RATE, HOT_RESTARTS)


def of_several(statistics: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the statistics of draws of which the last is kept: sums, means, or those of the last.

    The draw counts as diverging where one of them did.
    """
    joined = dict(statistics[-1])
    for name in joined:
        values = [of_draw[name] for of_draw in statistics]
        if name in _SUMMED:
            joined[name] = float(sum(values))
        elif name in _AVERAGED:
            joined[name] = float(sum(values)) / len(values)
        elif name == DIVERGING:
            joined[name] = any(values)
    return joined


# -- attributes of the group ``posterior`` -----------------------------------------------------

SAMPLER = "sampler"
COMPILE_SECONDS = "compile_seconds"
TUNE_SECONDS = "tune_seconds"
DRAW_SECONDS = "draw_seconds"
REASON = "reason"
INTEGRATED = "integrated_out"
LATENTS_KEPT = "latents_kept"
DIED = "chains_that_died"
NODES = "quadrature_nodes"
TUNE_PASSES = "tune_passes"
DRAW_PASSES = "draw_passes"
INDEPENDENT_DRAWS = "independent_draws"
SLOPE = "slope"
CONVERGED = "converged"
ITERATIONS = "iterations"
MEAN_OFF = "mean_off"
SD_RATIO_MIN = "sd_ratio_min"
SD_RATIO_MAX = "sd_ratio_max"
STOPPED_EARLY = "stopped_early"
PHASES = (COMPILE_SECONDS, TUNE_SECONDS, DRAW_SECONDS)

OF_A_RUN = {
    SAMPLER: Record("", 'name of the sampler; `"nuts"` where `auto` left the model to NUTS'),
    COMPILE_SECONDS: Record("s", "wall time of building, checking and compiling"),
    TUNE_SECONDS: Record("s", "wall time of the tune phase, or of a fit"),
    DRAW_SECONDS: Record("s", "wall time of the draws that are kept"),
    REASON: Record("", "why `auto` took NUTS; only there"),
    INTEGRATED: Record("", "what was integrated out, and with what error; only there"),
    LATENTS_KEPT: Record("", "what latents of rows were kept and moved along; only there"),
    DIED: Record("", "which chains died in processes of their own, and how; only there"),
    NODES: Record("1", "nodes of an axis that it was integrated out with; only there"),
}
OF_A_METHOD_COMPARED = {
    TUNE_PASSES: Record("passes", "row gradients of tuning or fitting, over the number of rows"),
    DRAW_PASSES: Record("passes", "the same of the draws that are kept"),
    STOPPED_EARLY: Record("", "`nuts` with `seconds`: what was done in that time; only there"),
    INDEPENDENT_DRAWS: Record("yes/no", "`laplace`, `advi`, `fullrank_advi`: no chain was run"),
    SLOPE: Record("posterior sds", "`laplace`: where the search for the mode ended; 0 at a mode"),
    BATCH_SIZE: Record("rows", "`advi`, `fullrank_advi`: rows an iteration reads, of each group"),
    CONVERGED: Record(
        "yes/no", "`advi`, `fullrank_advi`: whether the fit is the best of its family, within 0.1"
    ),
    ITERATIONS: Record("1", "`advi`, `fullrank_advi`: of the fit"),
    MEAN_OFF: Record("fitted sds", "largest distance of a mean from that of the best fit"),
    SD_RATIO_MIN: Record("1", "smallest sd of the fit over that of the best"),
    SD_RATIO_MAX: Record("1", "largest of these ratios"),
}

# -- the group ``check`` -----------------------------------------------------------------------

CHECK = "check"
SD_RATIO = "sd_ratio"
SD_RATIO_ERROR = "sd_ratio_error"
MEAN_SCORE = "mean_score"
MEAN_SCORE_ERROR = "mean_score_error"
R_HAT = "r_hat"
ESS = "ess"
PARAMETER_VERDICT = "parameter_verdict"
INTEGRATION_SHIFT = "integration_shift"
VERDICT = "verdict"
IN_WORDS = "in_words"
ADVICE = "advice"
TARGET_BIAS = "target_bias"
DRAWS_SCORED = "draws_scored"
KERNEL_STEIN = "kernel_stein_discrepancy"
KERNEL_STEIN_OF_EXACT_DRAWS = "kernel_stein_of_exact_draws"
NOTES = "notes"

CHECK_BY_PARAMETER = {
    SD_RATIO: Record("1", "sd of the draws over that of the posterior, as the score measures it"),
    SD_RATIO_ERROR: Record("1", "its standard error"),
    MEAN_SCORE: Record("posterior sds", "mean slope of the log-posterior over the draws"),
    MEAN_SCORE_ERROR: Record("posterior sds", "its standard error"),
    R_HAT: Record("1", "ArviZ's R-hat; of one chain, that of its halves"),
    ESS: Record("draws", "ArviZ's bulk effective sample size, of all chains together"),
    PARAMETER_VERDICT: Record("", "one of those below, of this parameter alone"),
}
CHECK_BY_VARIABLE = {
    VERDICT: Record(
        "", '"fine", "inflated", "too narrow", "not mixed" or "cannot tell": of its worst parameter'
    ),
    IN_WORDS: Record("", "the verdict with figures"),
    ADVICE: Record("", "what to change"),
}
CHECK_ATTRIBUTES = {
    TARGET_BIAS: Record("1", "relative excess of an sd that is tolerated"),
    DRAWS_SCORED: Record("draws", "at how many the gradient was evaluated, of all chains"),
    DATA_PASSES: Record("passes", "spent on the check"),
    KERNEL_STEIN: Record("1", "of the draws, where scores of all rows were taken"),
    KERNEL_STEIN_OF_EXACT_DRAWS: Record("1", "what as many independent exact draws would have"),
    INTEGRATION_SHIFT: Record(
        "posterior sds",
        "how far means are off by the quadrature of latents of rows, at most; only there",
    ),
    NOTES: Record("", "what has to be known to read the group, one line each"),
}

# -- the group ``tuning``, of ``auto`` ---------------------------------------------------------

TUNING = "tuning"
ALL_DRAWS = "all_draws"  # a group, of a run of which not all draws are stored
CENTRE = "centre"
GRADIENT = "gradient"
BATCHES = "batches"
BATCH_SIZE_NEEDED = "batch_size_needed"
SCORE_AT_CENTRE = "score_at_centre"
ROW_NOISE = "row_noise"
NOISIEST = "noisiest"
OTHER_MODE = "other_mode"
HYPERPARAMETERS = "hyperparameters"

TUNING_BY_PARAMETER = {
    SD_RATIO: Record(
        "1",
        "as in the group `check`; not with `check=False`, nor with fewer than 100 draws a chain",
    ),
    SD_RATIO_ERROR: Record("1", "its standard error"),
    CENTRE: Record("unconstrained", "the mode tuned at"),
}
TUNING_ATTRIBUTES = {
    GRADIENT: Record("", "name of the estimator"),
    BATCHES: Record("", "which rows a step reads"),
    BATCH_SIZE: Record("rows", "of a step, all groups of rows together"),
    BATCH_SIZE_NEEDED: Record("rows", "for `target_bias`, with a control variate"),
    SCORE_AT_CENTRE: Record("posterior sds", "root mean square slope at the centre; 0 at a mode"),
    ROW_NOISE: Record(
        "1", "largest eigenvalue of the covariance of one row's part, in posterior sds"
    ),
    NOISIEST: Record("", "the parameters along which it is largest"),
    DATA_PASSES: Record("passes", "spent before the chains, once for all of them"),
    REASON: Record("", "what was chosen, in words"),
    OTHER_MODE: Record("posterior sds", "how far another mode is; 0 where none was met"),
    HYPERPARAMETERS: Record("", "how they are drawn, and why; empty where with all others"),
    TARGET_BIAS: Record("1", "what step size and batch size were chosen for"),
}

# -- groups ------------------------------------------------------------------------------------

GROUPS = {
    "posterior": Record("", "draws of the model's own variables"),
    "sample_stats": Record("", "the statistics below; with `warmup_` before it, of the tune phase"),
    CHECK: Record("", "whether the draws can be trusted: by `psg.sample` and `psg.check`"),
    TUNING: Record("", "what `auto` chose, and why"),
    ALL_DRAWS: Record(
        "",
        "with `thin` above 1: mean, sd and five quantiles of every variable over all draws of a "
        "chain after its tune phase, also those that are not stored; dims `chain`, `moment`, and "
        "the variable's. Ranks of quantiles are off by less than 1 %; with more than 20,000 "
        "entries of variables there are none",
    ),
    "log_likelihood": Record("", "by `psg.row_log_likelihood`, of all rows"),
    "posterior_predictive": Record("", "by `psg.posterior_predictive`"),
}

# Heading of the page of the documents, and what stands below it.
TABLES = {
    "Groups": GROUPS,
    "Statistics of every sampler": OF_EVERY_SAMPLER,
    "Statistics of some samplers": OF_SOME_SAMPLERS,
    "Attributes of the posterior": OF_A_RUN,
    "Attributes of methods that `psg.compare` runs beside": OF_A_METHOD_COMPARED,
    "The group `check`, by parameter": CHECK_BY_PARAMETER,
    "The group `check`, by variable": CHECK_BY_VARIABLE,
    "The group `check`, attributes": CHECK_ATTRIBUTES,
    "The group `tuning`, by parameter": TUNING_BY_PARAMETER,
    "The group `tuning`, attributes": TUNING_ATTRIBUTES,
}
