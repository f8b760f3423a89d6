"""The exact stationary law of a compiled sampler on a Gaussian target, by pushing unit vectors."""

import numpy as np

from pymc_sgld.chain.block_gradients import CentreTables, layouts_of
from pymc_sgld.chain.step_graph import loop_constants
from pymc_sgld.row_sources import FixedBlocks
from pymc_sgld.types import Randomness


class AffineStep:
    """The matrices of one compiled step, for a window start: x' = M x + b + B noise."""

    def __init__(self, step, step_size, temperature):
        self.h, self.temperature = step_size, temperature
        self.chain = step.chain
        rule = self.chain.settings.kernel.rule
        self.names = ("position", *rule.extra_state)
        self.n_dim = self.chain.n_dim
        self.n_state = self.n_dim * len(self.names)
        self.noise_vectors = rule.noise_vectors

    def push(self, x, noise, start):
        chain, batches = self.chain, self.chain.batches
        state = dict(zip(self.names, np.reshape(x, (-1, self.n_dim)).astype(float), strict=True))
        randomness = Randomness(
            np.array([[start]], dtype=np.int64),
            np.asarray(noise, float).reshape(1, self.noise_vectors, self.n_dim),
        )
        constants = loop_constants(
            batch_sizes=batches.batch_sizes,
            scales=batches.total_sizes / batches.batch_sizes,
            gradient_noise=chain.state.gradient_noise,
            estimator_parameters=chain.state.estimator_parameters,
            metric_parameters=chain.state.metric.parameters(),
            leaves=batches.arrays("law", self.permutation),
        )
        sizes = np.array([self.h]), np.array([self.temperature])
        new = chain.loop.run(state, randomness, *sizes, constants, self.entries(randomness.starts))
        return np.concatenate([new[name] for name in self.names])

    def entries(self, starts):
        """What the rows of the windows say at the centre, where the estimator reads it."""
        chain = self.chain
        estimator = chain.settings.kernel.estimator
        if estimator.remembers or not estimator.tabled:
            return None
        return CentreTables().at(
            starts, "law", chain.state.estimator_parameters[0], chain.block_function,
            chain.batches, lambda: chain.batches.arrays("law", self.permutation),
        )  # fmt: skip

    def permutation(self, group):
        return np.random.default_rng(5).permutation(int(self.chain.batches.total_sizes[group]))

    def starts(self):
        """Starts of windows, each as likely as the others."""
        batches = self.chain.batches
        if batches.groups[0].whole:
            return [0]
        places = np.arange(int(batches.total_sizes[0]))
        if isinstance(batches.scheme, FixedBlocks):
            return layouts_of(batches)[0].block_start(places).tolist()
        return places.tolist()

    def matrices(self, start):
        rest, quiet = np.zeros(self.n_state), np.zeros(self.n_dim * self.noise_vectors)
        b = self.push(rest, quiet, start)
        M = np.array([self.push(e, quiet, start) - b for e in np.eye(len(rest))]).T
        pushed = [self.push(rest, e, start) - b for e in np.eye(len(quiet))]
        B = np.reshape(pushed, (len(quiet), len(rest))).T
        return M, b, B

    def stationary(self):
        """Mean and covariance of the position, exact over all windows of the permutation."""
        starts = self.starts()
        Ms, bs, Bs = map(np.array, zip(*(self.matrices(start) for start in starts), strict=True))
        n = self.n_state
        mean = np.linalg.solve(np.eye(n) - Ms.mean(axis=0), bs.mean(axis=0))
        # second moments about the mean: x' - mean = M (x - mean) + (M mean + b - mean) + B noise
        shift = np.einsum("sij,j->si", Ms, mean) + bs - mean
        source = np.einsum("si,sj->ij", shift, shift) / len(shift)
        source += np.einsum("sik,sjk->ij", Bs, Bs) / len(Bs)
        kron = np.einsum("sij,skl->ikjl", Ms, Ms).reshape(n * n, n * n) / len(Ms)
        covariance = np.linalg.solve(np.eye(n * n) - kron, source.reshape(-1)).reshape(n, n)
        return mean[: self.n_dim], covariance[: self.n_dim, : self.n_dim]


def window_noise(target, law, batch_size):
    """Covariance over all windows of the batch gradient, written out by hand."""
    order = law.permutation(0)
    gradients = [
        target.window_gradient(order, start, batch_size, np.zeros(target.rows.shape[1]))
        for start in range(target.n_rows)
    ]
    return np.cov(np.transpose(gradients), bias=True)
