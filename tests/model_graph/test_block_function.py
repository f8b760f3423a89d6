import pickle

import numpy as np
import pymc as pm
import pytensor
import pytest

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.model_graph import RowError, row_model
from tests.model_graph.accepted_models import N, X, Y


@pytest.fixture(scope="module")
def two_groups(split, python_mode):
    return split("two_likelihoods_different_rows").block_function(python_mode)


@pytest.fixture(scope="module")
def position():
    return np.array([0.3, -0.2, 0.1])


def reference(model, position, mode):
    value, gradient = model.compile_logp(mode=mode), model.compile_dlogp(mode=mode)
    return value({"b": position}), gradient({"b": position})


@pytest.mark.parametrize("chunk", [7, 41, 60, 1000, None])
def test_full_in_chunks_is_the_models_log_density(chunk, two_groups, split, position, python_mode):
    # 40 and 60 rows: with chunks of 7 and 41 the shorter group runs out first.
    value, gradient = two_groups.full(position, chunk)
    expected = reference(split("two_likelihoods_different_rows").model, position, python_mode)
    np.testing.assert_allclose(value, expected[0], rtol=1e-12)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-12)


def test_batches_are_unbiased(two_groups, position):
    # Over all batches of 12 consecutive rows (5 and 20 of them cover each row equally often).
    estimates = []
    for k in range(60):
        rows = [(np.arange(12) + k) % 60, (np.arange(8) + k) % 40]
        estimates.append(two_groups.batch(position, rows)[1])
    # 60 windows cover the 60 rows 12 times each, but 40 rows unevenly: use their common period.
    for k in range(60, 120):
        rows = [(np.arange(12) + k) % 60, (np.arange(8) + k) % 40]
        estimates.append(two_groups.batch(position, rows)[1])
    np.testing.assert_allclose(np.mean(estimates, axis=0), two_groups.full(position)[1], rtol=1e-12)


def test_row_gradients_add_up_to_the_full_gradient(two_groups, position):
    total = two_groups.prior(position)[1]
    for group, n in enumerate(two_groups.total_sizes):
        each = two_groups.row_gradients(position, group, np.arange(n))
        assert each.shape == (n, 3)
        total = total + each.sum(axis=0)
    np.testing.assert_allclose(total, two_groups.full(position)[1], rtol=1e-12)


def test_the_prior_is_what_no_row_adds_to(two_groups, position):
    value, gradient = two_groups.prior(position)
    of_rows = [two_groups.batch(position, [[3], [5]], prior_weight=w) for w in (0.0, 1.0)]
    np.testing.assert_allclose(value, of_rows[1][0] - of_rows[0][0], rtol=1e-12)
    np.testing.assert_allclose(gradient, of_rows[1][1] - of_rows[0][1], rtol=1e-12)


def test_rows_are_drawn_without_repeats_and_weigh_what_they_stand_for(two_groups):
    few, everything = two_groups.random_rows([7, None], np.random.default_rng(3))
    by_hand = np.sort(np.random.default_rng(3).choice(60, 7, replace=False))
    np.testing.assert_array_equal(few, by_hand)
    np.testing.assert_array_equal(everything, np.arange(40))
    assert two_groups.weights([few, everything]) == [60 / 7, 1.0]


def test_prior_weight_scales_the_prior_alone(two_groups, position):
    rows = [np.arange(5), np.arange(4)]
    both = two_groups.batch(position, rows)[0]
    without = two_groups.batch(position, rows, prior_weight=0.0)[0]
    prior = two_groups.batch(position, rows, weights=[0.0, 0.0])[0]
    np.testing.assert_allclose(both, without + prior, rtol=1e-12)


def test_pickled_function_gives_the_same_and_holds_no_model(split):
    row_model = split("group_intercepts_non_centred")
    function = row_model.block_function(sampling_mode())
    data = pickle.dumps(function)
    assert b"pymc.model" not in data
    position = np.linspace(-1, 1, row_model.n_dim)
    np.testing.assert_array_equal(pickle.loads(data).full(position)[1], function.full(position)[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, q: f.batch(q, [np.arange(3)]), "rows has 1 entries but the model has 2 row"),
        (lambda f, q: f.batch(q, [np.arange(3), []]), "A batch of 0 rows has no N / n"),
        (lambda f, q: f.full(q, 0), "chunk must be at least 1 row, found 0"),
    ],
)
def test_wrong_calls_are_refused(call, message, two_groups, position):
    with pytest.raises(RowError, match=message):
        call(two_groups, position)


def data_model():
    with pm.Model() as model:
        data = pm.Data("X", X)
        b = pm.Normal("b", shape=3)
        pm.Normal("y", (data - data.mean(axis=0)) @ b, 1.0, observed=pm.Data("Y", Y))
    return model


def test_changed_data_are_noticed_where_a_statistic_was_folded(python_mode):
    model = data_model()
    split_model = row_model(model)
    with model:
        pm.set_data({"X": X + 1.0})
    with pytest.raises(RowError, match=r"^'X' changed after row_model read the model"):
        split_model.block_function(python_mode)


def test_changed_values_are_read_late_where_they_can_be(python_mode, position):
    model = data_model()
    split_model = row_model(model)
    with model:
        pm.set_data({"Y": Y + 1.0})
    value, _ = split_model.block_function(python_mode).full(position)
    np.testing.assert_allclose(value, reference(model, position, python_mode)[0], rtol=1e-12)


def test_a_changed_number_of_rows_is_refused(python_mode):
    model = data_model()
    split_model = row_model(model)
    with model:
        pm.set_data({"Y": np.append(Y, 0.0)})
    with pytest.raises(RowError, match=r"'Y'.*Call row_model again"):
        split_model.block_function(python_mode)


def test_a_point_of_the_wrong_shape_is_refused(split):
    with pytest.raises(RowError, match=r"^'b' has shape \(2,\) in the point but \(3,\)"):
        split("linear_constants").ravel({"b": np.zeros(2), "s_log__": np.zeros(())})
    with pytest.raises(RowError, match="The point lacks 's_log__'"):
        split("linear_constants").ravel({"b": np.zeros(3)})


def saturated(family):
    """Rows with predictors so large that a probability rounds to 0 or 1."""
    with pm.Model() as model:
        b = pm.Normal("b", 0, 10, shape=3)
        eta = (X * b).sum(axis=1)
        if family == "bernoulli":
            pm.Bernoulli("y", logit_p=eta, observed=np.arange(N) % 2)
        elif family == "binomial":
            pm.Binomial("y", n=5, logit_p=eta, observed=np.arange(N) % 6)
        else:
            pm.NegativeBinomial("y", mu=pm.math.exp(eta), alpha=2, observed=np.arange(N))
    return model


@pytest.mark.parametrize("family", ["bernoulli", "binomial", "negative binomial"])
def test_gradients_are_finite_where_probabilities_round(family, python_mode):
    """Without PyMC's stabilising rewrites before the gradient is taken, it was nan."""
    model = saturated(family)
    far = np.array([40.0, -30.0, 60.0])
    value, gradient = row_model(model).block_function(python_mode).full(far)
    expected = reference(model, far, python_mode)
    assert np.isfinite(gradient).all() and np.abs(X @ far).max() > 60
    np.testing.assert_allclose(value, expected[0], rtol=1e-10)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-10)


def test_single_precision(python_mode):
    with pytensor.config.change_flags(floatX="float32"):
        with pm.Model() as model:
            b = pm.Normal("b", shape=3)
            pm.Normal("y", X.astype("float32") @ b, 1.0, observed=Y.astype("float32"))
        function = row_model(model).block_function(python_mode)
        _, gradient = function.full(np.zeros(3, dtype="float32"))
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(gradient, X.T @ Y, rtol=1e-4)


def test_total_sizes_match_the_data(two_groups):
    assert two_groups.total_sizes == (N, 40)
