"""Preconditioned SGLD, its preconditioner learned as it runs: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt

from pymc_sgld.samplers._base import ScaledRule
from pymc_sgld.types import Array, Tensor
from pymc_sgld.validate import check_flag, check_positive


@dataclass(frozen=True)
class PreconditionedLangevin(ScaledRule):
    r"""SGLD in the metric of RMSprop, a running average of squared gradients.

    .. math::
        \theta' &= \theta + h\,\bigl[G\, \hat g(\theta) + T\, \Gamma\bigr]
            + \sqrt{2 h T G}\; \xi, \qquad G = \frac{1}{\lambda \sqrt{V_0} + \sqrt V} \\
        V' &= a V + (1 - a)\, \hat g^2, \qquad
        S' = a\, (1 + h\, G\, d)\, S + (1 - a)\, 2\, \hat g\, d, \qquad
        \Gamma = -\frac{G^2 S}{2 \sqrt V}

    elementwise, with :math:`a` the ``decay``, :math:`V_0` the squared gradients expected at the
    start, :math:`\lambda` the ``damping`` and :math:`d = r \cdot (H r)` an estimate of the diagonal
    of the Hessian H of the batch's log-density from a vector r of random signs (Hutchinson): its
    mean is the diagonal, and it is exact where H is diagonal. The bias is of first order in h.

    **Which average.** V holds gradients of the steps before only. With the gradient of the step
    itself inside, G and :math:`\hat g` are correlated: gradient noise of variance v lowers the
    drift by about :math:`(1 - a)\, v / V` and leaves the injected noise as it is, which widens
    every variance by that fraction at any step size.

    **Which correction.** For the chain of :math:`\theta` and V together, in continuous time, the
    law of :math:`\theta` is the target if the extra drift has the mean
    :math:`T\, \partial_i E[G_i \mid \theta]`: integrate the Fokker-Planck equation over V. So what
    is needed is how the average depends on where the chain is now, and it does so through all of
    the gradients in it, as far back as the chain remembers. Run backwards from :math:`\theta`, the
    chain is a Langevin chain again, and a change of its start reaches the point k steps off
    multiplied by its Jacobian :math:`\prod_j (1 + h\, G_j H_j)`; hence

    .. math:: \partial_i E[V_i \mid \theta_t] \approx E\Bigl[\textstyle\sum_k (1 - a)\, a^k\,
        2\, \hat g_{t-k}\, d_{t-k} \prod_{j < k} (1 + h\, G_{t-j}\, d_{t-j}) \Bigr]_i

    which is the mean of S, noise of the batches included (the Jacobian by its diagonal). The
    correction printed with the method differentiates the newest square alone and gives it the
    weight :math:`1 - a`: with small steps, where all gradients in V were made near the same
    :math:`\theta`, that is a tenth of what is needed at decay 0.9 and a hundredth at 0.99. In the
    opposite limit, where V averages for longer than the chain remembers, S vanishes as it should.

    ``correction=False`` leaves :math:`\Gamma` out, as most published code does, and saves the
    second derivative. Then the chain has another law, whatever the step size: where gradients are
    small it moves quickly, and it is not driven back for it, so that its variances are too wide:
    by a tenth to two thirds on small targets with decay 0.9 to 0.99. Nothing is lost where V
    averages for much longer than the chain remembers.

    Parameters
    ----------
    decay : float, default 0.99
        :math:`0 < a < 1`: the average is over about 1 / (1 - a) steps.
    damping : float, default 0.1
        :math:`\lambda > 0`, relative to the square root of the expected squared gradient, so that
        the rule does not depend on the units of a parameter. It bounds the step where gradients
        vanish to :math:`1/\lambda` of the usual one.
    correction : bool, default True

    Notes
    -----
    Two gradients per step (one without ``correction``): the product with the Hessian costs about as
    much as another. Li et al. write :math:`\epsilon = 2h`, average the gradients of the rows in
    place of their sum, which is a factor in h, and add :math:`\lambda = 10^{-5}` in those units.
    The step size is in units of the parameters, like a learning rate of RMSprop.

    References
    ----------
    .. [1] Li, C., Chen, C., Carlson, D. and Carin, L. (2016). Preconditioned stochastic gradient
       Langevin dynamics for deep neural networks. AAAI. https://doi.org/10.1609/aaai.v30i1.10200
    .. [2] Ma, Y.-A., Chen, T. and Fox, E. B. (2015). A complete recipe for stochastic gradient
       MCMC. NeurIPS. https://dl.acm.org/doi/10.5555/2969442.2969566
    """

    name: ClassVar[str] = "psgld"
    extra_state: ClassVar[tuple[str, ...]] = ("squares", "slope", "reference")
    nonlinear_state: ClassVar[tuple[str, ...]] = ("squares", "slope", "reference")
    largest_step: ClassVar[float] = 1.0

    decay: float = 0.99
    damping: float = 0.1
    correction: bool = True

    def __post_init__(self) -> None:
        """Check decay and damping."""
        hint = "The average of the squared gradients is over about 1 / (1 - decay) steps."
        if check_positive("decay", self.decay, hint=hint) >= 1:
            raise ValueError(f"decay must be below 1, got {self.decay!r}. {hint}")
        check_positive("damping", self.damping)
        check_flag("correction", self.correction)

    @property
    def noise_vectors(self) -> int:
        """One to inject; the correction takes its signs from a second."""
        return 2 if self.correction else 1

    @property
    def gradients_per_step(self) -> int:
        """One; the product with the Hessian counts as another."""
        return 2 if self.correction else 1

    def preconditioners(self, step_given: bool) -> tuple[str, ...]:
        """Return those that stay as they are along the chain; first the default."""
        return ("identity", "diagonal", "low_rank", "dense")

    def own_scales(self, squares: Array) -> Array:
        """Return the square root of G at the squared gradients expected, damping left out."""
        return np.asarray(squares) ** -0.25

    def start(self, normal: Array, temperature: float) -> dict[str, Array]:
        """Return the averages where squared gradients of 1 are expected."""
        return self.start_from_squares(1 + 0 * normal)

    def start_from_squares(self, squares: Array) -> dict[str, Array]:
        """Return the averages at their expectation, from the squared gradients expected."""
        return {"squares": squares, "slope": 0 * squares, "reference": squares}

    def update(
        self,
        state: Mapping[str, Tensor],
        gradient: Callable[[Tensor], Tensor],
        *,
        step_size: Tensor,
        temperature: Tensor,
        noise: Tensor,
    ) -> dict[str, Tensor]:
        """Return the next state; see :class:`pymc_sgld.samplers.Rule`."""
        position, squares, slope = state["position"], state["squares"], state["slope"]
        reference = pt.sqrt(state["reference"])
        # the square of a tiny gradient may be 0 in floating point
        root = pt.maximum(pt.sqrt(squares), 1e-12 * reference)
        metric = 1 / (self.damping * reference + root)
        estimate = gradient(position)
        drift = metric * estimate
        slope_after = slope
        if self.correction:
            drift = drift - temperature * slope * metric**2 / (2 * root)
            signs = pt.sign(noise[1])
            curvature = signs * pt.grad((estimate * signs).sum(), position)
            # bounded, so that an estimate off the diagonal cannot make the average grow
            passed_on = pt.clip(1 + step_size * metric * curvature, 0, 1 / self.decay)
            slope_after = (
                self.decay * passed_on * slope + (1 - self.decay) * 2 * estimate * curvature
            )
        injected = pt.sqrt(2 * step_size * temperature * metric) * noise[0]
        return {
            "position": position + step_size * drift + injected,
            "squares": self.decay * squares + (1 - self.decay) * estimate**2,
            "slope": slope_after,
            "reference": state["reference"],
        }
