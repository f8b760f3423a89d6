"""``resume``: a run that was stopped goes on, as if it had not been."""

import os

from typing import Any

import pymc as pm

from pymc_sgld.checkpoints import OF_A_SESSION, Checkpoint, open_folder
from pymc_sgld.sampling import sample
from pymc_sgld.validate import check_arguments, check_integer


def resume(
    path: str | os.PathLike[str],
    draws: int | None = None,
    *,
    model: pm.Model | None = None,
    chains: int | None = None,
    **session: Any,
) -> Any:
    """Continue a run that :func:`pymc_sgld.sample` has written to a folder.

    The draws are those of a run that was never stopped, bit for bit, on the same kind of machine
    with the same versions. What is stored is read, and the rest drawn and written as before.

    Parameters
    ----------
    path : str or path
        Folder given as ``checkpoint`` to :func:`pymc_sgld.sample`.
    draws : int, optional
        Draws of each chain in all, those that are stored included. Default: as many as the run was
        begun with. A run that has ended goes on with more.
    model : pm.Model, optional
        The model of the run, with its data. Default: the model on the context stack.
    chains : int, optional
        Chains in all; at least those of the run, which is the default.
    **session
        Arguments of :func:`pymc_sgld.sample` that do not change a draw, such as ``cores`` and
        ``progressbar``; and those that no file holds, the same as before: a function, or a RowModel
        as ``rows``.

    Returns
    -------
    xarray.DataTree
        As from :func:`pymc_sgld.sample`, with all draws of the run.

    Raises
    ------
    FileNotFoundError
        Where the folder holds no run.
    ValueError
        Where model, data, settings or major versions differ from those of the run: they are listed.
    TypeError
        For an argument that belongs to the run.

    Examples
    --------
    >>> with model:
    ...     idata = psg.resume("run/")
    """
    check_arguments(chains=chains, **({} if draws is None else {"draws": draws}))
    run = open_folder(path)
    of_run = {name: session.pop(name) for name in list(session) if name not in OF_A_SESSION}
    arguments = run.arguments(of_run)
    if arguments is None:
        raise ValueError(
            f"The run in {run.path} was begun by pm.sample. Repeat that call, its random_seed "
            f"included, with step=psg.CheckpointedStep(step, {str(path)!r}, resume=True)."
        )
    arguments["draws"] = _total("draws", draws, arguments["draws"], at_least=1)
    arguments["chains"] = _total(
        "chains", chains, run.manifest["chains"], at_least=run.manifest["chains"]
    )
    arguments["tune"] = run.manifest["tune"]
    every = session.pop("checkpoint_every", run.manifest["checkpoint_every"])
    checkpoint = Checkpoint(
        path, every, thin=run.manifest["thin"], resumes=True, arguments=arguments
    )
    return sample(**arguments, **session, model=model, checkpoint=checkpoint)


def _total(name: str, given: int | None, of_run: int, *, at_least: int) -> int:
    return of_run if given is None else check_integer(name, given, at_least=at_least)
