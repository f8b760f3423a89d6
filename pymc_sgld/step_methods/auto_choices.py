"""What "auto" chooses, one after the other: each choice is a function of what is known so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import pymc as pm

from pymc_sgld.chain import Parts, first_temperature, problem_of, steps_in_whitened_coordinates
from pymc_sgld.gradient_estimators import ESTIMATORS
from pymc_sgld.hierarchical_gibbs.prior_model import hyperparameters_of
from pymc_sgld.model_graph import TooManyPasses, doing
from pymc_sgld.step_methods.auto_batches import BatchRequirement, choose_rows, rows_by_ends
from pymc_sgld.step_methods.auto_gibbs import (
    CUT_OFF,
    in_two_blocks,
    moved_with_too_many,
    split_rows,
)
from pymc_sgld.step_methods.unseen_scales import check_before_search, check_unseen_scales
from pymc_sgld.tuning import (
    GAUSSIAN,
    LARGEST_MEASURED,
    Laplace,
    LocalGaussian,
    SteepSlopes,
    TuningError,
    Warmup,
    check_mode,
    find_laplace,
    jittered,
    other_mode,
    tune_by_products,
)
from pymc_sgld.types import Array


@dataclass(frozen=True)
class Choosing:
    """What is known so far, and the parts of the chain as they were chosen so far.

    Parameters
    ----------
    parts : Parts
        ``parts.prepared`` is set by the choice that is the last to look for anything: the choices
        of this library after it leave all as it is.
    model : pm.Model
    labels : tuple of str
        Of the parameters.
    generator : numpy.random.Generator
    hyperparameters : str
        What the user asked for.
    chooses_batch_size : bool
        Whether the user left it out.
    initial, start : array, shape (n_dim,), optional
        Where the search for a mode begins, and where without a random move.
    near : bool
        Whether the posterior is known to be there.
    temperature : float
        The first of the run.
    laplace, gaussian : Laplace, LocalGaussian, optional
        The mode and its curvature, and that with the noise which the estimator leaves.
    steep : SteepSlopes
        Where the posterior is steeper than this picture.
    requirement : BatchRequirement, optional
        What a batch needs.
    doubtful : tuple of str
        Hyperparameters whose draws are not to be trusted.
    other_mode : float
        How far from the mode another was found, in posterior sds; 0: none.
    in_words : str
        How hyperparameters are drawn, and why; empty where with all others.
    also : tuple of str
        Clauses to be added to the reason that the report gives.
    """

    parts: Parts
    model: pm.Model
    labels: tuple[str, ...]
    generator: np.random.Generator
    hyperparameters: str = "auto"
    chooses_batch_size: bool = True
    initial: Array | None = None
    start: Array | None = None
    near: bool = False
    temperature: float = 1.0
    laplace: Laplace | None = None
    gaussian: LocalGaussian | None = None
    steep: SteepSlopes = GAUSSIAN
    requirement: BatchRequirement | None = None
    doubtful: tuple[str, ...] = ()
    other_mode: float = 0.0
    in_words: str = ""
    also: tuple[str, ...] = ()


Choose = Callable[[Choosing], Choosing]


def chosen_in_turn(choices: Sequence[Choose], known: Choosing) -> Choosing:
    """Make the choices one after the other, with hyperparameters apart where together fails.

    A hierarchy whose parameters have no mode together, for its density has no bound where a scale
    is zero, may have a good one given the hyperparameters.

    Raises
    ------
    TuningError
        Where a search fails. Of a hierarchy it is not the model's fault: its posterior is proper
        where its density has no bound.
    """
    start = known
    try:
        for choose in choices:
            known = choose(known)
        return known
    except (TuningError, np.linalg.LinAlgError) as error:
        hopeless = isinstance(error, TuningError) and error.model_at_fault and not error.unbounded
        together = known.parts.prepared is None and known.hyperparameters == "auto"
        if hopeless or not (together and hyperparameters_of(known.parts.row_model)):
            raise
        failure = error
    if known.near:  # they could be drawn apart, but did not have to be
        clause = "of all parameters together no mode was found, so that they are not moved together"
        known = replace(start, hyperparameters="gibbs", also=(*start.also, clause))
        try:
            for choose in choices:
                known = choose(known)
            return known
        except (TuningError, ValueError, np.linalg.LinAlgError):
            pass
    if isinstance(failure, TuningError):
        raise TuningError(str(failure)) from None
    raise failure


def hyperparameters_apart(known: Choosing) -> Choosing:
    """Draw hyperparameters given the rest, where that pays; then no more is to be chosen."""
    parts, asked = known.parts, known.hyperparameters
    check_before_search(known.model, parts.row_model, parts.block_function)
    doing("looking for where hyperparameters are")
    split, mode = in_two_blocks(parts, known.labels, known.generator, asked)
    if split is None:
        return replace(known, initial=mode, doubtful=moved_with_too_many(parts, asked))
    parts, requirement = split_rows(split, known.chooses_batch_size, known.generator)
    return replace(
        known,
        parts=parts,
        requirement=requirement,
        other_mode=split.other_mode,
        in_words=split.in_words(),
    )


def where_to_start(known: Choosing) -> Choosing:
    """Move the initial point a little, as PyMC does at the start of a chain.

    Where the posterior's mean is known from a search with hyperparameters apart, start there.
    """
    parts, initial = known.parts, known.initial
    if parts.prepared is not None:
        return known
    near, dtype = initial is not None, parts.block_function.dtype
    if initial is None:
        initial = parts.row_model.ravel(known.model.initial_point())
    initial = start = initial.astype(dtype)
    if not near:
        start, _ = jittered(
            parts.block_function, initial, known.generator, transformed=parts.settings.transformed
        )
    temperature = first_temperature(parts.settings, 0, 1)
    return replace(known, initial=initial, start=start, temperature=temperature, near=near)


def without_matrices(known: Choosing) -> Choosing:
    """Choose all by the ends of the spectrum, where no matrix of the parameters can be made."""
    parts, start = known.parts, known.start
    if parts.prepared is not None or start is None or len(start) <= LARGEST_MEASURED:
        return known
    doing("looking for a mode of many parameters and the curvature there")
    problem = problem_of(parts.settings, parts.block_function, parts.batches, known.labels)
    tuned = tune_by_products(problem, start, known.temperature, known.generator)
    parts, requirement = rows_by_ends(parts, tuned, known.chooses_batch_size, known.temperature)
    rank = tuned.metric.directions.shape[1]  # type: ignore[attr-defined]
    clause = (
        f"of {len(tuned.mode):,} parameters, {rank} directions have a scale of their own; other "
        "modes were not looked for, nor whether the posterior is proper"
    )
    also = tuple(filter(None, (*known.also, clause, tuned.steep.in_words(known.labels))))
    return replace(known, parts=parts, requirement=requirement, also=also)


def mode(known: Choosing) -> Choosing:
    """Find the mode, its curvature, and the noise that the estimator leaves there."""
    parts = known.parts
    if parts.prepared is not None:
        return known
    function, generator = parts.block_function, known.generator
    problem = problem_of(parts.settings, function, parts.batches, known.labels)
    assert known.start is not None
    laplace = find_laplace(function, known.start, generator, near=known.near)
    if laplace.scores is not None:
        seen = np.diag(laplace.scores.together)
        check_unseen_scales(known.model, parts.row_model, np.asarray(seen, dtype=bool))
    check_mode(function, laplace, generator, known.labels)
    doing("measuring the noise of rows")
    gaussian = problem.noise_left(laplace.position, laplace.gaussian, known.temperature, generator)
    steep = problem.steep_slopes(laplace)
    return replace(known, laplace=laplace, gaussian=gaussian, steep=steep)


def rows(known: Choosing) -> Choosing:
    """Choose which rows a batch takes, and how many."""
    parts, laplace, gaussian = known.parts, known.laplace, known.gaussian
    if parts.prepared is not None:
        return known
    assert laplace is not None and gaussian is not None
    problem = problem_of(parts.settings, parts.block_function, parts.batches, known.labels)
    metric, _ = Warmup(problem).metric_at(laplace.position, gaussian, known.temperature)
    scale = np.sqrt(np.diag(laplace.covariance))
    parts, gaussian, requirement = choose_rows(
        parts, gaussian, metric.matrix(), scale, known.temperature
    )
    if known.chooses_batch_size:
        parts = parts._replace(batch_sizes=requirement.batch_sizes)
    return replace(known, parts=parts, gaussian=gaussian, requirement=requirement)


def whole_gradient(known: Choosing) -> Choosing:
    """Take the gradient of all rows where a batch would be all of them."""
    parts = known.parts
    if parts.prepared is not None or not _whole(parts):
        return known
    kernel = parts.settings.kernel._replace(estimator=ESTIMATORS["full"])
    return replace(known, parts=parts._replace(settings=replace(parts.settings, kernel=kernel)))


def steps_per_draw(known: Choosing) -> Choosing:
    """Choose the steps between two draws, if the user left them out."""
    parts = known.parts
    if parts.prepared is not None or parts.settings.steps_per_draw is not None:
        return known
    steps = ceil(steps_in_whitened_coordinates(_whole(parts)) / known.steep.step_factor)
    settings = replace(parts.settings, steps_per_draw=steps)
    return replace(known, parts=parts._replace(settings=settings))


def tuned_at_the_mode(known: Choosing) -> Choosing:
    """Work out metric, step size and noise for these parts, and look for another mode."""
    parts, laplace, gaussian = known.parts, known.laplace, known.gaussian
    if parts.prepared is not None:
        return known
    assert laplace is not None and gaussian is not None and known.initial is not None
    function = parts.block_function
    warmup = Warmup(problem_of(parts.settings, function, parts.batches))
    tuned = warmup.at(laplace, gaussian, known.temperature, known.steep)
    doing("looking for other modes")
    far, also = 0.0, known.also
    if near_an_end := tuned.steep.in_words(known.labels):
        also = (*also, near_an_end)
    try:
        far, passes = other_mode(
            function, known.initial, tuned, known.generator, parts.settings.transformed
        )
        tuned = replace(tuned, data_passes=tuned.data_passes + passes)
    except TooManyPasses:
        also = (*also, CUT_OFF)
    return replace(known, parts=parts._replace(prepared=tuned), other_mode=far, also=also)


def _whole(parts: Parts) -> bool:
    return list(parts.block_function.total_sizes) == parts.batch_sizes


STANDARD_CHOICES: tuple[Choose, ...] = (
    hyperparameters_apart,
    where_to_start,
    without_matrices,
    mode,
    rows,
    whole_gradient,
    steps_per_draw,
    tuned_at_the_mode,
)
