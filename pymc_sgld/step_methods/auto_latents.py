"""Latents of rows, integrated out: with how many nodes, and what that leaves of an error."""

import logging

from typing import Any, NamedTuple

import numpy as np
import pymc as pm

from pytensor.compile.sharedvalue import SharedVariable

from pymc_sgld import records
from pymc_sgld.model_graph import RowError, read_rows
from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.model_graph.latents.number_of_nodes import (
    LADDER,
    LARGEST_SHIFT,
    Shift,
    ShiftOfMeans,
)
from pymc_sgld.model_graph.latents.quadrature_rules import QuadratureRule
from pymc_sgld.model_graph.latents.row_latents import MOST_LATENTS, RowLatents, row_latents
from pymc_sgld.model_graph.latents.unseen import hardly_told, refuse_flat_likelihood
from pymc_sgld.step_methods.auto_nuts import Reading, read_for_auto
from pymc_sgld.step_methods.joint_latents import Joint, joint_model
from pymc_sgld.tuning import find_laplace
from pymc_sgld.types import Array
from pymc_sgld.validate import check_arguments, check_one_of

_log = logging.getLogger("pymc.sgld")

WAYS = ("auto", "quadrature", "joint")
_TO_SEARCH = 9
# Numbers of all rows at all nodes beyond which the search for a mode is compiled.
_MOST_BY_NUMPY = 1_000_000
_PYTHON = "FAST_COMPILE"
_ROUNDS = 3  # of a mode of what rows share, and the modes of the latents there
_ROUND_OVER = 0.1  # posterior standard deviations from one to the next


class WithoutLatents(NamedTuple):
    """A model to be sampled, and what is known of it already.

    Attributes
    ----------
    model : pm.Model
    attributes : dict
        Of the posterior: what was integrated out.
    reading : Reading or None
        For "auto", where latents were integrated out since minibatches are taken.
    joint : Joint or None
        Where latents are kept.
    """

    model: pm.Model
    attributes: dict[str, Any] = {}  # noqa: RUF012, nobody writes into it
    reading: Reading | None = None
    joint: Joint | None = None


class IntegratedModel(NamedTuple):
    """A model without the latents of its rows, and how well they were integrated out."""

    model: pm.Model
    taken: RowLatents
    nodes: int
    shift: Shift
    reading: Reading | None = None  # for "auto", where it was to choose

    def in_words(self) -> str:
        """Return what was integrated out, and the error that is left."""
        names, n_rows, several = self.taken.latents, self.taken.n_rows, self.taken.n_latents > 1
        each = f"{self.taken.n_latents} for each of {n_rows:,} rows" if several else "one per row"
        number = n_rows * self.taken.n_latents
        return (
            f"{', '.join(names)} ({number:,} values, {each}) {'are' if several else 'is'} "
            f"integrated out by quadrature with {self.nodes} nodes"
            f"{' an axis' if several else ''}; error of posterior means "
            f"{self.shift.bound:.2g} sd or less"
        )


def without_latents(
    model: pm.Model,
    latents: Any,
    rows: Any,
    nuts_draws: int,
    random_seed: Any,
    mode: Any,
) -> WithoutLatents:
    """Integrate latents of rows out where that is wanted and needed; say in words what was done.

    The arguments are those of :func:`integrated_where_wanted`.
    """
    if latents is not False:
        check_one_of("latents", latents, WAYS, hint="or False")
    if latents == "joint":
        return _kept(joint_model(model, rows))
    integrated = integrated_where_wanted(model, latents, rows, random_seed, mode, nuts_draws)
    if integrated is None:
        joint = _joint_where_needed(model, latents, rows, nuts_draws)
        return WithoutLatents(model) if joint is None else _kept(joint)
    words = integrated.in_words()
    _log.info(words)
    known = {records.INTEGRATED: words, records.NODES: integrated.nodes}
    return WithoutLatents(integrated.model, known, integrated.reading)


def _kept(joint: Joint) -> WithoutLatents:
    """Return a model whose latents are kept, and say so."""
    words = joint.in_words()
    _log.info(words)
    return WithoutLatents(joint.row_model.model, {records.LATENTS_KEPT: words}, joint=joint)


def _joint_where_needed(model: pm.Model, latents: Any, rows: Any, nuts_draws: int) -> Joint | None:
    """Return the model with its latents kept, where "auto" finds too many of a row to integrate.

    None where NUTS may be taken: that is quicker, if it is possible.
    """
    if latents != "auto" or nuts_draws or not _may_have_latents(model):
        return None
    try:
        joint = joint_model(model, rows)
    except RowError:
        return None  # `row_model` says what it cannot take
    return joint if joint.row_model.start.shape[1] > MOST_LATENTS else None


def integrated_where_wanted(
    model: pm.Model,
    latents: Any,
    rows: Any,
    random_seed: Any,
    mode: Any,
    nuts_draws: int,
) -> IntegratedModel | None:
    """Integrate latents of rows out, or return None where that is not wanted or not needed.

    Parameters
    ----------
    model : pm.Model
    latents : {"auto", "quadrature", False}
    rows
        As for `row_model`.
    mode : str or pytensor Mode, optional
    random_seed : int, sequence of int or numpy.random.Generator, optional
    nuts_draws : int
        Of a chain of NUTS, where that may be taken; else 0.

    Raises
    ------
    RowError
        Where quadrature is wanted, or needed by a sampler that was named, and not possible.
    """
    if latents is False or (latents == "auto" and not _may_have_latents(model)):
        return None
    may_be_nuts = bool(nuts_draws) and latents == "auto"
    try:
        taken = row_latents(model, rows=rows)
    except RowError:
        if latents == "auto":
            return None  # `row_model` says what it cannot take
        raise
    reading = None
    if may_be_nuts:
        marginal = taken.marginal_model(QuadratureRule.gauss_hermite(_TO_SEARCH, taken.n_latents))
        reading = read_for_auto(marginal, draws=nuts_draws, tune=None)
        if reading.why_nuts:
            _log.info(
                f"{', '.join(taken.latents)} not integrated out, but drawn by NUTS with all else; "
                f"without latents NUTS would be taken, too: {reading.why_nuts}"
            )
            return None
    seed = random_seed
    if isinstance(seed, np.random.Generator):
        [seed] = seed.spawn(1)
    try:
        done = integrate_latents(taken, np.random.default_rng(seed), mode)
    except RowError as error:
        if not may_be_nuts:
            raise
        _log.warning(f"Latents of rows are not integrated out. {error}")
        return None
    if reading is None:
        return done
    # what NUTS costs hardly depends on the number of nodes: it is not measured again
    own = reading._replace(row_model=read_rows(done.model, allow_no_rows=True))
    return done._replace(reading=own)


def _may_have_latents(model: pm.Model) -> bool:
    """Return whether a free variable is as long as an observed one, along any axes."""
    lengths: set[int | None] = set()
    for observed in model.observed_RVs:
        value = model.rvs_to_values[observed]
        shared = isinstance(value, SharedVariable)
        lengths |= set(value.get_value(borrow=True).shape if shared else value.type.shape)
    return any(not lengths.isdisjoint(shape) for shape in model.eval_rv_shapes().values())


def integrate_latents(
    taken: RowLatents, generator: np.random.Generator, mode: Any = None
) -> IntegratedModel:
    """Integrate the latents of rows out, with as many nodes as the number of rows asks for.

    See :class:`pymc_sgld.model_graph.latents.number_of_nodes.ShiftOfMeans`.

    Parameters
    ----------
    taken : RowLatents
    generator : numpy.random.Generator
        Chooses rows.
    mode : str or pytensor Mode, optional

    Raises
    ------
    RowError
        Where latents of a row have several modes, or no number of nodes is enough.
    """
    refuse_flat_likelihood(taken, taken.shared.initial_point())
    position, covariance, point = _mode_of_shared(taken, generator, mode)
    _refuse_several_modes(taken, point)
    hardly = hardly_told(taken, position, covariance)
    if hardly is not None:
        _log.warning(hardly.in_words(taken))
    shifts = ShiftOfMeans(taken, position[None], covariance, generator)
    for nodes in LADDER:
        shift = shifts.of(nodes)
        if shift.bound < LARGEST_SHIFT:
            rule = QuadratureRule.gauss_hermite(nodes, taken.n_latents)
            return IntegratedModel(taken.marginal_model(rule), taken, nodes, shift)
    raise RowError(
        f"{', '.join(taken.latents)}: quadrature with {LADDER[-1]} nodes leaves posterior means "
        f"off by {shift.largest:.2g} of their standard deviations (allowed: {LARGEST_SHIFT:g}), "
        "since the densities of rows are skew or heavy-tailed in their latents. Where the "
        "integral has a closed form, such as StudentT, NegativeBinomial or BetaBinomial, write "
        "that; else use pm.sample() (NUTS)."
    )


def _mode_of_shared(
    taken: RowLatents, generator: np.random.Generator, mode: Any
) -> tuple[Array, Array, dict[str, Array]]:
    """Return the mode of what rows share, its covariance, and the mode by name.

    The starts are then at the modes of the rows there.
    """
    point = taken.shared.initial_point()
    taken.move_starts(point)
    model = taken.marginal_model(QuadratureRule.gauss_hermite(_TO_SEARCH, taken.n_latents))
    row_model, few = read_rows(model), taken.n_rows * _TO_SEARCH**taken.n_latents < _MOST_BY_NUMPY
    position = row_model.ravel(point)
    covariance = np.eye(len(position))
    for _ in range(_ROUNDS):
        function = row_model.block_function(_PYTHON if few and mode is None else mode)
        laplace = find_laplace(function, position, generator)
        moved = np.linalg.solve(laplace.covariance, laplace.position - position)
        far = float(np.sqrt(max((laplace.position - position) @ moved, 0.0) / len(position)))
        position, covariance = laplace.position, laplace.covariance
        taken.move_starts(row_model.by_name(position))
        if far < _ROUND_OVER:
            break
    return position, covariance, row_model.by_name(position)


def _refuse_several_modes(taken: RowLatents, point: Any) -> None:
    """Refuse latents with modes that the nodes, which are placed at one, do not see."""
    share = float(taken.rows_of_several_modes(point).mean())
    if share:
        raise RowError(
            f"{', '.join(taken.latents)}: in {share:.2%} of the rows the latents have other modes "
            "than the one that quadrature nodes are placed at. Write a mixture of the modes as "
            "pm.Mixture, or use pm.sample() (NUTS)."
        )


def marginal_model(
    model: pm.Model | None = None, *, rows: Any = "auto", random_seed: Any = None
) -> pm.Model:
    r"""Return a model whose variables with an entry per row are integrated out.

    For rows :math:`y_i` with one or two latents :math:`z_i` each,

    .. math:: p(y_i \mid \theta) = \int p(y_i \mid z, \theta) \, p(z \mid \theta) \, dz

    by adaptive Gauss-Hermite quadrature, with as many nodes as leave posterior means of
    :math:`\theta` off by less than .02 standard deviations. The model returned may be sampled by
    any sampler, NUTS too. :func:`pymc_sgld.sample` does this by itself.

    Parameters
    ----------
    model : pm.Model, optional
        The model of the context if not given.
    rows : str or dict, default "auto"
        As for :func:`pymc_sgld.row_model`.
    random_seed : int or numpy.random.Generator, optional
        Chooses the rows that the number of nodes is decided on.

    Returns
    -------
    pm.Model
        With a potential in the place of the observed variables that depend on the latents. What
        was done, and the error that is left, is logged.

    Raises
    ------
    RowError
        Where no variable has an entry per row, or a row has more than two, or several modes of
        them, or no number of nodes is enough.
    """
    check_arguments(random_seed=random_seed)
    taken = row_latents(chosen_model(model), rows=rows)
    integrated = integrate_latents(taken, np.random.default_rng(random_seed))
    _log.info(integrated.in_words())
    return integrated.model
