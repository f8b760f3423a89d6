"""``anneal``: the mode of a model by Langevin dynamics that cools down."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from pymc.util import get_default_varnames
from rich import box
from rich.table import Table
from rich.text import Text

from pymc_sgld import records
from pymc_sgld.model_graph import read_rows
from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.model_graph.row_sized import without_row_sized
from pymc_sgld.printing import Printed
from pymc_sgld.samplers import TestedRule
from pymc_sgld.schedules import as_schedule, geometric_cooling
from pymc_sgld.step_methods import StochasticGradientStep
from pymc_sgld.step_methods.initial_values import check_initvals
from pymc_sgld.step_methods.registry import REGISTRY
from pymc_sgld.tuning import find_mode
from pymc_sgld.types import Array, Point
from pymc_sgld.validate import check_arguments, check_integer, check_one_of

_FIRST, _LAST = 10.0, 1e-3  # temperatures
_SLOPE = 1e-4  # where polishing ends
_KEPT = [records.TEMPERATURE, records.MINIBATCH_LOGP, records.STEP_SIZE]


@dataclass(frozen=True, repr=False)
class Annealing(Printed):
    """What a run of :func:`anneal` found.

    Attributes
    ----------
    best : dict of str to ndarray
        The best point that any chain visited, in the model's own variables.
    logp : float
        Its log-density on all rows, without Jacobians: ``model.logp(jacobian=False)``.
    polished : dict of str to ndarray, or None
        Where L-BFGS climbed to from there; None without ``polish``.
    polished_logp : float
        Its log-density; nan without ``polish``.
    path : xarray.Dataset
        The variables at every draw of every chain, with ``temperature``, ``step_size`` and
        ``logp``, the log-density on all rows.
    """

    best: Point
    logp: float
    polished: Point | None
    polished_logp: float
    path: xr.Dataset

    def __rich__(self) -> Table:
        """Return the points as a table, as ``rich.print`` shows it."""
        table = Table(title="The highest points that were met", box=box.SIMPLE_HEAD)
        points = {"best of the path": self.best} | (
            {"polished": self.polished} if self.polished is not None else {}
        )
        for column in ("", *points):
            table.add_column(column)
        heights = f"{self.logp:.6g}", f"{self.polished_logp:.6g}"
        table.add_row("log-density", *heights[: len(points)])
        for name in self.best:
            values = [np.asarray(point[name]) for point in points.values()]
            shown = [np.array2string(value, precision=4, threshold=6) for value in values]
            table.add_row(Text(name), *map(Text, shown))
        return table


def annealers() -> list[str]:
    """Return the samplers whose law at any temperature is that of the target.

    Those that step on batches without a test, an adaptation or a cycle.
    """
    return [
        name
        for name, step_method in REGISTRY.items()
        if step_method.default_gradient == "minibatch"
        and step_method.cycles_class is None
        and not issubclass(step_method.rule_class, TestedRule)
        and not step_method.rule_class.nonlinear_state
        and not step_method.rule_class.needs_gradient_noise
    ]


def anneal(
    model: pm.Model | None = None,
    *,
    draws: int = 1000,
    steps_per_draw: int | None = None,
    chains: int = 4,
    cores: int | None = None,
    sampler: str = "sgld",
    temperature: Any = None,
    step_size: Any = None,
    batch_size: int | None = None,
    rows: Any = "auto",
    data: Any = None,
    scratch: bool | str | Path = True,
    polish: bool = True,
    random_seed: Any = None,
    initvals: Any = None,
    progressbar: Any = True,
    backend: str | None = None,
    compile_kwargs: dict[str, Any] | None = None,
    **arguments: Any,
) -> Annealing:
    r"""Look for the highest point of a model's density by annealed Langevin dynamics.

    Several chains sample :math:`p(x)^{1/T}`, in the space of the model's own variables, while the
    temperature T falls. Hot chains cross from mode to mode; cold ones climb. What is maximised is
    the density that :func:`pymc.find_MAP` maximises: that of the variables themselves, without the
    Jacobians of the transforms of bounded ones. (In the unconstrained space that the chains move
    in, the Jacobians enter with weight T, which is what makes :math:`p(x)^{1/T}` of them.)

    Any model with continuous variables will do, with rows to take batches of or without: functions
    to maximise can be written as a `pm.Potential` of variables with flat or bounded priors. Without
    rows every step takes the whole gradient.

    Parameters
    ----------
    model : pm.Model, optional
        Default: the model on the context stack.
    draws : int, default 1000
        Points of the path of each chain.
    steps_per_draw : int, optional
        As for :func:`pymc_sgld.sample`.
    chains : int, default 4
        Runs, from different starts: the initial point, moved by up to 1 in each unconstrained
        direction. ``initvals={"x": "prior"}`` starts from draws of the prior.
    sampler : str, default "sgld"
        "sgld" (overdamped Langevin), "sghmc", "baoa", "leimkuhler_matthews", "baoab" or "obabo".
    temperature : float or schedule, optional
        Default ``geometric_cooling(10, 0.001)``. Start at about the depth of the valleys to be
        crossed, in units of the log-density. The schedule runs over all steps of a chain, one draw
        of tuning included.
    step_size : float or schedule, optional
        Left out, it is the largest that widens no sd by more than 5 % at the temperature of the
        step, with curvature and gradient noise measured at a mode near the start. The chains
        do not start at that mode. Steps after which nothing is finite are halved.
    batch_size, rows, data, scratch
        As for :func:`pymc_sgld.sample`.
    polish : bool, default True
        Climb on from the best point with L-BFGS, on all rows. Reported apart from it.
    cores, random_seed, initvals, progressbar, backend, compile_kwargs
        As in :func:`pymc.sample`.
    **arguments
        Others of the sampler, such as ``friction``, ``preconditioner`` or ``verify``.

    Returns
    -------
    Annealing

    References
    ----------
    .. [1] Geman, S. and Hwang, C.-R. (1986). Diffusions for global optimization. SIAM Journal on
       Control and Optimization 24. https://doi.org/10.1137/0324060
    .. [2] Raginsky, M., Rakhlin, A. and Telgarsky, M. (2017). Non-convex learning via stochastic
       gradient Langevin dynamics: a nonasymptotic analysis. COLT.
       https://doi.org/10.48550/arXiv.1702.03849

    Examples
    --------
    >>> with pm.Model():
    ...     x = pm.Uniform("x", -5, 5, shape=2)
    ...     pm.Potential("minus_rastrigin", -(x**2 - 10 * pm.math.cos(2 * np.pi * x)).sum())
    ...     result = anneal(temperature=psg.schedules.geometric_cooling(20, 0.01))
    """
    check_one_of("sampler", sampler, annealers())
    check_integer("chains", chains, at_least=1)
    checked = check_arguments(
        chains=chains, draws=draws, steps_per_draw=steps_per_draw, cores=cores,
        batch_size=batch_size,
        polish=polish, random_seed=random_seed, initvals=initvals, progressbar=progressbar,
        backend=backend, compile_kwargs=compile_kwargs,
    )  # fmt: skip
    initvals, random_seed = checked["initvals"], checked["random_seed"]
    cooling = geometric_cooling(_FIRST, _LAST) if temperature is None else temperature
    as_schedule("temperature", cooling)
    model = chosen_model(model)
    check_initvals(model, initvals, chains)
    row_model = read_rows(
        model, rows=rows, data=data, scratch=scratch, progressbar=progressbar,
        allow_no_rows=data is None, jacobian=False,
    )  # fmt: skip
    if not row_model.groups:
        arguments = {"gradient": "full", **arguments}
    step = REGISTRY[sampler](
        rows=row_model,
        batch_size=batch_size,
        step_size=step_size,
        steps_per_draw=steps_per_draw,
        temperature=cooling,
        backend=backend,
        compile_kwargs=compile_kwargs,
        model=model,
        purpose="anneal",
        **arguments,
    )
    kept = without_row_sized(model)
    trace = pm.sample(
        draws,
        tune=1,
        chains=chains,
        cores=cores,
        random_seed=random_seed,
        progressbar=progressbar,
        step=step,
        var_names=kept,
        initvals=initvals,
        idata_kwargs={"include_transformed": True},
        compute_convergence_checks=False,
        backend=backend,
        compile_kwargs=compile_kwargs,
        model=model,
    )
    return _result(model, step, trace, kept, polish)


def _result(
    model: pm.Model, step: StochasticGradientStep, trace: Any, kept: list[str] | None, polish: bool
) -> Annealing:
    """Pick the best point of the path, and polish it."""
    posterior = trace.posterior.to_dataset()
    statistics = trace.sample_stats.to_dataset()[_KEPT]
    statistics = statistics.rename({records.MINIBATCH_LOGP: "logp"})
    names = [one.name for one in model.unobserved_RVs if kept is None or one.name in kept]
    path = xr.merge([posterior[names], statistics], compat="override", join="override")
    densities = path["logp"].values
    chain, draw = np.unravel_index(
        np.argmax(np.where(np.isfinite(densities), densities, -np.inf)), densities.shape
    )
    best = {name: np.asarray(path[name].values[chain, draw]) for name in names}
    polished, polished_logp = None, np.nan
    if polish:
        start = {var.name: posterior[var.name].values[chain, draw] for var in step.vars}
        polished, polished_logp = _polished(model, step, start, names)
    return Annealing(best, float(densities[chain, draw]), polished, polished_logp, path)


def _polished(
    model: pm.Model, step: StochasticGradientStep, start: dict[str, Array], names: list[str]
) -> tuple[Point, float]:
    """Climb to the mode, and return it in the model's own variables, with its log-density."""
    function = step.chain.block_function
    position = np.concatenate([np.ravel(start[var.name]) for var in step.vars])
    position = position.astype(function.dtype)
    mode = find_mode(function, position, np.random.default_rng(0), tolerance=_SLOPE)
    wanted = [
        var
        for var in get_default_varnames(model.unobserved_value_vars, include_transformed=False)
        if var.name in names
    ]
    values = model.compile_fn(wanted, inputs=step.vars, mode="FAST_COMPILE")(
        step.points.point(mode.position)
    )
    named = zip(wanted, values, strict=True)
    return {var.name: np.asarray(value) for var, value in named}, mode.logp
