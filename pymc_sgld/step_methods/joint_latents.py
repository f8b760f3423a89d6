"""``latents="joint"``: the latents of rows are kept, and moved with the rows of each batch."""

from typing import Any, NamedTuple

import numpy as np
import pymc as pm

from pytensor.compile.mode import Mode

from pymc_sgld.chain import Chain, Settings
from pymc_sgld.chain.latent_warmup import LatentWarmup
from pymc_sgld.model_graph import BlockFunction, RowError, RowModel
from pymc_sgld.model_graph import verify as verify_rows
from pymc_sgld.model_graph.density.modes import is_jax
from pymc_sgld.model_graph.latents.joint_rows import JointRowModel, joint_row_model
from pymc_sgld.posterior.latent_scores import MarginalRows
from pymc_sgld.row_sources import Independent, SamplingScheme

_FEWEST_IN_BATCH = 256
_BATCHES = 64  # of all rows; more would leave little to do between two moves
_SCHEMES = ("independent", "replacement")


class Joint(NamedTuple):
    """A model whose latents are kept, as a sampler takes it."""

    row_model: JointRowModel

    def in_words(self) -> str:
        """Return what is kept, and how it is moved."""
        n_rows, k = self.row_model.start.shape
        each = f"{k} for each of {n_rows:,} rows" if k > 1 else "one per row"
        return (
            f"{', '.join(self.row_model.names)} ({n_rows * k:,} values, {each}) "
            f"{'are' if k > 1 else 'is'} kept, and moved for the rows of a batch before its "
            "gradient is taken; the draws are those of what rows share"
        )

    def asked(self, sampler: str, for_step: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the sampler and its arguments; "auto" is "sgld" that compensates the noise."""
        asked = {name: one for name, one in for_step.items() if name != "recentre"}
        if sampler == "auto":
            total = self.row_model.start.shape[0]
            batch = min(total, max(_FEWEST_IN_BATCH, total // _BATCHES))
            sampler, own = "sgld", {"noise_compensation": True, "batch_size": batch}
            asked = own | asked
        return sampler, asked | {"rows": self.row_model}


def joint_model(model: pm.Model, rows: Any) -> Joint:
    """Return a model whose latents are to be kept.

    Raises
    ------
    RowError
        Where there are none, or they cannot be moved row by row.
    """
    if isinstance(rows, RowModel):
        raise RowError(
            "latents='joint' reads the rows of the model itself, got a RowModel as rows. Leave "
            "rows out, or give the name of a dimension."
        )
    return Joint(joint_row_model(model, rows=rows))


def scheme_beside_latents(
    name: str,
    row_model: RowModel,
    settings: Settings,
    batches: Any,
    scheme: SamplingScheme,
    mode: Mode,
) -> SamplingScheme:
    """Return how batches are drawn where latents are kept, or refuse what cannot be beside them.

    Raises
    ------
    RowError
        Names what was asked for, and what to write instead.
    """
    if not isinstance(row_model, JointRowModel):
        return scheme
    latents, kernel = ", ".join(row_model.names), settings.kernel
    why = hint = ""
    if settings.tested or settings.cycles is not None or settings.anneals:
        why = f"{name!r} tests its steps against all rows, or makes them in cycles"
        hint = "Take 'sgld', 'sghmc', 'psgld' or another sampler without."
    elif kernel.estimator.name not in ("minibatch", "full"):
        why = (
            f"gradient={kernel.estimator.name!r} compares gradients with those at a place where "
            "the latents were others"
        )
        hint = "Leave gradient out."
    elif getattr(settings.temperature, "value", None) != 1:
        why, hint = "the latents are drawn at temperature 1", "Leave temperature out."
    elif batches is not None and scheme.name not in _SCHEMES:
        why = f"batches={scheme.name!r} are not independent of the latents that earlier ones moved"
        hint = f"Leave batches out, or give {' or '.join(map(repr, _SCHEMES))}."
    elif is_jax(mode):
        why, hint = "their moves are compiled by numba", "Leave backend out."
    if why:
        raise RowError(f"{latents}: with latents='joint', {why}. {hint}")
    return scheme if scheme.name in _SCHEMES else Independent()


def verify_model(row_model: RowModel, mode: Mode) -> None:
    """Compare a row model with the model as it is written, its latents included."""
    generator = np.random.default_rng(0)
    if isinstance(row_model, JointRowModel):
        row_model.verify_joint(mode, generator)
    else:
        verify_rows(row_model, mode, rng=generator)


def score_function_of(chain: Chain) -> BlockFunction | MarginalRows:
    """Return the gradient that scores of a chain are taken from: without latents, if it has any."""
    if chain.latents is None or not isinstance(chain.tuner, LatentWarmup):
        return chain.block_function
    return MarginalRows(chain.block_function, chain.latents, chain.tuner)
