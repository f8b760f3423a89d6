"""``compare``: run samplers, or take draws made earlier, and measure them against one of them."""

import inspect

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm

from pymc.exceptions import SamplingError
from xarray import DataTree

from pymc_sgld.comparison.agreement import TOLERANCE
from pymc_sgld.comparison.elpd import compare_elpd
from pymc_sgld.comparison.figures import figures_of, notes_on
from pymc_sgld.comparison.given_draws import check_coords_agree, check_draws_of_model
from pymc_sgld.comparison.methods import OUTSIDE
from pymc_sgld.comparison.parameters import compare_parameters, flat_posterior
from pymc_sgld.comparison.result import Comparison
from pymc_sgld.comparison.stein import compare_stein
from pymc_sgld.model_graph import RowError
from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.posterior import NoScoreError
from pymc_sgld.records import SECONDS
from pymc_sgld.sampling import check_options, sample
from pymc_sgld.step_methods.registry import REGISTRY
from pymc_sgld.validate import (
    ARGUMENTS,
    check_arguments,
    check_integer,
    check_one_of,
    check_positive,
    shown,
)


def compare(
    samplers: Sequence[str] | Mapping[str, Any] = ("sgld", "nuts", "advi"),
    model: pm.Model | None = None,
    *,
    data: Any = None,
    scratch: bool | str | Path = True,
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    cores: int | None = None,
    random_seed: int | None = None,
    reference: str = "nuts",
    var_names: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
    elpd: bool = True,
    stein: bool = True,
    progressbar: bool = True,
) -> Comparison:
    """Run several samplers on one model and measure them against one of them.

    Parameters
    ----------
    samplers : sequence of str, or mapping
        Names: those of ``psg.samplers()``; ``"nuts"`` (``pm.sample`` as it comes); ``"advi"`` and
        ``"fullrank_advi"`` (``pm.fit``, on minibatches where there are many rows); ``"laplace"``,
        the normal approximation at the mode. Or a mapping from labels to names, to draws made
        earlier (a DataTree), or to dictionaries of options that override those below, such as
        ``{"nuts": {"draws": 500}, "small steps": {"sampler": "sgld", "step_size": 1e-3}}``; without
        ``"sampler"`` the label is the name. All three may be mixed.
    model : pm.Model, optional
        The model; that of the context if not given. Not needed where all are draws made earlier;
        then there is no elpd and no Stein discrepancy.
    data, scratch
        Rows that are not in the model, as for :func:`pymc_sgld.sample`: for samplers of this
        package, elpd and Stein discrepancy. NUTS, ADVI and Laplace take the rows of the model,
        which are none of these, and are refused.
    draws, chains : int
        Draws kept per chain, and chains. ADVI and Laplace have no chains and make
        ``draws * chains`` draws.
    tune : int, optional
        Tuning steps of the samplers; each sampler's own default if not given.
    cores : int, optional
        Processes to run chains in.
    random_seed : int, optional
        Seed of every method.
    reference : str
        Label of the method that the others are compared with.
    var_names : sequence of str, optional
        Variables to compare; those that every result has in common if not given.
    tolerance : float, default 0.1
        Of the verdict: largest error of a mean, in the reference's sds, and largest relative error
        of an sd, that counts as close.
    elpd : bool, default True
        Whether to estimate the expected log predictive density, see
        :func:`pymc_sgld.comparison.elpd.compare_elpd`.
    stein : bool, default True
        Whether to measure the kernel Stein discrepancy, see
        :func:`pymc_sgld.comparison.stein.compare_stein`; up to 400 passes through the data a
        method.
    progressbar : bool
        Show progress.

    Returns
    -------
    Comparison
        The draws, the tables, and methods to print, plot and save them and to write a report.

    Raises
    ------
    ValueError, TypeError
        For a sampler, an option or a reference that is not known, and for draws that do not belong
        to the model or to each other.

    Notes
    -----
    Seconds are wall time. "Compile" is everything before the first step, "tune" is tuning or
    optimisation, "draw" the rest. NUTS reports one time for tuning and drawing together; it is
    split by the number of gradient evaluations. Draws of ADVI and Laplace are independent by
    construction, hence they have neither an effective sample size nor an R-hat that would say
    anything about them. A sampler that cannot run on the model, or fails on its way, is left out of
    the table, and a note says why; the reference may not fail.

    Draws of a chain whose step size changes are weighted by it (``step_size_weight``): means, sds,
    Wasserstein and Stein discrepancies take the weights; for the rest they are resampled.
    """
    shared = {
        "draws": check_integer("draws", draws, at_least=4),
        "chains": check_integer("chains", chains, at_least=1),
        **check_arguments(tune=tune, cores=cores, random_seed=random_seed, progressbar=progressbar),
    }
    checked = check_arguments(elpd=elpd, stein=stein, tolerance=tolerance, var_names=var_names)
    var_names = checked["var_names"]
    runs = _runs(samplers)
    check_one_of("reference", reference, runs, hint="It is a label of `samplers`.")
    if data is not None:
        _refuse_outside(runs)
        shared |= {"data": data, "scratch": scratch}
    to_run = [label for label, run in runs.items() if not isinstance(run, DataTree)]
    model = chosen_model(model) if model is not None or to_run else _model_of_context()
    for label, run in runs.items():
        if isinstance(run, DataTree):
            check_draws_of_model(label, run, model)
    results, failures = {}, []
    for label, run in runs.items():
        if isinstance(run, DataTree):
            results[label] = run
            continue
        try:
            results[label] = _run(shared | run, model)
        except (RowError, SamplingError) as error:
            if label == reference:
                raise
            failures.append(f"{label} FAILED and is left out: {error}")
    return summarise(
        results,
        reference=reference,
        var_names=var_names,
        model=model,
        tolerance=tolerance,
        elpd=elpd,
        stein=stein,
        notes=failures,
        progressbar=progressbar,
        data=data,
    )


def summarise(
    results: Mapping[str, DataTree],
    *,
    reference: str,
    var_names: Sequence[str] | None = None,
    model: pm.Model | None = None,
    tolerance: float = TOLERANCE,
    elpd: bool = True,
    stein: bool = True,
    notes: Sequence[str] = (),
    progressbar: bool = False,
    data: Any = None,
) -> Comparison:
    """Return the comparison of draws that exist already; see :func:`compare`."""
    names, left_out = _common_variables(results, var_names)
    check_coords_agree(results, names, reference)
    flat = {label: flat_posterior(result, names) for label, result in results.items()}
    parameters = compare_parameters(flat, results, reference)
    found_elpd, found_stein, why_not = None, None, []
    if elpd and model is not None and model.observed_RVs:
        try:
            found_elpd = compare_elpd(results, model, reference, progressbar=progressbar, data=data)
        except RowError as error:
            why_not.append(f"No elpd: {error}")
    if stein and model is not None and model.free_RVs:
        n_rows = 0 if found_elpd is None else int(found_elpd["rows"].max())
        try:
            found_stein = compare_stein(results, model, reference, n_rows, progressbar, data)
        except (RowError, NoScoreError) as error:
            why_not.append(f"No Stein discrepancy: {error}")
    table = figures_of(results, parameters, found_elpd, reference, tolerance)
    if found_stein is not None:
        table = table.join(found_stein)
    all_notes = [*notes, *left_out, *why_not, *notes_on(results, table, parameters, reference)]
    return Comparison(
        results=dict(results),
        table=table,
        parameters=parameters,
        elpd=found_elpd,
        reference=reference,
        var_names=tuple(names),
        notes=tuple(all_notes),
        tolerance=tolerance,
        model=model,
    )


def _model_of_context() -> pm.Model | None:
    model: pm.Model | None = pm.Model.get_context(error_if_none=False)
    return model


# -- what to run ------------------------------------------------------------------------------


def _runs(samplers: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Map each label to a DataTree or to options that hold the name of a sampler."""
    if isinstance(samplers, str):
        samplers = [samplers]
    if not isinstance(samplers, Mapping):
        if not isinstance(samplers, Sequence):
            raise TypeError(
                "samplers must be a list of names of samplers, or a mapping from labels to names, "
                f"options or draws, got {shown(samplers)}."
            )
        for name in samplers:
            if not isinstance(name, str):
                raise TypeError(
                    f"samplers has {shown(name)} in its list, which may hold names alone. Give "
                    "draws and options a label: {'label': ...}."
                )
    named = samplers if isinstance(samplers, Mapping) else {name: name for name in samplers}
    if not named:
        raise ValueError("samplers is empty: name at least one, such as ['sgld', 'nuts'].")
    return {str(label): _one_run(str(label), what) for label, what in named.items()}


def _one_run(label: str, what: Any) -> Any:
    if isinstance(what, DataTree):
        return what
    if isinstance(what, str):
        what = {"sampler": what}
    if not isinstance(what, Mapping):
        raise TypeError(
            f"samplers[{label!r}] must be a sampler's name, a dictionary of options or a DataTree "
            f"of draws, got {shown(what)}."
        )
    options = {"sampler": label, **what}
    for option in options:
        if option in ARGUMENTS:
            with _of_run(label):
                options[option] = ARGUMENTS[option](option, options[option])
    name = check_one_of(f"the sampler of {label!r}", options["sampler"], [*REGISTRY, *OUTSIDE])
    if name == "nuts" and options.get(SECONDS) is not None:
        with _of_run(label):
            check_positive(SECONDS, options[SECONDS])
    if name in REGISTRY:
        with _of_run(label):
            check_options(name, options)
    if name in OUTSIDE and name != "nuts":
        known = set(inspect.signature(OUTSIDE[name]).parameters) - {"model", "method"}
        unknown = sorted(set(options) - known - {"sampler"})
        if unknown:
            raise TypeError(
                f"samplers[{label!r}] has the option {unknown[0]!r}, which {name!r} does not take. "
                f"It takes {', '.join(sorted(known))}."
            )
    return options


def _refuse_outside(runs: Mapping[str, Any]) -> None:
    """Refuse methods that would take the placeholders of a model for its data."""
    outside = [
        label
        for label, run in runs.items()
        if not isinstance(run, DataTree) and run["sampler"] in OUTSIDE
    ]
    if outside:
        raise ValueError(
            f"samplers has {', '.join(map(repr, outside))}, which would take the rows of the model "
            "itself: with data= they are placeholders. Compare samplers of psg.samplers(), one of "
            "them the reference; or put the rows into the model, where they fit into memory."
        )


@contextmanager
def _of_run(label: str) -> Iterator[None]:
    """Say of which run the arguments are that an error is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"samplers[{label!r}]: {error}") from None


def _run(options: dict[str, Any], model: pm.Model) -> DataTree:
    name = options.pop("sampler")
    if name in OUTSIDE:
        return OUTSIDE[name](model, **options)
    result: DataTree = sample(name, model=model, discard_tuned_samples=False, **options)
    return result


def _common_variables(
    results: Mapping[str, DataTree], var_names: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Return the variables to compare, and a note on those that some result lacks."""
    present = {label: list(result["posterior"].data_vars) for label, result in results.items()}
    known = list(dict.fromkeys(name for names in present.values() for name in names))
    common = [name for name in known if all(name in names for names in present.values())]
    numeric = [name for name in common if _is_numeric(results, name)]
    if var_names is not None:
        for name in var_names:
            lacking = [label for label, names in present.items() if name not in names]
            if lacking:
                raise ValueError(
                    f"var_names holds {name!r}, which {', '.join(lacking)} did not draw. "
                    f"Every result has: {', '.join(common) or 'no variable in common'}."
                )
        return list(var_names), []
    if not numeric:
        listing = "; ".join(f"{label}: {', '.join(names)}" for label, names in present.items())
        raise ValueError(f"The results have no variable in common ({listing}).")
    left_out = [name for name in known if name not in common]
    note = f"Not compared, because not every method drew it: {', '.join(left_out)}."
    return numeric, [note] if left_out else []


def _is_numeric(results: Mapping[str, DataTree], name: str) -> bool:
    return all(np.issubdtype(one["posterior"][name].dtype, np.number) for one in results.values())
