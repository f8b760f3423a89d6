"""A preconditioner that is learned from gradients while tuning, and then frozen."""

from dataclasses import dataclass, replace

import numpy as np

from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import ChainState
from pymc_sgld.tuning import GaussianLaw
from pymc_sgld.types import Array


@dataclass(frozen=True)
class MetricLearning:
    """The preconditioner of a chain whose settings name one that learns.

    Where the step size is given, M is 1 / sqrt(V) as it stands. Where it was left out, M has a
    level such that the largest curvature at the mode is 1, which is chosen anew when V is frozen.
    A step size that follows an acceptance rate keeps to the level it was led at.
    """

    settings: Settings
    state: ChainState

    def begin(self, gradients: Array, centre: Array) -> None:
        """Start from the gradients of some batches, shape (n_batches, n_dim)."""
        chosen = self.settings.preconditioner
        self.state.learned = chosen.first(np.asarray(gradients, dtype=float))
        self.state.metric = chosen.metric(self.state.learned, centre)

    def add(self, gradient: Array) -> None:
        """Take in the gradient of a draw's last batch."""
        state, chosen = self.state, self.settings.preconditioner
        if not np.isfinite(gradient).all():
            return
        state.learned = chosen.add(state.learned, np.asarray(gradient, dtype=float))
        self._renew_metric()

    def freeze(self) -> None:
        """End the learning; the picture of the chain is in the coordinates of the last metric."""
        state, settings = self.state, self.settings
        predicted_law, learned = state.predicted_law, state.learned
        if not isinstance(predicted_law, GaussianLaw) or learned is None:
            return
        if settings.step_size is None and not settings.adapts_step_size:
            ratio = settings.preconditioner.scale(learned) / np.diag(predicted_law.factor)
            stiffest = np.linalg.eigvalsh(predicted_law.precision * np.outer(ratio, ratio))[-1]
            state.learned = replace(learned, level=float(learned.level / stiffest))
            self._renew_metric()
        state.predicted_law = self._in_new_coordinates()

    def _renew_metric(self) -> None:
        """Set the metric to what was learned; what is kept in coordinates stays where it was."""
        state, before = self.state, self.state.metric
        state.metric = self.settings.preconditioner.metric(state.learned, before.centre)  # type: ignore[attr-defined]
        state.coordinates = None
        ratio = state.metric.scale / before.scale  # type: ignore[attr-defined]
        if state.gradient_noise is not None:
            state.gradient_noise = state.gradient_noise * ratio**2
        for name in self.settings.kernel.rule.displacements:
            state.extra_state[name] = state.extra_state[name] / ratio

    def _in_new_coordinates(self) -> GaussianLaw:
        """Return the picture of the chain in the coordinates of the metric as it is."""
        predicted_law, factor = self.state.predicted_law, self.state.metric.matrix()
        assert isinstance(predicted_law, GaussianLaw)
        ratio = np.diag(factor) / np.diag(predicted_law.factor)
        known = predicted_law.known_noise
        return GaussianLaw(
            predicted_law.law,
            predicted_law.precision * np.outer(ratio, ratio),
            predicted_law.noise * np.outer(ratio, ratio),
            factor,
            known_noise=None if known is None else known * ratio**2,
            tied=tuple(
                one._replace(noise=one.noise * np.outer(ratio, ratio)) for one in predicted_law.tied
            ),
        )
