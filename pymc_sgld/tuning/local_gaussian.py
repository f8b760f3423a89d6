"""The posterior near a point as a Gaussian, and the noise of a batch's gradient there."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.kinked_priors import over_the_width
from pymc_sgld.tuning.large_matrices import MANY, is_above
from pymc_sgld.tuning.mode_search import (
    sample_rows,
    share_of,
    unit_information_scales,
)
from pymc_sgld.tuning.proof import on_all_rows_proven
from pymc_sgld.tuning.remaining_noise import UnevenRows
from pymc_sgld.tuning.rough_coordinates import LARGEST_MATRIX, bends_otherwise, rough_coordinates
from pymc_sgld.tuning.row_curvature import EVALUATIONS, is_hessian, low_rank_hessian
from pymc_sgld.tuning.row_sample import ROWS_OF_A_SAMPLE, WIDE_DIFFERENCES, RowSample
from pymc_sgld.tuning.row_scores import gram, lean, pattern, pieces
from pymc_sgld.tuning.row_sizes import sizes_in_two_looks
from pymc_sgld.tuning.sparse_hessian import agrees, coloured, minus_hessian
from pymc_sgld.tuning.trust_region import rough_factor
from pymc_sgld.types import Array

# Beyond this many parameters second derivatives by differences are too dear.
_LARGEST_HESSIAN = 5000
_MOST_PASSES_OF_DIFFERENCES = 50  # else the rows' own curvature is tried first
_FEWEST_SEEN = 20  # sampled rows with a gradient in a parameter; else all rows are looked at
# Beyond ``LARGEST_MATRIX`` parameters: most of them are in few rows each, of a random sample too.
_ROWS_OF_MANY = 200_000
_ROWS_FOR_ROWS = 200_000  # of a random sample, where the rows' own curvature is measured
_DIFFERENCE = 1e-3  # of a rough posterior sd
_LEAST_SCORES = 2000
_POINTS_BETWEEN = 4
_FLATTEST = 1e-6  # of the curvatures of a typical precision, over the largest
_SMALLEST_RELATIVE_EIGENVALUE = 1e-9
_FLAT = 1e-8  # relative eigenvalue


class LocalGaussian(NamedTuple):
    """Second-order picture of a model at a point."""

    precision: Array  # (n_dim, n_dim), minus the Hessian; where not positive, from the scores
    row_noise: Array  # (n_groups, n_dim, n_dim), covariance of the scores of single rows
    data_passes: float
    common_noise: Array | None = None  # (n_dim, n_dim), beside that of the rows, of each batch
    flat: Array | None = None  # (n_dim,), a direction in which there is no curvature
    uneven: UnevenRows | None = None  # where some rows have much of the noise
    kinked: bool = False  # whether the gradients of rows jump
    noise_error: float = 0.0  # relative standard error of the row noise
    widths: Array | None = None  # (n_dim,), over which the prior's curvature was taken; 0: none
    sizes: tuple[Array | None, ...] = ()  # how much each row of a group matters, where known
    stiffest: float = 1.0  # largest curvature of all rows over that of the precision, by its proof

    def gradient_noise(
        self, total_sizes: Array, batch_sizes: Array, *, with_replacement: bool = False
    ) -> Array:
        r"""Return the covariance of the minibatch gradient, shape (n_dim, n_dim).

        .. math:: V = \sum_k \frac{N_k^2}{n_k} \frac{N_k - n_k}{N_k - 1} S_k

        for batches of distinct rows; with replacement the last factor is 1. Zero where a batch is
        all rows.
        """
        by_group = self.noise_by_group(total_sizes, batch_sizes, with_replacement=with_replacement)
        noise = np.asarray(by_group.sum(axis=0))
        if self.common_noise is not None and (np.asarray(batch_sizes) < total_sizes).any():
            noise = noise + self.common_noise
        return noise

    def noise_by_group(
        self, total_sizes: Array, batch_sizes: Array, *, with_replacement: bool = False
    ) -> Array:
        """Return what the rows of each group add to it, shape (n_groups, n_dim, n_dim)."""
        total, batch = np.asarray(total_sizes, float), np.asarray(batch_sizes, float)
        left = (total - batch) / np.maximum(total - 1, 1)
        if with_replacement:
            left = np.where(batch < total, 1.0, 0.0)
        factors = total**2 / batch * left
        return np.asarray(factors[:, None, None] * self.row_noise)


class Scores(NamedTuple):
    """What the gradients of single rows say at a point."""

    noise: Array  # (n_groups, n_dim, n_dim), their covariance by group
    information: Array  # (n_dim, n_dim), summed over all rows
    together: Array  # (n_dim, n_dim), which parameters have a row in common
    # how much each row of a group matters, where some parameters are in few rows
    sizes: tuple[Array | None, ...]
    data_passes: float


def local_gaussian(
    block_function: BlockFunction,
    position: Array,
    generator: np.random.Generator,
    scores: Scores | None = None,
) -> LocalGaussian:
    """Measure curvature and gradient noise at a position, on samples of the rows.

    Parameters
    ----------
    block_function : BlockFunction
    position : array, shape (n_dim,)
        The mode, or where the chain is.
    generator : numpy.random.Generator
        Chooses the samples.
    scores : Scores, optional
        Where they are known, from near by.
    """
    n_dim, passes = len(position), 0.0
    if scores is None:
        scores = look_at_scores(block_function, position, generator)
        passes += scores.data_passes
    # where there is no usable Hessian: information of the scores, and of a standard normal prior
    precision, flat, widths = scores.information + np.eye(n_dim), None, None
    kinked, stiffest = False, 1.0
    if n_dim <= _LARGEST_HESSIAN:
        scales = unit_information_scales(block_function, position, generator)
        kinked = bends_otherwise(
            block_function,
            position,
            rough_coordinates(block_function, position, scores.information),
        )
        of_rows, evaluated = _of_rows(block_function, position, scores, scales, kinked, generator)
        of_prior, widths = _of_prior(block_function, position, scales, of_rows)
        hessian = of_rows + of_prior
        passes += evaluated
        flat = _flat_direction(hessian)
        if flat is None and not _safely_positive(hessian):
            hessian, evaluated = _whitened(
                block_function, position, of_prior, hessian, scores, generator
            )
            passes += evaluated
        if _safely_positive(hessian):
            precision, stiffest, evaluated = on_all_rows_proven(
                block_function, position, hessian, of_prior, generator
            )
            passes += evaluated
    return LocalGaussian(
        precision,
        scores.noise,
        passes,
        flat=flat,
        widths=widths,
        kinked=kinked,
        sizes=scores.sizes,
        stiffest=stiffest,
    )


def typical_precision(
    block_function: BlockFunction, first: Array, last: Array, generator: np.random.Generator
) -> tuple[Array, float]:
    r"""Return the size of the curvature on the way between two points, and data passes.

    .. math:: P = \Bigl(\frac{1}{K} \sum_k H_k^2\Bigr)^{1/2}

    with the Hessians at K points of the segment. It is positive where a log-density has several
    modes and no Hessian alone would do, and the precision where it is Gaussian.

    Parameters
    ----------
    block_function : BlockFunction
    first, last : array, shape (n_dim,)
    generator : numpy.random.Generator
        Chooses samples of the rows.

    Returns
    -------
    precision : array, shape (n_dim, n_dim)
        Not finite where no Hessian is.
    data_passes : float
    """
    rows = sample_rows(block_function, ROWS_OF_A_SAMPLE, generator)
    squares, passes = [], 0.0

    def gradient(at: Array) -> Array:
        return block_function.batch(at, rows)[1]

    for share in np.linspace(0, 1, _POINTS_BETWEEN):
        position = (first + share * (last - first)).astype(first.dtype)
        scales = unit_information_scales(block_function, position, generator)
        hessian = _differences(gradient, position, scales)
        passes += 2 * len(first) * share_of(block_function, rows)
        if np.isfinite(hessian).all():
            squares.append(hessian @ hessian)
    if not squares:
        return np.full((len(first), len(first)), np.nan), passes
    values, vectors = np.linalg.eigh(np.mean(squares, axis=0))
    sizes = np.sqrt(np.maximum(values, 0))
    # a flat direction moves a thousand times as far as the stiffest, at most
    sizes = np.maximum(sizes, max(_FLATTEST * sizes[-1], _FLATTEST))
    return vectors @ np.diag(sizes) @ vectors.T, passes


class _Seen(NamedTuple):
    """What the scores of some rows of one group say."""

    square: Array  # (n_dim, n_dim), sum over rows of the outer products
    total: Array  # (n_dim,), sum over rows
    counts: Array  # (n_dim,), rows looked at with a score other than zero
    together: Array  # (n_dim, n_dim), which parameters have a row in common
    n_rows: int  # that the sums stand for
    n_seen: int

    @property
    def covariance(self) -> Array:
        """Of the scores."""
        mean = self.total / self.n_rows
        return np.asarray(self.square / self.n_rows - np.outer(mean, mean))

    @property
    def information(self) -> Array:
        """Of all rows."""
        return self.n_rows * self.covariance


def look_at_scores(
    block_function: BlockFunction, position: Array, generator: np.random.Generator
) -> Scores:
    """Look at the gradients of a sample of the rows; where parameters are in few, at all of these.

    Parameters
    ----------
    block_function : BlockFunction
    position : array, shape (n_dim,)
    generator : numpy.random.Generator
        Chooses the sample.
    """
    n_dim, totals = len(position), block_function.total_sizes
    rows = sample_rows(block_function, max(_LEAST_SCORES, 20 * n_dim), generator)
    pairs = zip(rows, block_function.weights(rows), strict=True)
    seen = [
        _seen(block_function, position, group, [(some, weight)])
        for group, (some, weight) in enumerate(pairs)
    ]
    passes, of_all = (share_of(block_function, rows) if rows else 0.0), sum(totals)
    # such as a rare level: a sample that misses it says nothing of it
    rare = [
        group
        for group, (n, one) in enumerate(zip(totals, seen, strict=True))
        if n > ROWS_OF_A_SAMPLE or (one.n_seen < n and (one.counts < _FEWEST_SEEN).any())
    ]
    sizes: list[Array | None] = [None] * len(rows)
    if rare:
        most = ROWS_OF_A_SAMPLE if n_dim <= LARGEST_MATRIX else _ROWS_OF_MANY
        information = np.sum([one.information for one in seen], axis=0)
        factor = rough_coordinates(block_function, position, information)
        large = [group for group in rare if totals[group] > ROWS_OF_A_SAMPLE]
        for group in large:
            sizes[group], looked = sizes_in_two_looks(
                block_function, position, factor, group, generator
            )
            passes += looked * totals[group] / of_all
        sample = RowSample(block_function, most, generator, sizes)
        for group in rare:
            seen[group] = _seen(block_function, position, group, sample.by_group[group])
            passes += seen[group].n_seen / of_all
    together = np.zeros((n_dim, n_dim), dtype=bool)
    for one in seen:
        together |= one.together
    noise = np.array([one.covariance for one in seen]).reshape(-1, n_dim, n_dim)
    information = sum((one.information for one in seen), start=np.zeros((n_dim, n_dim)))
    return Scores(noise, information, together, tuple(sizes), passes)


def _seen(
    block_function: BlockFunction,
    position: Array,
    group: int,
    strata: list[tuple[Array, float]],
) -> _Seen:
    """Look at rows of a group, each stratum with the factor that its sums are multiplied by."""
    n_dim, n_seen = len(position), 0
    square, total, counts = np.zeros((n_dim, n_dim)), np.zeros(n_dim), np.zeros(n_dim)
    together = np.zeros((n_dim, n_dim), dtype=bool)
    for rows, weight in strata:
        n_seen, sparse = n_seen + len(rows), []
        for some in pieces(rows, n_dim):
            scores = lean(block_function.row_gradients(position, group, some))
            total += weight * scores.sum(axis=0)
            counts += (scores != 0).sum(axis=0)
            if n_dim > MANY and not isinstance(scores, np.ndarray):
                sparse.append(scores)  # so that their products are added as they are
                continue
            square += weight * gram(scores)
            together |= pattern(scores)
        if sparse:
            every = scipy.sparse.vstack(sparse, format="csr")
            square, together = square + weight * gram(every), together | pattern(every)
    n_rows = block_function.total_sizes[group]
    return _Seen(square, total, counts, together, n_rows, n_seen)


def _whitened(
    block_function: BlockFunction,
    position: Array,
    of_prior: Array,
    otherwise: Array,
    scores: Scores,
    generator: np.random.Generator,
) -> tuple[Array, float]:
    """Return minus the Hessian by differences in coordinates of unit information, and passes.

    Where raw columns are almost collinear, differences along the parameters lose the curvature of
    the direction that they leave open to rounding. ``otherwise``: what is returned where that fails
    too.
    """
    n_dim = len(position)
    if not block_function.total_sizes:
        return otherwise, 0.0
    most = min(ROWS_OF_A_SAMPLE, max(_LEAST_SCORES, 20 * n_dim))
    sample = RowSample(block_function, most, generator, scores.sizes)
    factor = rough_factor(block_function, position, scores.information)
    step, columns = WIDE_DIFFERENCES[np.dtype(block_function.dtype).name], []
    for way in step * factor.T:
        behind, ahead = (
            sample.gradient((position + s * way).astype(position.dtype)) for s in (-1, 1)
        )
        columns.append(factor.T @ (np.asarray(behind, float) - ahead) / (2 * step))
    inner = (np.array(columns) + np.transpose(columns)) / 2 + factor.T @ of_prior @ factor
    if not np.isfinite(inner).all() or np.linalg.eigvalsh(inner)[0] <= _FLATTEST:
        return otherwise, 2 * n_dim * sample.share
    back = np.linalg.inv(factor)
    return np.asarray(back.T @ inner @ back), 2 * n_dim * sample.share


def _of_rows(
    block_function: BlockFunction,
    position: Array,
    known: Scores,
    scales: Array,
    kinked: bool,
    generator: np.random.Generator,
) -> tuple[Array, float]:
    """Return minus the Hessian of the log-likelihood, and the passes it took.

    By central differences of the gradient; by few, where most parameters have no row in common.
    Where they would take many passes, from two directions a row first, which is kept if it proves
    right.
    """
    n_dim = len(position)
    sample = RowSample(block_function, ROWS_OF_A_SAMPLE, generator, known.sizes)
    if kinked:
        wide = scales / _DIFFERENCE
        return _differences(sample.gradient, position, wide), 2 * n_dim * sample.share
    many = sample
    if n_dim > LARGEST_MATRIX:
        many = RowSample(block_function, _ROWS_OF_MANY, generator, known.sizes)
    of_few, passes = _from_few(many, position, known, scales, generator)
    if of_few is not None:
        return of_few, passes
    dear = 2 * n_dim * sample.share
    if block_function.total_sizes and dear > _MOST_PASSES_OF_DIFFERENCES:
        most = _ROWS_FOR_ROWS if dear > 100 else ROWS_OF_A_SAMPLE
        everything = sample_rows(block_function, most, generator)
        own = low_rank_hessian(block_function, position, everything, scales, generator)
        passes += (EVALUATIONS + 2) * share_of(block_function, everything)
        whole = own + _of_prior(block_function, position, scales, own)[0]
        if _safely_positive(whole):
            factor = np.linalg.cholesky(np.linalg.inv(whole))
            if is_hessian(own, block_function, position, everything, factor, generator):
                return own, passes
    return _differences(sample.gradient, position, scales), passes + dear


def _from_few(
    sample: RowSample,
    position: Array,
    known: Scores,
    scales: Array,
    generator: np.random.Generator,
) -> tuple[Array | None, float]:
    """Return minus the Hessian of rows from few differences, or None, and the passes it took."""
    of_use = int(_MOST_PASSES_OF_DIFFERENCES / (2 * sample.share))
    colouring = coloured(known.together, of_use)
    passes = 2 * (colouring.n_products + 1) * sample.share
    if colouring.n_products == len(position) or passes > _MOST_PASSES_OF_DIFFERENCES:
        return None, 0.0
    sizes = _DIFFERENCE * scales
    found = minus_hessian(sample.gradient, position, sizes, colouring)
    if not agrees(found, sample.gradient, position, sizes, generator):
        return None, passes
    return found, passes


def _of_prior(
    block_function: BlockFunction, position: Array, scales: Array, of_rows: Array
) -> tuple[Array, Array]:
    """Return minus the Hessian of the log-prior, and the widths it was taken over, 0: a point."""
    local = _differences(lambda at: block_function.prior(at)[1], position, scales)
    steps = _DIFFERENCE * scales
    return over_the_width(block_function.prior, position, steps, local, of_rows)


def _differences(gradient: Callable[[Array], Array], position: Array, scales: Array) -> Array:
    """Return minus the matrix of central differences of a gradient, made symmetric."""
    step = _DIFFERENCE * scales
    columns = []
    for number in range(len(position)):
        ahead, behind = position.copy(), position.copy()
        ahead[number] += step[number]
        behind[number] -= step[number]
        apart = float(ahead[number]) - float(behind[number])
        difference = np.asarray(gradient(behind), dtype=float) - gradient(ahead)
        # a step that is lost to rounding tells nothing: no number, and the search goes on without
        columns.append(difference / apart if apart else np.full(len(position), np.nan))
    hessian = np.array(columns)
    return np.asarray((hessian + hessian.T) / 2)


def _safely_positive(matrix: Array) -> bool:
    """Whether a matrix is positive definite, by more than the error of its differences."""
    diagonal = np.diag(matrix)
    if not np.isfinite(matrix).all() or (diagonal <= 0).any():
        return False
    # in units of its own diagonal, so that badly scaled parameters do not count as singular
    scale = 1 / np.sqrt(diagonal)
    scaled = matrix * np.outer(scale, scale)
    if is_above(scaled, _SMALLEST_RELATIVE_EIGENVALUE):
        return True
    eigenvalues = np.linalg.eigvalsh(scaled)
    return bool(eigenvalues[0] > _SMALLEST_RELATIVE_EIGENVALUE * eigenvalues[-1])


def _flat_direction(hessian: Array) -> Array | None:
    """Return a direction in which there is no curvature at all, within the differences' error."""
    diagonal = np.diag(hessian)
    if not np.isfinite(hessian).all() or (diagonal < 0).any():
        return None
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = hessian * np.outer(scale, scale)
    if is_above(scaled, _FLAT):
        return None
    eigenvalues, vectors = np.linalg.eigh(scaled)
    flattest = int(np.argmin(np.abs(eigenvalues)))
    if np.abs(eigenvalues[flattest]) > _FLAT * eigenvalues[-1]:
        return None
    direction = vectors[:, flattest] * scale
    return np.asarray(direction / np.abs(direction).max())
