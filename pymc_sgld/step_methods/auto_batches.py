"""Which rows a step reads and how many, by the noise that they leave."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pymc_sgld.chain.parts import Parts, by_table
from pymc_sgld.gradient_estimators import ESTIMATORS
from pymc_sgld.model_graph import with_row_weights
from pymc_sgld.row_sources import Weighted
from pymc_sgld.tuning import (
    LawByEnds,
    LinearLaw,
    LocalGaussian,
    Tuned,
    fewest_rows,
    largest_eigenvector,
    smallest_batch,
    upper_end,
)
from pymc_sgld.types import Array

_FEWER = 2  # times as many uniform rows as weighted ones, for these to be taken


class BatchRequirement(NamedTuple):
    """What a batch needs for ``target_bias``."""

    batch_sizes: list[int]
    row_noise: float  # of one row, in posterior sds, at most
    direction: Array  # (n_dim,), where it is largest


def choose_rows(
    parts: Parts, gaussian: LocalGaussian, factor: Array, scale: Array, temperature: float
) -> tuple[Parts, LocalGaussian, BatchRequirement]:
    """Let rows with much of the noise come more often, where that saves half of the rows.

    Parameters
    ----------
    parts : Parts
    gaussian : LocalGaussian
        Has the noise that the estimator of the gradient leaves.
    factor : array, shape (n_dim, n_dim)
        From the coordinates to parameters.
    scale : array, shape (n_dim,)
        Posterior sds of these parameters.
    temperature : float
    """
    requirement = _requirement(parts, gaussian, factor, scale, temperature)
    if gaussian.uneven is None or parts.scheme.name != "independent":
        return parts, gaussian, requirement
    left = gaussian._replace(row_noise=gaussian.uneven.row_noise, noise_error=gaussian.uneven.error)
    fewer = _requirement(parts, left, factor, scale, temperature, with_replacement=True)
    if _FEWER * sum(fewer.batch_sizes) > sum(requirement.batch_sizes):
        return parts, gaussian, requirement
    weighted = parts._replace(
        row_model=with_row_weights(parts.row_model),
        scheme=Weighted(gaussian.uneven.probabilities),
    )
    return weighted, left, fewer


def rows_by_ends(
    parts: Parts, tuned: Tuned, chooses_batch_size: bool, temperature: float
) -> tuple[Parts, BatchRequirement]:
    """Choose the rows of a batch where only the ends of the noise's spectrum are known.

    Parameters
    ----------
    parts : Parts
    tuned : Tuned
        Made with batches as ``parts`` has them.
    chooses_batch_size : bool
        Whether the user left it out.
    temperature : float

    Returns
    -------
    parts : Parts
        Prepared.
    requirement : BatchRequirement
    """
    settings, total_sizes = parts.settings, parts.block_function.total_sizes
    predicted_law, by_coordinate = tuned.predicted_law, tuned.gradient_noise
    assert isinstance(predicted_law, LawByEnds) and by_coordinate is not None
    measured = sum(parts.batch_sizes)
    row_noise = predicted_law.noise_eigenvalue * measured

    law = predicted_law.law

    def fewest(noise: float, cost: int) -> list[int]:
        return fewest_rows(
            law,
            lambda n_rows: noise / n_rows,
            total_sizes,
            target_bias=settings.target_bias,
            temperature=temperature,
            cost=cost,
        )

    needed = fewest(row_noise, by_table(parts).settings.kernel.estimator.gradients_per_batch)
    uneven = tuned.uneven
    if uneven is not None and parts.scheme.name == "independent":
        noise = uneven.by_size.largest
        fewer = fewest(noise, settings.kernel.estimator.gradients_per_batch)
        if _FEWER * sum(fewer) <= sum(needed):
            needed, row_noise = fewer, noise
            predicted_law = replace(predicted_law, noise_eigenvalue=noise / measured)
            by_coordinate = (uneven.by_size.by_coordinate / measured).astype(by_coordinate.dtype)
            parts = parts._replace(
                row_model=with_row_weights(parts.row_model),
                scheme=Weighted(uneven.probabilities),
            )
    if chooses_batch_size:
        parts = parts._replace(batch_sizes=needed)
    noisier = measured / sum(parts.batch_sizes)
    if list(total_sizes) == parts.batch_sizes:
        noisier = 0.0
        kernel = settings.kernel._replace(estimator=ESTIMATORS["full"])
        parts = parts._replace(settings=replace(settings, kernel=kernel))
        tuned = replace(tuned, estimator_parameters=())
    tuned = replace(
        tuned,
        uneven=None,
        predicted_law=replace(
            predicted_law, noise_eigenvalue=noisier * predicted_law.noise_eigenvalue
        ),
        gradient_noise=by_coordinate * by_coordinate.dtype.type(noisier),
    )
    return parts._replace(prepared=tuned), BatchRequirement(needed, row_noise, by_coordinate)


def _requirement(
    parts: Parts,
    gaussian: LocalGaussian,
    factor: Array,
    scale: Array,
    temperature: float,
    with_replacement: bool = False,
) -> BatchRequirement:
    """Return the rows a batch needs, the noise of one row, and where it is largest."""
    settings, totals = parts.settings, parts.block_function.total_sizes
    # rows of which some come more often are drawn one by one: their blocks have no table
    estimator = (parts if with_replacement else by_table(parts)).settings.kernel.estimator
    batch_sizes = smallest_batch(
        LinearLaw(settings.kernel.rule),
        gaussian,
        factor,
        totals,
        target_bias=settings.target_bias,
        temperature=temperature,
        cost=estimator.gradients_per_batch,
        with_replacement=with_replacement or parts.scheme.with_replacement,
    )
    squares = np.asarray(totals, float) ** 2
    one_row = np.einsum("k,kij->ij", squares, gaussian.row_noise)
    value, vector = largest_eigenvector(factor, one_row)
    return BatchRequirement(
        batch_sizes, upper_end(gaussian) * value, np.abs(factor @ vector) / scale
    )
