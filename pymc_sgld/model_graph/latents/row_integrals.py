"""The integral of each row's joint density over its latents, as a graph of one number a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytensor
import pytensor.tensor as pt

from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace, vectorize_graph
from pytensor.graph.rewriting.utils import rewrite_graph

from pymc_sgld.model_graph.latents.held import held
from pymc_sgld.model_graph.latents.quadrature_rules import QuadratureRule

_LONGEST_STEP = 3.0  # of Newton, in standard deviations of the row's own Gaussian
_TINY = 1e-10  # of a curvature
_LARGEST_CORRELATION = 0.999  # of two latents of a row, in the Gaussian that places the nodes
SIMPLE = ("canonicalize", "stabilize")


@dataclass(frozen=True, eq=False)
class RowIntegral:
    r"""The joint density of each row as a function of its latents, and what is made of it.

    Adaptive quadrature with nodes at a row's mode :math:`\hat z` and scale :math:`C`,
    :math:`C C' = H^{-1}`, where H is minus the Hessian of the joint density there:

    .. math:: \log \int e^{J(z)} dz \approx
              \log \sum_q w_q e^{J(\hat z + C x_q)} + \log |C|

    Nodes and scale are held while derivatives are taken: the gradient is then Fisher's identity,
    the posterior mean of the complete score, by the same quadrature.

    Attributes
    ----------
    joint : TensorVariable, shape (N,)
        Log of the joint density of a row and its latents, in unconstrained latents.
    latents : tuple of TensorVariable, each of shape (N,)
        One or two.

    References
    ----------
    .. [1] Pinheiro, J. C. and Bates, D. M. (1995). Approximations to the log-likelihood function
       in the nonlinear mixed-effects model. Journal of Computational and Graphical Statistics 4,
       12-35. https://doi.org/10.1080/10618600.1995.10474663
    """

    joint: Variable
    latents: tuple[Variable, ...]
    derivatives: tuple[Variable, ...]  # gradient, and the upper triangle of minus the Hessian

    @classmethod
    def of(cls, joint: Variable, latents: Sequence[Variable]) -> RowIntegral:
        """Return the integral of a joint density; rows must not share latents."""
        joint = rewrite_graph(joint, include=SIMPLE)
        gradient = pytensor.grad(joint.sum(), list(latents))
        hessian = []
        for a, slope in enumerate(gradient):
            by = pytensor.grad(slope.sum(), list(latents)[a:], disconnected_inputs="ignore")
            hessian += [-one for one in by]
        derivatives = rewrite_graph([*gradient, *hessian], include=SIMPLE)
        return cls(joint, tuple(latents), tuple(derivatives))

    def newton_step(self, at: Sequence[Variable]) -> tuple[list[Variable], Variable]:
        """Return the latents after a damped Newton step, and its length in standard deviations."""
        gradient, covariance, _, _ = self._gaussian(at)
        step = [sum(v * g for v, g in zip(row, gradient, strict=True)) for row in covariance]
        squared = sum(s * g for s, g in zip(step, gradient, strict=True))
        length = pt.sqrt(pt.maximum(squared, _TINY**2))
        damped = pt.minimum(1.0, _LONGEST_STEP / length)
        return [z + damped * s for z, s in zip(at, step, strict=True)], length

    def log_integral(
        self, start: Sequence[Variable], rule: QuadratureRule, newton_steps: int
    ) -> Variable:
        """Return the log of the integral over the latents of each row.

        Parameters
        ----------
        start : sequence of TensorVariable, each of shape (N,)
            Where Newton's method begins.
        rule : QuadratureRule
        newton_steps : int

        Returns
        -------
        TensorVariable, shape (N,)
        """
        nodes, log_scale = self.nodes(start, rule.points, newton_steps)
        [at_nodes] = self.at_nodes([self.joint], nodes)
        weights = np.exp(rule.log_weights).astype(self.joint.type.dtype)[:, None]
        largest = held(at_nodes.max(axis=0))
        offset = pt.switch(pt.isinf(largest), 0.0, largest)
        # weights as factors: PyTensor makes an operation of its own of log(sum(exp(x))), whose
        # graph within the graph a mode that compiles nothing would hand to the C compiler
        total = (weights * pt.exp(at_nodes - offset)).sum(axis=0)
        return rewrite_graph(pt.log(total) + offset + log_scale, include=SIMPLE)

    def at_nodes(self, graphs: Sequence[Variable], nodes: Sequence[Variable]) -> list[Variable]:
        """Return functions of the latents, of shape (N,), at nodes; each of shape (n_points, N)."""
        vectors = dict(zip(self.latents, nodes, strict=True))
        result: list[Variable] = vectorize_graph(list(graphs), vectors)
        return result

    def nodes(
        self, start: Sequence[Variable], points: np.ndarray, newton_steps: int
    ) -> tuple[list[Variable], Variable]:
        """Return the latents at the nodes, each of shape (n_points, N), and log |C|, shape (N,)."""
        at = list(start)
        for _ in range(newton_steps):
            at, _ = self.newton_step(at)
        _, _, factor, log_scale = self._gaussian(at)
        columns = points.T.astype(self.joint.type.dtype)
        nodes = [
            held(
                z[None, :]
                + sum(c[None, :] * x[:, None] for c, x in zip(row, columns, strict=False))
            )
            for z, row in zip(at, factor, strict=True)
        ]
        return nodes, held(log_scale)

    def _gaussian(
        self, at: Sequence[Variable]
    ) -> tuple[list[Variable], list[list[Variable]], list[list[Variable]], Variable]:
        """Return gradient, covariance, its lower Cholesky factor by rows, and the factor's log."""
        there = graph_replace(
            list(self.derivatives), dict(zip(self.latents, at, strict=True)), strict=False
        )
        if len(self.latents) == 1:
            gradient, curvature = there
            precise = pt.maximum(pt.abs(curvature), _TINY)
            scale = 1 / pt.sqrt(precise)
            return [gradient], [[1 / precise]], [[scale]], pt.log(scale)
        *gradient, first, mixed, second = there
        first = pt.maximum(pt.abs(first), _TINY)
        second = pt.maximum(pt.abs(second), _TINY)
        most = _LARGEST_CORRELATION * pt.sqrt(first * second)
        mixed = pt.clip(mixed, -most, most)
        determinant = first * second - mixed**2
        covariance = [
            [second / determinant, -mixed / determinant],
            [-mixed / determinant, first / determinant],
        ]
        corner = pt.sqrt(covariance[0][0])
        factor = [[corner], [covariance[1][0] / corner, 1 / pt.sqrt(second)]]
        return gradient, covariance, factor, pt.log(corner) - pt.log(second) / 2
