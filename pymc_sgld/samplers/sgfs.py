"""Stochastic-gradient Fisher scoring: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytensor.tensor as pt

from pymc_sgld.samplers._base import Rule
from pymc_sgld.types import Tensor

_LARGEST_NATURAL_STEP = 0.5


@dataclass(frozen=True)
class StochasticGradientFisherScoring(Rule):
    r"""A step that counts the gradient's own noise as part of the noise it needs.

    In coordinates in which the posterior has unit curvature and the gradient noise is diagonal with
    variances :math:`v_i`,

    .. math::
        z_i' = z_i + \frac{2}{1 + (v_i + b) / T}\, \bigl(\hat g_i(z) + \eta_i\bigr), \qquad
        \eta_i \sim N(0, b), \quad b = 2T / h .

    On a Gaussian, :math:`\hat g = -z + e` with :math:`e` of variance v: with the gain
    :math:`\gamma = 2 / (1 + (v + b)/T)` the stationary variance C of
    :math:`z' = (1 - \gamma) z + \gamma (e + \eta)` solves

    .. math:: C = (1 - \gamma)^2 C + \gamma^2 (v + b), \qquad
        C = \frac{\gamma\, (v + b)}{2 - \gamma} = T ,

    so the law is exact for every step size h, where v is right. The bias is that of what is not
    Gaussian: of first order in the gain. For small h the gain is h and the injected noise
    :math:`\gamma^2 b = 2 h T`: SGLD. For large h no noise is injected: the constant step of Mandt,
    Hoffman and Blei (:class:`~pymc_sgld.samplers.ConstantSgd`).

    Notes
    -----
    One gradient per step. Ahn, Korattikara and Welling write the step as
    :math:`2\,(\gamma N I_t + 4B/\epsilon)^{-1}(\nabla + \eta)`, with :math:`I_t` the Fisher
    information of a row, averaged along the chain, :math:`\gamma = (n + N)/n`, B a matrix of the
    user's and :math:`\epsilon` the step size. Divided by :math:`N I_t`, which is the curvature, it
    is the step here with :math:`v = N/n`, the whitened noise of batches of n out of N rows drawn
    with replacement in a model that fits its data, :math:`b = 4B/(\epsilon N I)`, T = 1. What
    differs: curvature and noise are two measurements, both made at the mode and then frozen, so
    that the noise may be that of any batch and of any estimator, and the model need not be true.

    With the step size left out it is :math:`\min(1/2,\, 2T/v_{\max})`: at most half of the noise is
    then the gradient's, and an error of a tenth in v is one of a twentieth in a variance.

    References
    ----------
    .. [1] Ahn, S., Korattikara, A. and Welling, M. (2012). Bayesian posterior sampling via
       stochastic gradient Fisher scoring. ICML. https://dl.acm.org/doi/10.5555/3042573.3042799
    """

    name: ClassVar[str] = "sgfs"
    largest_step: ClassVar[float] = _LARGEST_NATURAL_STEP
    compensates: ClassVar[bool] = True
    needs_gradient_noise: ClassVar[bool] = True

    def preconditioners(self, step_given: bool) -> tuple[str, ...]:
        """Return the preconditioners with unit curvature, whatever else was given."""
        return ("dense",)

    def natural_step_size(self, gradient_noise: float, temperature: float) -> float:
        """Return the step size where it is left out, from the largest variance of the gradient."""
        if gradient_noise <= 0:
            return _LARGEST_NATURAL_STEP
        return min(_LARGEST_NATURAL_STEP, 2 * temperature / gradient_noise)

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
        known = 0 if gradient_noise is None else gradient_noise
        injected = 2 * temperature / step_size
        gain = 2 / (1 + (known + injected) / temperature)
        return {"position": position + gain * (gradient(position) + pt.sqrt(injected) * noise[0])}
