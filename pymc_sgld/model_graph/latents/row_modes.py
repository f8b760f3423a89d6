"""Modes of the latents of every row, given what all rows share: Newton's method by numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pymc as pm

from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace

from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.model_graph.latents.row_integrals import RowIntegral

MOST_STEPS = 100
_ARRIVED = 1e-6  # the length of a step, in standard deviations of a row's latents


class Climbed(NamedTuple):
    """Where Newton's method ended.

    Attributes
    ----------
    latents : array, shape (n_latents, N)
    length : array, shape (N,)
        Of the last step, in standard deviations of the row's own Gaussian.
    value : array, shape (N,)
        Log-density before the last step.
    factor : array, shape (n_latents, n_latents, N)
        Columns of the scale of that Gaussian.
    """

    latents: np.ndarray
    length: np.ndarray
    value: np.ndarray
    factor: np.ndarray

    @property
    def standard_deviations(self) -> np.ndarray:
        """Of each latent, shape (n_latents, N)."""
        return np.sqrt(np.square(self.factor).sum(axis=1))


class RowModes:
    """Climbs in the latents of all rows.

    Parameters
    ----------
    model : pm.Model
        Of what rows share.
    integral : RowIntegral
        In variables of the model.
    """

    def __init__(self, model: pm.Model, integral: RowIntegral) -> None:
        self._names = [value.name for value in model.value_vars]
        latents = list(integral.latents)
        new, length = integral.newton_step(latents)
        units = np.eye(len(latents))
        columns, _ = integral.nodes(latents, units, newton_steps=0)
        outputs: list[Variable] = [*new, length, integral.joint, *columns]
        self._n_latents = len(latents)
        self._step = compile_function(
            [*model.value_vars, *latents],
            model.replace_rvs_by_values(outputs),
            mode="FAST_COMPILE",
        )

    def climb(
        self, point: Mapping[str, Any], start: np.ndarray, most_steps: int = MOST_STEPS
    ) -> Climbed:
        """Climb from given latents, shape (n_latents, N)."""
        values = [point[name] for name in self._names]
        latents, k = np.asarray(start), self._n_latents
        with np.errstate(all="ignore"):
            for _ in range(most_steps):
                before = latents
                *moved, length, value = self._step(*values, *before)[: k + 2]
                latents = np.stack(moved)
                if np.max(length) < _ARRIVED:
                    break
            columns = np.stack(self._step(*values, *latents)[k + 2 :])  # (latent, point, N)
        return Climbed(latents, length, value, columns - latents[:, None])


def in_terms_of(
    integral: RowIntegral, model: pm.Model, placeholders: Mapping[str, Variable]
) -> RowIntegral:
    """Return an integral with a model's own variables in the places of placeholders."""
    places = {place: model[name] for name, place in placeholders.items()}
    graphs: Sequence[Variable] = graph_replace(
        [integral.joint, *integral.derivatives], places, strict=False
    )
    return RowIntegral(graphs[0], integral.latents, tuple(graphs[1:]))
