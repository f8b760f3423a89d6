"""When "auto" draws hyperparameters apart from what rows depend on, and how that is set up."""

from dataclasses import replace
from math import ceil
from typing import NamedTuple

import numpy as np

from pymc_sgld import schedules
from pymc_sgld.chain import Parts, problem_of, steps_in_whitened_coordinates
from pymc_sgld.gradient_estimators import ESTIMATORS
from pymc_sgld.hierarchical_gibbs.hierarchy import Hierarchy, TunedHierarchy
from pymc_sgld.hierarchical_gibbs.hyperparameter_step import hyperparameter_step
from pymc_sgld.hierarchical_gibbs.interweaving import (
    Interweaving,
    interweaving,
    judged,
    least_share,
)
from pymc_sgld.hierarchical_gibbs.large_search import LargeHierarchySearch
from pymc_sgld.hierarchical_gibbs.locations import locations
from pymc_sgld.hierarchical_gibbs.moves import HierarchicalMoves
from pymc_sgld.hierarchical_gibbs.prior_model import compile_prior, hyperparameters_of
from pymc_sgld.hierarchical_gibbs.warmup import HierarchicalWarmup, HierarchySearch
from pymc_sgld.model_graph import TooManyPasses
from pymc_sgld.samplers import RestartedLangevin
from pymc_sgld.step_methods.auto_batches import BatchRequirement, choose_rows
from pymc_sgld.step_methods.auto_large_gibbs import large_search, rows_of_many
from pymc_sgld.tuning import TuningError
from pymc_sgld.types import Array

CHOICES = ("auto", "gibbs", "joint")
# Predicted posterior sd of the log of a scale, beyond which it is drawn apart: the joint law of
# scale and effects is then a funnel, and steps of one size are biased there.
WEAKLY_KNOWN = 0.15
# Rows' share of the precision of a typical effect: below, the mode of all parameters together is
# far from the posterior, for it lies where the effects are at their mean and the scale is small.
LEAST_SHARE = 0.5
# Predicted distance of that mode from the posterior mean of a hyperparameter, in its posterior sds:
# beyond, the mode is not where the posterior is, if there is one at all.
LARGEST_SHIFT = 1.0
# Parameters of a split whose effects and coefficients have dense matrices while it is tuned: of
# 2,100 that takes a minute. Beyond, the pattern of the matrices must be known.
LARGEST_SPLIT = 3000
# Parameters beyond which sparse matrices are taken, where their pattern is known.
LARGEST_DENSE = 500
_DRAWS_LOOKED_AT = 50
CUT_OFF = "the search for other modes was cut off where it read the data too often"
# Share of a posterior variance of hyperparameters that is left given the effects, below which they
# are moved with the effects following too: draws given the effects are slow then.
_MOVES_PAY = 0.25
_LARGEST_ERROR = 3.0  # of the log of a ratio that is tested, beyond which few moves are taken


class GibbsPlan(NamedTuple):
    """A sampler in two blocks, and why."""

    parts: Parts
    hierarchy: Hierarchy
    tuned: TunedHierarchy
    interweaving: Interweaving | None
    names: tuple[str, ...]  # of the hyperparameters, as written
    log_scale_sd: float
    share: float
    search: HierarchySearch | LargeHierarchySearch
    other_mode: float = 0.0  # how far another mode was found, in posterior sds; 0: none
    cut_off: bool = False  # whether the search for other modes was
    near_an_end: str = ""  # what is said of steps there

    def in_words(self) -> str:
        """Return in words what is drawn apart, and why."""
        moves, also = self.interweaving, ""
        if moves is not None:
            how = f"tested on all rows at every {moves.every} draws" if moves.tested else "untested"
            also = f"; also with the effects following ({how}, log ratio {moves.error:.2g})"
        if self.near_an_end:
            also += f"; {self.near_an_end}"
        if self.cut_off:
            also += f"; {CUT_OFF}"
        return (
            f"{', '.join(self.names)} {'is' if len(self.names) == 1 else 'are'} drawn given all "
            "else, without rows (gibbs): predicted sd "
            f"of a log scale {self.log_scale_sd:.2g}, rows' share of the precision of an effect "
            f"{self.share:.0%}{also}"
        )


def why_not(parts: Parts, names: tuple[str, ...]) -> str | None:
    """Return why the hyperparameters of a model cannot be drawn apart; None where they can."""
    settings = parts.settings
    if not names:
        return (
            "every parameter enters the likelihood of rows, or none does with others: there are "
            "no hyperparameters that enter through the prior alone. Write group effects centred, "
            "u ~ Normal(mu, tau)"
        )
    temperature = settings.temperature
    if not (isinstance(temperature, schedules.constant) and temperature.value == 1):
        return "the temperature is not 1"
    own = settings.preconditioner.name not in {"dense", "identity"}
    if own and settings.preconditioner_given:
        return f"preconditioner={settings.preconditioner.name!r} was given, and it makes its own"
    if settings.kernel.estimator.steps_between(1) is not None:
        return f"gradient={settings.kernel.estimator.name!r} follows a clock of its own"
    return None


def in_two_blocks(
    parts: Parts, labels: tuple[str, ...], rng: np.random.Generator, wanted: str
) -> tuple[GibbsPlan | None, Array | None]:
    """Set up a sampler in two blocks where that is wanted, or better.

    Parameters
    ----------
    parts : Parts
        Of the sampler in one block.
    labels : tuple of str
        Of the parameters, for messages.
    rng : numpy.random.Generator
    wanted : {"auto", "gibbs", "joint"}

    Returns
    -------
    split : GibbsPlan or None
        None where the parameters are better moved together.
    start : array, shape (n_dim,), or None
        Then the mean of the posterior as far as it is known, to look for a mode from.

    Raises
    ------
    ValueError
        Where "gibbs" is wanted and not possible.
    """
    if wanted == "joint":
        return None, None
    names = hyperparameters_of(parts.row_model)
    reason = why_not(parts, names)
    if reason is not None:
        if wanted == "gibbs":
            raise ValueError(
                f"hyperparameters='gibbs' is not possible here, because {reason}. Leave "
                "hyperparameters out, or give 'joint'."
            )
        return None, None
    steps = parts.settings.steps_per_draw or steps_in_whitened_coordinates(all_rows=False)
    settings_given, parts = parts.settings, _with_steps(parts, steps)
    start = parts.row_model.ravel(parts.row_model.model.initial_point())
    start = start.astype(parts.block_function.dtype)
    unseen = parts.row_model.layout.entries(names)
    hierarchy, names = _hierarchy(parts, names, start)
    search = _search(parts, hierarchy, rng, start, labels)
    if isinstance(search, str):
        if wanted == "gibbs":
            raise ValueError(_too_many(parts, search))
        return None, None
    try:
        tuned = search.find(start, 1.0)
    except (TuningError, np.linalg.LinAlgError):
        if wanted == "gibbs":
            raise
        return None, None
    if settings_given.steps_per_draw is None:
        parts = _with_steps(parts, ceil(steps / tuned.steep.step_factor))
    share = _share(tuned, unseen)
    log_scale_sd = _log_scale_sd(parts, names, tuned)
    known = log_scale_sd < WEAKLY_KNOWN and share > LEAST_SHARE
    known &= isinstance(search, HierarchySearch)
    if wanted == "auto" and known and _shift_of_mode(tuned) < LARGEST_SHIFT:
        return None, tuned.mode
    moves, passes = _interwoven(parts, hierarchy, tuned, rng)
    far, cut_off = 0.0, False
    try:
        far, more = search.other_mode(start, tuned)
        passes += more
    except TooManyPasses:
        cut_off = True
    tuned = replace(tuned, data_passes=tuned.data_passes + passes)
    written = _as_written(parts, names)
    known_by = log_scale_sd, share, search
    said = tuned.steep.in_words(labels)
    return GibbsPlan(parts, hierarchy, tuned, moves, written, *known_by, far, cut_off, said), None


def _with_steps(parts: Parts, steps: int) -> Parts:
    """Return parts whose chain takes so many steps between two draws of the hyperparameters."""
    kernel = parts.settings.kernel._replace(rule=RestartedLangevin(steps))
    return parts._replace(settings=replace(parts.settings, kernel=kernel, steps_per_draw=steps))


def _too_many(parts: Parts, reason: str) -> str:
    return (
        f"hyperparameters='gibbs' is not possible here: the model has {parts.row_model.n_dim:,} "
        f"parameters, and beyond {LARGEST_SPLIT:,} effects must have a precision that is known to "
        f"be sparse, but {reason}. Leave hyperparameters out, or give 'joint'."
    )


def moved_with_too_many(parts: Parts, wanted: str) -> tuple[str, ...]:
    """Return the hyperparameters that are not drawn apart because the parameters are too many."""
    if wanted != "auto" or parts.row_model.n_dim <= LARGEST_SPLIT:
        return ()
    return _as_written(parts, hyperparameters_of(parts.row_model))


def _as_written(parts: Parts, names: tuple[str, ...]) -> tuple[str, ...]:
    variables, names_of = parts.row_model.value_vars, parts.row_model.model.values_to_rvs
    return tuple(names_of[var].name for var in variables if var.name in names)


def _log_scale_sd(parts: Parts, names: tuple[str, ...], tuned: TunedHierarchy) -> float:
    """Return the predicted posterior sd of the log of a scale; the largest.

    Of the scales that effects have in the prior, and of positive hyperparameters, such as the
    scale of the districts that schools are nested in.
    """
    logs = tuple(name for name in names if name.endswith("_log__"))
    spread = tuned.draws[:, parts.row_model.layout.entries(logs)].std(axis=0)
    return max(tuned.log_scale_sd, float(spread.max(initial=0.0)))


def _shift_of_mode(tuned: TunedHierarchy) -> float:
    r"""Return how far the joint mode lies from the posterior mean of a hyperparameter, in its sds.

    The joint density at the best effects of given hyperparameters is their marginal density times
    the root of :math:`|P(\phi)|`, the precision of the effects there: it grows as a scale falls.
    So the mode is off by the covariance of :math:`\phi` and :math:`\log |P(\phi)| / 2`.
    """
    curvature, draws = tuned.curvature, tuned.draws
    draws = draws[:: max(1, len(draws) // _DRAWS_LOOKED_AT)]
    halves = np.array([curvature.metric(draw).log_determinant / 2 for draw in draws])
    apart = draws[:, curvature.hyperparameters] - draws[:, curvature.hyperparameters].mean(axis=0)
    moves = apart.std(axis=0) > 0
    shifts = (halves - halves.mean()) @ apart[:, moves] / len(draws) / apart[:, moves].std(axis=0)
    return float(np.abs(shifts).max(initial=0.0))


def split_rows(
    split: GibbsPlan, chooses_batch_size: bool, rng: np.random.Generator
) -> tuple[Parts, BatchRequirement]:
    """Choose the rows of the steps given the hyperparameters.

    Parameters
    ----------
    split : GibbsPlan
    chooses_batch_size : bool
        Whether the batch size was left out.
    rng : numpy.random.Generator
    """
    choose = _rows_of_few if isinstance(split.search, HierarchySearch) else _rows_of_many
    parts, tuned, requirement = choose(split, chooses_batch_size)
    hierarchy = split.hierarchy
    kernel = parts.settings.kernel._replace(metric=tuned.metric)
    if list(parts.block_function.total_sizes) == parts.batch_sizes:
        kernel = kernel._replace(estimator=ESTIMATORS["full"])
        tuned = replace(tuned, estimator_parameters=())
    parts = parts._replace(settings=replace(parts.settings, kernel=kernel))
    problem = problem_of(parts.settings, parts.block_function, parts.batches)
    if isinstance(split.search, HierarchySearch):
        tuned = HierarchySearch(problem, hierarchy, rng).with_batches(tuned)
    rule = parts.settings.kernel.rule
    assert isinstance(rule, RestartedLangevin)
    parts = parts._replace(
        prepared=tuned.joint,
        tuner=HierarchicalWarmup(problem, hierarchy, tuned),
        moves=HierarchicalMoves(
            parts.block_function, rule, hierarchy, tuned.curvature, split.interweaving
        ),
    )
    return parts, requirement


def _rows_of_few(
    split: GibbsPlan, chooses_batch_size: bool
) -> tuple[Parts, TunedHierarchy, BatchRequirement]:
    """Choose the rows of a batch by dense matrices."""
    parts, tuned, moving = split.parts, split.tuned, split.hierarchy.moving
    assert tuned.laplace is not None
    factor = tuned.metric.matrix()[np.ix_(moving, moving)]
    scale = tuned.sds[moving]
    parts, gaussian, requirement = choose_rows(parts, tuned.laplace.gaussian, factor, scale, 1.0)
    tuned = replace(tuned, laplace=tuned.laplace._replace(gaussian=gaussian))
    if chooses_batch_size:
        parts = parts._replace(batch_sizes=requirement.batch_sizes)
    direction = np.zeros(len(tuned.mode))
    direction[moving] = requirement.direction
    return parts, tuned, requirement._replace(direction=direction)


def _rows_of_many(
    split: GibbsPlan, chooses_batch_size: bool
) -> tuple[Parts, TunedHierarchy, BatchRequirement]:
    """Choose them by sparse matrices."""
    assert isinstance(split.search, LargeHierarchySearch)
    return rows_of_many(split.parts, split.tuned, split.search, chooses_batch_size)


def _interwoven(
    parts: Parts, hierarchy: Hierarchy, tuned: TunedHierarchy, rng: np.random.Generator
) -> tuple[Interweaving | None, float]:
    """Return moves of the hyperparameters with the effects following, and data passes."""
    draws, sizes = tuned.draws, hierarchy.sizes
    moves = interweaving(hierarchy.prior, tuned.curvature, tuned.quadratic, sizes, draws)
    if moves is None:
        return None, 0.0
    some = draws[:: max(1, len(draws) // _DRAWS_LOOKED_AT)]
    if least_share(hierarchy.prior, moves.entries, some) > _MOVES_PAY:
        return None, 0.0
    moves, passes = judged(
        moves,
        parts.block_function,
        hierarchy.density,
        draws,
        parts.settings.target_bias,
        rng,
    )
    return (moves if moves.error < _LARGEST_ERROR else None), passes


def _hierarchy(
    parts: Parts, names: tuple[str, ...], start: Array
) -> tuple[Hierarchy, tuple[str, ...]]:
    """Return the two blocks, and the names of what is drawn apart: locations of effects are not."""
    model = parts.row_model
    prior = compile_prior(model, parts.mode)
    if len(start) <= min(LARGEST_DENSE, LARGEST_SPLIT):
        each = [(name, model.layout.entries((name,))) for name in names]
        moved = locations(prior, start, each)
        names = tuple(name for name in names if name not in moved) or names
    entries = model.layout.entries(names)
    step = hyperparameter_step(model, names, entries, model.model.initial_point())
    return Hierarchy(prior, step, model.layout.sizes), names


def _search(
    parts: Parts,
    hierarchy: Hierarchy,
    rng: np.random.Generator,
    start: Array,
    labels: tuple[str, ...],
) -> HierarchySearch | LargeHierarchySearch | str:
    """Return the search for the number of parameters, or why there is none."""
    problem = problem_of(parts.settings, parts.block_function, parts.batches, labels)
    if len(start) > min(LARGEST_DENSE, LARGEST_SPLIT):
        large = large_search(parts, problem, hierarchy, start, rng)
        if isinstance(large, LargeHierarchySearch) or len(start) > LARGEST_SPLIT:
            return large
    return HierarchySearch(problem, hierarchy, rng)


def _share(tuned: TunedHierarchy, unseen: Array) -> float:
    """Return the rows' mean share of the precision of those that hyperparameters act on.

    Of what rows see: locations, that no row sees, move with these.
    """
    curvature = tuned.curvature
    row, column = curvature.entries.row, curvature.entries.column
    diagonal = row[row == column]
    spread = [curvature.of_prior(draw)[row == column] for draw in tuned.draws[:_DRAWS_LOOKED_AT]]
    acted_on = diagonal[(np.std(spread, axis=0) > 0) & ~np.isin(curvature.moving[diagonal], unseen)]
    shares = curvature.shares(tuned.mode)[acted_on]
    return float(np.mean(shares)) if len(shares) else 1.0
