"""The compiled loop against the update written out in numpy, on every backend."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from pytensor.compile.mode import get_mode

from pymc_sgld.chain import lean_products
from pymc_sgld.types import Randomness
from tests.targets import logistic_model


def test_loop_is_the_update_written_by_hand(make_step, backend):
    """Same noise, same rows: equal to a loop over block gradients to 1e-12, numba and JAX."""
    step = make_step("logistic", logistic_model(), step_size=1e-3, batch_size=20, backend=backend)
    chain = step.chain
    rng = np.random.default_rng(0)
    n_steps, n_dim = 25, chain.n_dim
    randomness = Randomness(
        rng.integers(0, 500, (n_steps, 1)), rng.normal(size=(n_steps, 1, n_dim))
    )
    step_sizes, temperatures = rng.uniform(1e-3, 2e-3, n_steps), rng.uniform(0.5, 2, n_steps)
    position = rng.normal(size=n_dim)
    leaves = chain.batches.arrays("hand", lambda group: np.random.default_rng(4).permutation(500))
    found = chain.loop.run(
        {"position": position},
        randomness,
        step_sizes,
        temperatures,
        [chain.batches.batch_sizes, np.array([25.0]), *leaves],
    )["position"]
    expected = position
    for [start], [noise], h, t in zip(*randomness, step_sizes, temperatures, strict=True):
        blocks = [leaf[start : start + 20] for leaf in leaves]
        _, gradient = chain.block_function.on_blocks(
            expected, blocks, prior_weight=1, weights=[25.0]
        )
        expected = expected + h * gradient + np.sqrt(2 * h * t) * noise
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_lean_products_equal_numpy_in_every_layout():
    rng = np.random.default_rng(0)
    X, v, w = pt.matrix("X"), pt.vector("v"), pt.vector("w")
    outputs = [X @ v, w @ X, X.T @ w, v @ X.T, (X @ v[:, None]), (w[None, :] @ X)]
    mode = get_mode("NUMBA").including(lean_products.TAG)
    function = pytensor.function([X, v, w], outputs, mode=mode)
    kinds = {type(node.op).__name__ for node in function.maker.fgraph.apply_nodes}
    assert "Dot" not in kinds, kinds
    a, b, c = rng.normal(size=(7, 5)), rng.normal(size=5), rng.normal(size=7)
    for layout in (np.ascontiguousarray, np.asfortranarray, lambda m: np.repeat(m, 2, 0)[::2]):
        results = function(layout(a), b, c)
        expected = [a @ b, c @ a, a.T @ c, b @ a.T, a @ b[:, None], c[None, :] @ a]
        for found, right in zip(results, expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-13)


@pytest.mark.parametrize(("kind", "dtype"), [("uint8", "float32"), ("int64", "float64")])
def test_lean_products_of_whole_numbers_are_of_the_vectors_type(kind, dtype):
    X, v, w = pt.matrix("X", dtype=kind), pt.vector("v", dtype=dtype), pt.vector("w", dtype=dtype)
    function = pytensor.function(
        [X, v, w], [X @ v, w @ X], mode=get_mode("NUMBA").including(lean_products.TAG)
    )
    kinds = {type(node.op).__name__ for node in function.maker.fgraph.apply_nodes}
    assert "Dot" not in kinds, kinds
    rng = np.random.default_rng(0)
    a, b, c = (
        rng.integers(0, 9, (7, 5)).astype(kind),
        *(rng.normal(size=n).astype(dtype) for n in (5, 7)),
    )
    for found, right in zip(function(a, b, c), (a @ b, c @ a), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, right, rtol=1e-5 if dtype == "float32" else 1e-13)


def test_matrix_products_stay_with_blas():
    X, Y = pt.matrix("X"), pt.matrix("Y")
    mode = get_mode("NUMBA").including(lean_products.TAG)
    graph = pytensor.function([X, Y], X @ Y, mode=mode.clone(linker="py")).maker.fgraph
    assert "Dot" in {type(node.op).__name__ for node in graph.apply_nodes}


def test_lean_ops_evaluate_without_numba():
    X, v, w = pt.matrix("X"), pt.vector("v"), pt.vector("w")
    outputs = [lean_products.matrix_vector(X, v), lean_products.vector_matrix(w, X)]
    a = np.arange(6.0).reshape(2, 3)
    found = pytensor.function([X, v, w], outputs, mode="FAST_COMPILE")(a, np.ones(3), np.ones(2))
    np.testing.assert_allclose(found[0], a.sum(axis=1))
    np.testing.assert_allclose(found[1], a.sum(axis=0))


class TestDraws:
    """What a loop records at the ends of draws, on every backend."""

    N_STEPS = 12

    def arguments(self, chain, *, bad=()):
        rng = np.random.default_rng(3)
        noise = rng.normal(size=(self.N_STEPS, 1, chain.n_dim))
        noise[list(bad), 0, 0] = np.inf
        starts = rng.integers(0, 500, (self.N_STEPS, 1))
        leaves = chain.batches.arrays(
            "draws", lambda group: np.random.default_rng(4).permutation(500)
        )
        constants = [chain.batches.batch_sizes, np.array([25.0]), *leaves]
        h, t = rng.uniform(1e-3, 2e-3, self.N_STEPS), np.ones(self.N_STEPS)
        return [Randomness(starts, noise), h, t, constants]

    @pytest.fixture
    def chain(self, make_step, backend):
        return make_step(
            "logistic", logistic_model(), step_size=1e-3, batch_size=20, backend=backend
        ).chain

    def test_draws_are_the_states_at_their_ends(self, chain):
        ends = np.isin(np.arange(self.N_STEPS), [2, 3, 8])  # draws of 3, 1 and 5 steps, 3 left over
        randomness, h, t, constants = self.arguments(chain)
        state = {"position": np.zeros(chain.n_dim)}
        found = chain.loop.run_draws(state, state, randomness, h, t, constants, ends=ends)
        first = 0
        for draw, end in zip(found.draws["position"], [3, 4, 9], strict=True):
            piece = slice(first, end)
            part = Randomness(randomness.starts[piece], randomness.noise[piece])
            state = chain.loop.run(state, part, h[piece], t[piece], constants)
            np.testing.assert_array_equal(draw, state["position"])
            first = end
        part = Randomness(randomness.starts[9:], randomness.noise[9:])
        last = chain.loop.run(state, part, h[9:], t[9:], constants)
        np.testing.assert_array_equal(found.last["position"], last["position"])
        assert not found.refused.any()

    def test_from_a_draw_that_is_refused_the_chain_goes_on_where_it_was(self, chain):
        ends = np.isin(np.arange(self.N_STEPS), [2, 5, 8, 11])
        randomness, h, t, constants = self.arguments(chain, bad=[4])
        state = {"position": np.zeros(chain.n_dim)}
        found = chain.loop.run_draws(state, state, randomness, h, t, constants, ends=ends)
        assert found.refused.tolist() == [False, True, False, False]
        draws = found.draws["position"]
        np.testing.assert_array_equal(draws[1], draws[0])
        part = Randomness(randomness.starts[6:9], randomness.noise[6:9])
        after = chain.loop.run({"position": draws[0]}, part, h[6:9], t[6:9], constants)
        np.testing.assert_array_equal(draws[2], after["position"])

    def test_a_loop_that_stops_does_so_at_the_draw_that_is_refused(self, chain):
        ends = np.isin(np.arange(self.N_STEPS), [2, 5, 8, 11])
        randomness, h, t, constants = self.arguments(chain, bad=[7])
        state = {"position": np.zeros(chain.n_dim)}
        found = chain.loop.run_draws(
            state, state, randomness, h, t, constants, ends=ends, stops=True
        )
        assert found.refused.tolist() == [False, False, True]
        np.testing.assert_array_equal(found.draws["position"][2], found.draws["position"][1])
        np.testing.assert_array_equal(found.last["position"], found.draws["position"][1])

    def test_a_position_beyond_the_limit_is_refused_and_one_within_is_not(self, chain):
        ends = np.isin(np.arange(self.N_STEPS), [2, 5, 8, 11])
        randomness, h, t, constants = self.arguments(chain)
        state, t = {"position": np.zeros(chain.n_dim)}, 2 * t
        free = chain.loop.run_draws(state, state, randomness, h, t, constants, ends=ends)
        lengths = (free.draws["position"] ** 2).sum(axis=1)
        limit = lengths[0] / 2  # times the temperature: exactly the first length
        found = chain.loop.run_draws(
            state, state, randomness, h, t, constants, ends=ends, limit=1.001 * limit
        )
        assert not found.refused[0]
        found = chain.loop.run_draws(
            state, state, randomness, h, t, constants, ends=ends, limit=0.999 * limit
        )
        assert found.refused[0]
