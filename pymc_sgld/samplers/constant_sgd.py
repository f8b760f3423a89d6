"""Stochastic gradient descent with a constant step, read as a sampler: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from pymc_sgld.samplers._base import Rule
from pymc_sgld.types import Tensor


@dataclass(frozen=True)
class ConstantSgd(Rule):
    r"""Gradient steps without injected noise: the noise of the batches does all the stirring.

    With the step size left out, in coordinates in which the posterior has unit curvature and the
    gradient noise is diagonal with variances :math:`v_i`,

    .. math:: z_i' = z_i + \frac{2}{1 + v_i / T}\, \hat g_i(z) ,

    which on a Gaussian has variance T in every direction, exactly: with gain :math:`\gamma` the
    stationary variance of :math:`z' = (1 - \gamma) z + \gamma e` is
    :math:`\gamma v / (2 - \gamma)`. With a step size h given the step is plain,

    .. math:: \theta' = \theta + h\, \hat g(\theta), \qquad
        C = \frac{h\, v}{\lambda\, (2 - h \lambda)}

    in a direction of curvature :math:`\lambda`: how wide it is depends on the batch and on h, not
    on the temperature, and is the posterior's only by luck. ``predicted_sd_inflation`` says by how
    much it is off.

    The law is right only where the gradient noise is Gaussian and the same all over the posterior:
    the steps pass on its shape, and a batch of a few rows is skewed. A direction that no row
    informs, such as a mean of group effects, has no noise and cannot be sampled so: that is
    refused. Where a batch is a large part of the rows, the windows of one copy of the rows overlap,
    and their noise is right only on average over copies: a run through few copies is off by tens of
    per cent at random. Take smaller batches or ``batches="replacement"``. What is not Gaussian in
    the posterior costs a bias of first order in the gain.

    Notes
    -----
    One gradient per step. Mandt, Hoffman and Blei write :math:`\epsilon` for the step on the
    average gradient, S for the batch size and C for the covariance of a row's gradient; their
    optimal preconditioner :math:`H = (2S/N)\, C^{-1}` is the step :math:`2 / v` here, the limit of
    the one above for :math:`v \gg T`.

    References
    ----------
    .. [1] Mandt, S., Hoffman, M. D. and Blei, D. M. (2017). Stochastic gradient descent as
       approximate Bayesian inference. JMLR 18(134). https://jmlr.org/papers/v18/17-214.html
    """

    name: ClassVar[str] = "constant_sgd"
    noise_vectors: ClassVar[int] = 0
    largest_step: ClassVar[float] = 1.0
    compensates: ClassVar[bool] = True
    needs_gradient_noise: ClassVar[bool] = True
    step_replaces_noise: ClassVar[bool] = True

    def preconditioners(self, step_given: bool) -> tuple[str, ...]:
        """Return those of unit curvature where the step is to be chosen; any where it is given."""
        return () if step_given else ("dense",)

    def natural_step_size(self, gradient_noise: float, temperature: float) -> float:
        """Return the step size where it is left out: a factor of the gain of each direction."""
        return 1.0

    def update(
        self,
        state: Mapping[str, Tensor],
        gradient: Callable[[Tensor], Tensor],
        *,
        step_size: Tensor,
        temperature: Tensor,
        noise: Tensor,
        gradient_noise: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the next state; see :class:`pymc_sgld.samplers.Rule`."""
        position = state["position"]
        gain = step_size
        if gradient_noise is not None:
            gain = step_size * 2 / (1 + gradient_noise / temperature)
        return {"position": position + gain * gradient(position)}
