"""``sample``: a sampler by name, run by PyMC."""

import inspect
import logging
import os

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pymc as pm

from pymc.backends.base import BaseTrace
from pymc.exceptions import SamplingError
from pymc.sampling.parallel import ParallelSamplingError
from pymc.stats.convergence import log_warnings, run_convergence_checks

from pymc_sgld import records
from pymc_sgld.checkpoints import (
    LOST,
    Checkpoint,
    SeenChains,
    asked_checkpoint,
    chains_as_numbered,
    draws_of_others,
)
from pymc_sgld.checkpoints.cluster import (
    check_client,
    passes_by,
    refuse_nuts,
    rows_written_by,
    run_chains,
)
from pymc_sgld.gradient_estimators import GradientEstimator
from pymc_sgld.model_graph import RowModel, read_rows
from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.model_graph.density.modes import chosen_mode
from pymc_sgld.model_graph.exchangeable_components import exchangeable_components
from pymc_sgld.model_graph.row_sized import without_row_sized
from pymc_sgld.posterior import check_others, check_run
from pymc_sgld.preconditioners import Preconditioner
from pymc_sgld.step_methods.auto import Auto, generator_before
from pymc_sgld.step_methods.auto_latents import without_latents
from pymc_sgld.step_methods.auto_nuts import (
    OF_NUTS,
    read_for_auto,
    refuse_options_of_nuts,
    why_not_tuned,
)
from pymc_sgld.step_methods.auto_report import report, report_check
from pymc_sgld.step_methods.base import StochasticGradientStep
from pymc_sgld.step_methods.clock import Clock
from pymc_sgld.step_methods.initial_values import check_coordinates, check_initvals
from pymc_sgld.step_methods.progress import announce_tuning, bar_where_it_can_be, tuning_shown
from pymc_sgld.step_methods.refusals import report_refusals
from pymc_sgld.step_methods.registry import REGISTRY, check_sampler
from pymc_sgld.types import Array, Schedule
from pymc_sgld.validate import (
    check_arguments,
    check_instance,
    check_known,
    did_you_mean,
)

_log = logging.getLogger("pymc.sgld")


def samplers() -> dict[str, str]:
    """Return the names of the samplers, each with the first line of its documentation."""
    return {
        name: (inspect.getdoc(step_method) or "").splitlines()[0]
        for name, step_method in REGISTRY.items()
    }


def sample(
    sampler: str = "auto",
    draws: int = 1000,
    *,
    batch_size: int | None = None,
    rows: Any = "auto",
    data: Any = None,
    scratch: bool | str | Path = True,
    latents: str | bool = "auto",
    recentre: bool | Mapping[str, str | None] = True,
    step_size: float | Schedule | None = None,
    temperature: float | Schedule = 1.0,
    gradient: str | GradientEstimator | None = None,
    batches: str | None = None,
    preconditioner: str | Preconditioner | Array | None = None,
    noise_compensation: bool | None = None,
    target_bias: float | None = None,
    steps_per_draw: int | None = None,
    verify: bool = True,
    check: bool = True,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    checkpoint_every: float = 60.0,
    overwrite: bool = False,
    thin: int = 1,
    client: Any = None,
    tune: int | None = None,
    chains: int | None = None,
    cores: int | None = None,
    random_seed: Any = None,
    progressbar: Any = True,
    progressbar_theme: Any = None,
    quiet: bool | None = None,
    initvals: Any = None,
    init: str | None = None,
    n_init: int | None = None,
    jitter_max_retries: int | None = None,
    trace: Any = None,
    var_names: Sequence[str] | None = None,
    callback: Callable[..., Any] | None = None,
    discard_tuned_samples: bool | None = None,
    compute_convergence_checks: bool | None = None,
    keep_warning_stat: bool | None = None,
    return_inferencedata: bool | None = None,
    idata_kwargs: dict[str, Any] | None = None,
    nuts_sampler: str | None = None,
    nuts_sampler_kwargs: dict[str, Any] | None = None,
    mp_ctx: Any = None,
    blas_cores: int | str | None = None,
    backend: str | None = None,
    compile_kwargs: dict[str, Any] | None = None,
    model: pm.Model | None = None,
    **rule_arguments: Any,
) -> Any:
    """Draw from the posterior of a PyMC model by steps on minibatches of its rows.

    The model is an ordinary one; nothing in it speaks of batches. This builds the step method of
    the sampler and hands it to :func:`pymc.sample`, which runs the chains.

    Parameters
    ----------
    sampler : str, default "auto"
        A name from :func:`samplers`. "auto" tunes itself, and leaves models of few rows, and those
        whose rows cannot be subsampled or that it cannot be tuned to, to NUTS, unless an argument
        of the sampler is given; it says so.
    draws : int, default 1000
    batch_size, rows, recentre, step_size, temperature, gradient, batches, preconditioner
        Of the sampler, as are the next four: see
        :class:`pymc_sgld.step_methods.StochasticGradientStep`.
    latents : {"auto", "quadrature", "joint", False}, default "auto"
        Of variables with entries for each row. "quadrature": of one or two a row, they are
        integrated out, which leaves posterior means off by less than .02 standard deviations
        (:func:`pymc_sgld.marginal_model`). "joint": any number a row is kept, and those
        of a batch's rows are moved before its gradient is taken. "auto": the first, or of three and
        more a row and a sampler by name the second; a model that is left to NUTS is sampled as
        written. False: the model is refused.
    noise_compensation, target_bias, steps_per_draw, verify
    data : dict of str to source, or a table, optional
        Rows that are not in the model: it is written on `pm.Data` of a row or two, whose values
        mean nothing, and these are their rows, by name. A source is an array or memory map; the
        path of a .npy, Parquet, Zarr or HDF5 file or folder; a frame of pandas or polars, an Arrow
        table or dataset; columns of one of these (:func:`pymc_sgld.columns`); an open Zarr or HDF5
        array; or an iterable of blocks of rows with an attribute ``n_rows``. A table alone gives
        the columns that are named as a `pm.Data`. All rows of a group count: their number is N.
        NUTS is not taken then.
    scratch : bool or path, default True
        Where rows that are not in memory are written once in random order, so that batches are
        windows of a memory map; a run with the same data takes them from there. True: a folder of
        yours among the temporary files, and rows of up to 256 MB are read into memory instead. A
        path: that folder, whatever their size. False: nothing is written, and of more rows
        random blocks are read and mixed (:class:`pymc_sgld.row_sources.RandomBlocks`); a
        warning says where they are sorted, and what that costs.
    check : bool, default True
        At the end measure how wide the draws are, for at most a tenth of the run's gradients (more
        where that leaves a width in doubt: four times as many, then sixteen times), and warn where
        they are wider or narrower than ``target_bias`` allows: see :func:`pymc_sgld.check`. Not
        with fewer than 100 draws or more than 20,000 parameters.
    checkpoint : str or path, optional
        Folder that the run is written to as it goes on, to be continued by
        :func:`pymc_sgld.resume` after whatever stopped it, and read by :func:`pymc_sgld.open_run`.
        The draws are the same as without.
    checkpoint_every : float, default 60
        Seconds between two writings.
    overwrite : bool, default False
        Remove a run that is in the folder ``checkpoint`` already.
    thin : int, default 1
        With ``checkpoint``: store, and return, every so many-th of the ``draws``. Means,
        sds and quantiles over all of them come as the group ``all_draws``.
    client : distributed.Client or Executor, optional
        Where the chains run, instead of on this machine: the workers of Dask, or an executor of
        `concurrent.futures`' kind. The draws are the same to the last bit. Default number of chains
        with it: 4.
    tune, chains, cores, random_seed, progressbar, progressbar_theme, quiet, initvals, init, n_init
        As in :func:`pymc.sample`, as are the others that are not explained here.
    jitter_max_retries, trace, callback, discard_tuned_samples, compute_convergence_checks
    keep_warning_stat, return_inferencedata, idata_kwargs, mp_ctx, blas_cores
    nuts_sampler, nuts_sampler_kwargs
        For models that "auto" leaves to NUTS.
    var_names : sequence of str, optional
        Variables to keep. Default: all but deterministics with an entry for each row, which would
        cost a pass through the data for every draw; get those afterwards with
        :func:`pymc.compute_deterministics`.
    backend, compile_kwargs
        As in :func:`pymc.sample`: "numba" (default) or "jax", or a PyTensor mode.
    model : pm.Model, optional
        Default: the model on the context stack.
    **rule_arguments
        Of the sampler's own rule, such as ``friction``.

    Returns
    -------
    xarray.DataTree
        As from :func:`pymc.sample`. The posterior's attributes hold ``sampler``,
        ``compile_seconds``, ``tune_seconds`` and ``draw_seconds`` (wall time). The group ``check``
        has the verdicts of :func:`pymc_sgld.check`. With "auto" there is a group ``tuning``: what
        was chosen and why, and the measured widths.

    Raises
    ------
    RowError
        Where the model cannot be evaluated on a batch of rows.
    ValueError, TypeError
        For an argument that is not allowed.
    FileExistsError
        Where the folder ``checkpoint`` holds a run.

    Examples
    --------
    >>> with model:
    ...     idata = sample("sgld", batch_size=512)
    """
    arguments = {name: value for name, value in locals().items() if name != "model"}
    check_sampler(sampler)
    shared = {
        "batch_size": batch_size, "rows": rows, "recentre": recentre, "step_size": step_size,
        "temperature": temperature, "gradient": gradient, "batches": batches,
        "preconditioner": preconditioner, "noise_compensation": noise_compensation,
        "target_bias": target_bias, "steps_per_draw": steps_per_draw, "verify": verify,
    }  # fmt: skip
    check_rule_arguments(sampler, rule_arguments)
    for_step = {n: one for n, one in shared.items() if not _is_default(n, one)} | rule_arguments
    written = asked_checkpoint(checkpoint, checkpoint_every, overwrite, thin, arguments, trace)
    random_seed = random_seed if written is None else written.random_seed
    for_pymc = check_arguments(
        tune=tune, chains=chains, cores=cores, random_seed=random_seed, progressbar=progressbar,
        quiet=quiet, initvals=initvals, init=init, n_init=n_init,
        jitter_max_retries=jitter_max_retries, discard_tuned_samples=discard_tuned_samples,
        compute_convergence_checks=compute_convergence_checks, keep_warning_stat=keep_warning_stat,
        return_inferencedata=return_inferencedata, idata_kwargs=idata_kwargs,
        nuts_sampler=nuts_sampler, nuts_sampler_kwargs=nuts_sampler_kwargs, mp_ctx=mp_ctx,
        blas_cores=blas_cores, progressbar_theme=progressbar_theme,
    )  # fmt: skip
    refuse_options_of_nuts(sampler, for_pymc)
    check_client(client, for_pymc, callback=callback, trace=trace)
    progressbar = for_pymc["progressbar"] = bar_where_it_can_be(for_pymc["progressbar"])
    own = check_arguments(
        draws=draws, var_names=var_names, callback=callback, backend=backend,
        compile_kwargs=compile_kwargs, check=check,
    )  # fmt: skip
    model, scratch = _announced(model), check_arguments(scratch=scratch)["scratch"]
    if data is not None:
        for_step["rows"] = rows_of_data(
            sampler, model, data, rows, recentre, client, scratch=scratch, progressbar=progressbar
        )
        for_step.pop("recentre", None)
    latents = data is None and latents
    left_out = sampler == "auto" and not for_step and latents != "joint"
    mode, seed = chosen_mode(backend, compile_kwargs), for_pymc["random_seed"]
    begun = without_latents(model, latents, rows, own["draws"] * left_out, seed, mode)
    model, known, read, joint = begun
    sampler, for_step = joint.asked(sampler, for_step) if joint else (sampler, for_step)
    of_run = _run_of(own, for_pymc | {"trace": trace}, model, written, client)
    if left_out:
        reading = read or read_for_auto(model, draws=of_run.draws, tune=for_pymc["tune"])
        if reading.why_nuts and not (written and written.resumes):
            _log.info(f"NUTS is taken: {reading.why_nuts}")
            return _nuts(of_run, reading.why_nuts, known)
        if reading.why_batches:
            _log.info(f"Minibatches are taken: {reading.why_batches}")
        for_step["rows"] = reading.row_model
    if sampler == "auto":
        for_step["rng"] = generator_before(for_pymc["random_seed"])
    try:
        return _minibatches(sampler, for_step, of_run, known)
    except (SamplingError, ParallelSamplingError) as error:
        reason = why_not_tuned(error, model) if left_out else None
        if reason is None:
            raise
        _log.warning(f"NUTS on all rows is taken, which may be slow: {reason}")
        return _nuts(of_run, reason, known)


def _announced(model: pm.Model | None) -> pm.Model:
    """Return the model that is sampled, and say what no sampler can mend."""
    model = chosen_model(model)
    if of_labels := exchangeable_components(model):
        _log.info(of_labels)
    return model


def rows_of_data(
    sampler: str,
    model: pm.Model,
    data: Any,
    rows: Any,
    recentre: Any,
    client: Any = None,
    *,
    scratch: bool | str | Path,
    progressbar: Any,
) -> RowModel:
    """Return the model by rows that come from elsewhere."""
    if isinstance(rows, RowModel):
        raise TypeError(
            f"sample({sampler!r}) got data beside a row model. Give data where that is made: "
            "rows=pymc_sgld.row_model(model, data=...)."
        )
    with rows_written_by(client):
        return read_rows(
            model, rows=rows, data=data, scratch=scratch, recentre=recentre,
            progressbar=progressbar, allow_no_rows=sampler != "auto",
        )  # fmt: skip


class _Run(NamedTuple):
    """What of a run is the same for every sampler."""

    draws: int
    for_pymc: dict[str, Any]  # holds the model
    var_names: list[str] | None
    callback: Callable[..., Any] | None
    backend: str | None
    compile_kwargs: dict[str, Any] | None
    check: bool
    checkpoint: Checkpoint | None
    client: Any


def _run_of(
    own: dict[str, Any], for_pymc: dict[str, Any], model: pm.Model, checkpoint: Any, client: Any
) -> _Run:
    """Check what depends on the model or on PyMC's types, and put the arguments together."""
    if own["var_names"] is not None:
        check_known("var_names", own["var_names"], [var.name for var in model.unobserved_RVs])
    check_initvals(model, for_pymc["initvals"], for_pymc["chains"])
    check_coordinates(model)
    if for_pymc["trace"] is not None:
        from pymc.backends.zarr import ZarrTrace  # loads Zarr, where that is installed

        allowed = "a backend of PyMC, such as pymc.backends.zarr.ZarrTrace"
        hint = "To keep a part of the variables, write var_names."
        check_instance("trace", for_pymc["trace"], (BaseTrace, ZarrTrace), allowed, hint=hint)
    known = set(inspect.signature(pm.to_inference_data).parameters) - {"trace", "model"}
    check_known("idata_kwargs", for_pymc["idata_kwargs"] or {}, sorted(known), "argument of pymc's")
    if own["var_names"] is None:
        own["var_names"] = without_row_sized(model)
    given = {name: value for name, value in for_pymc.items() if value is not None}
    return _Run(**own, for_pymc=given | {"model": model}, checkpoint=checkpoint, client=client)


def _minibatches(
    sampler: str, for_step: dict[str, Any], run: _Run, known: Mapping[str, Any]
) -> Any:
    """Build the step method of a sampler, let PyMC run it, and check the draws.

    What is known of the run before is written to the attributes of the posterior.
    """
    model = run.for_pymc["model"]
    shows = bool(run.for_pymc.get("progressbar", True)) and not run.for_pymc.get("quiet")
    with model, tuning_shown(shows), passes_by(run.client):
        step = REGISTRY[sampler](
            backend=run.backend, compile_kwargs=run.compile_kwargs, model=model, **for_step
        )
    step.check_draws(run.draws)
    announce_tuning(step.chain)
    clock = Clock(run.callback)
    started = perf_counter()
    with (
        nullcontext(step)
        if run.checkpoint is None
        else run.checkpoint.running(
            step, model, draws=run.draws, var_names=run.var_names, for_pymc=run.for_pymc
        ) as stepping
    ):
        result = _chains(run, stepping, clock, lambda: step.chain.state.started)
    _record(result, sampler, step.compile_seconds, *clock.split(perf_counter() - started))
    if getattr(result, "posterior", None) is not None:
        if run.checkpoint is not None:
            run.checkpoint.add_moments(result)
        result.posterior.attrs.update(known)
        report_refusals(result, model, step.chain.settings)
        checked = _checked(step, model, result) if run.check else None
        if isinstance(step, Auto):
            report(step, model, result, checked)
        else:
            report_check(checked)
    return result


def _chains(run: _Run, step: Any, clock: Clock, in_one_process: Callable[[], bool]) -> Any:
    """Let PyMC run the chains; of those that die in their processes the others are kept."""
    options = {name: value for name, value in run.for_pymc.items() if name not in OF_NUTS}
    draws = run.draws // (run.checkpoint.thin if run.checkpoint else 1)
    tune = options.get("tune", step.default_tune_steps)
    seen = SeenChains(clock, tune + draws, in_one_process)
    elsewhere = run_chains(run.client, step, options, draws) if run.client is not None else None
    if elsewhere is not None:  # PyMC is handed what they have made
        step, seen.in_one_process, options = elsewhere.step, lambda: False, elsewhere.options
    try:
        with nullcontext() if elsewhere is None else elsewhere.told():
            whole = pm.sample(
                draws,
                step=step,
                var_names=run.var_names,
                callback=seen,
                backend=run.backend,  # PyMC must know of JAX, which does not survive a fork
                compile_kwargs=run.compile_kwargs,
                **options,
            )
    except (*LOST, ValueError) as error:
        left = draws_of_others(error, seen, options, options["model"], tune)
        if run.checkpoint is not None:
            _log.info(f"psg.resume({str(run.checkpoint.path)!r}) goes on with all chains.")
        return left
    whole = chains_as_numbered(whole, seen, tune)
    return whole if elsewhere is None else elsewhere.recorded(whole)


def _checked(step: StochasticGradientStep, model: pm.Model, result: Any) -> Any:
    """Check the draws; an interrupt ends the check and not what comes of the run."""
    try:
        return check_run(step.score_source(), model, result)
    except KeyboardInterrupt:
        _log.warning("The check was interrupted: psg.check(idata) makes it from the draws.")
        return None


def _nuts(run: _Run, reason: str, known: Mapping[str, Any]) -> Any:
    """Run NUTS as PyMC would, write down why, and check the draws as those of any sampler."""
    refuse_nuts(run.client, reason)
    if run.checkpoint is not None:
        _log.warning(
            f"Nothing is written to {run.checkpoint.path}: NUTS keeps no checkpoints. Name a "
            "sampler for a run that can be continued."
        )
    more = {"var_names": run.var_names, "callback": run.callback}
    options = {name: value for name, value in (run.for_pymc | more).items() if value is not None}
    result = pm.sample(run.draws, **options)
    if getattr(result, "posterior", None) is not None:
        wanted = options.get("compute_convergence_checks", True)
        if wanted and result.posterior.attrs.get("inference_library", "pymc") != "pymc":
            # pm.sample looks at the draws of its own NUTS, not at those of nutpie
            log_warnings(run_convergence_checks(result, options["model"]))
        result.posterior.attrs.update({records.SAMPLER: "nuts", records.REASON: reason, **known})
        if run.check:
            report_check(check_others(options["model"], result))
    return result


def _is_default(name: str, value: Any) -> bool:
    """Whether an argument of ``sample`` is as it is where it is left out."""
    default = (sample.__kwdefaults__ or {})[name]
    if value is default or isinstance(default, bool) or isinstance(value, bool):
        return value is default
    return isinstance(value, str | int | float) and value == default


def check_rule_arguments(sampler: str, arguments: Iterable[str]) -> None:
    """Refuse names of arguments that the rule of a sampler does not have."""
    named = set(sample.__kwdefaults__ or {})
    shared = named & set(inspect.signature(StochasticGradientStep.__init__).parameters)
    own = (REGISTRY[sampler].own_arguments() | shared) - {"model", "backend", "compile_kwargs"}
    for name in arguments:
        if name == "step":
            raise TypeError(
                f"sample({sampler!r}) makes its own step method; to pass one, use "
                "pm.sample(step=...)."
            )
        if name not in own:
            hint = did_you_mean(name, own | named)
            raise TypeError(
                f"{name!r} is not an argument of sampler {sampler!r} or of pm.sample.{hint} "
                f"{sampler!r} takes {', '.join(sorted(own))}."
            )


def check_options(sampler: str, options: Mapping[str, Any]) -> None:
    """Refuse options, by name, that neither ``sample`` takes nor the rule of a sampler."""
    named = inspect.signature(sample).parameters
    check_rule_arguments(sampler, [name for name in options if name not in named])


def _record(result: Any, sampler: str, compiling: float, tuning: float, drawing: float) -> None:
    """Write what the run was and took into the attributes of the posterior."""
    posterior = getattr(result, "posterior", None)
    if posterior is None:  # a MultiTrace or a ZarrTrace, on request
        return
    seconds = np.round((compiling, tuning, drawing), 6)
    posterior.attrs.update(zip(records.PHASES, map(float, seconds), strict=True))
    posterior.attrs[records.SAMPLER] = sampler
