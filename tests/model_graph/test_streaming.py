"""Models on small placeholders, fed by blocks of rows from elsewhere."""

import pickle

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr

from pymc_sgld.model_graph import RowError, row_model, verify
from pymc_sgld.posterior import row_log_likelihood

N = 5000
rng = np.random.default_rng(7)
X = rng.normal(size=(N, 3))
GROUP = rng.integers(0, 7, N)
Y = X @ np.array([0.5, -1.0, 0.2]) + rng.normal(size=N)
CLASS = rng.integers(0, 3, N)
U = rng.normal(size=7)


def linear(X=None, y=None, n=2):
    with pm.Model() as model:
        X = pm.Data("X", np.zeros((n, 3)) if X is None else X, dims=("row", "feature"))
        y = pm.Data("y_data", np.zeros(n) if y is None else y, dims="row")
        b, s = pm.Normal("b", shape=3), pm.HalfNormal("s")
        pm.Normal("y", X @ b, s, observed=y, dims="row")
    return model


def groups(X=None, g=None, y=None):
    # 7 groups and a table of 7, beside a placeholder of as many rows.
    with pm.Model() as model:
        X = pm.Data("X", np.zeros((7, 3)) if X is None else X)
        g = pm.Data("g", np.zeros(7, dtype=int) if g is None else g)
        y = pm.Data("y_data", np.zeros(7) if y is None else y)
        table = pm.Data("table", U)
        alpha, b = pm.Normal("alpha", shape=7), pm.Normal("b", shape=3)
        pm.Normal("y", alpha[g] * table[g] + pt.exp(X[:, 0] / 9) * b[0] + X @ b, 1, observed=y)
    return model


def classes(X=None, y=None):
    with pm.Model() as model:
        X = pm.Data("X", np.zeros((3, 3)) if X is None else X)
        y = pm.Data("y_data", np.zeros(3, dtype=int) if y is None else y)
        w = pm.Normal("w", shape=(3, 3))
        pm.Categorical("y", logit_p=X @ w, observed=y)
        pm.Potential("weights", -0.1 * pt.sqr(X @ w[:, 0]).sum())
    return model


def two_streams_one_in_memory(X=None, y=None, t=None):
    with pm.Model() as model:
        X = pm.Data("X", np.zeros((2, 3)) if X is None else X, dims=("row", "feature"))
        y = pm.Data("y_data", np.zeros(2) if y is None else y, dims="row")
        t = pm.Data("t_data", np.zeros(2) if t is None else t, dims="row")
        b = pm.Normal("b", shape=3)
        pm.Normal("y", X @ b, 1.0, observed=y, dims="row")
        pm.Laplace("near", X[:, 1] * b[1], 2.0, observed=t, dims="row")
        pm.Normal("z", X_MEMORY @ b, 1.0, observed=Y[:50])
    return model


X_MEMORY = rng.normal(size=(50, 3))
CASES = {
    "linear": (linear, {"X": X, "y_data": Y}, N),
    "groups": (groups, {"X": X, "g": GROUP, "y_data": Y}, N),
    "classes": (classes, {"X": X, "y_data": CLASS}, {"y": N}),
    "two_streams": (
        two_streams_one_in_memory,
        {"X": X, "y_data": Y, "t_data": X[:, 0] + Y},
        {"row": N},
    ),
}


def arguments(data):
    return {name.removesuffix("_data"): values for name, values in data.items()}


@pytest.mark.parametrize("name", CASES)
def test_streamed_rows_give_the_log_density_of_the_model_on_all_rows(name, python_mode):
    build, data, total_size = CASES[name]
    streamed = row_model(build(), total_size=total_size)
    full = build(**arguments(data))
    position = np.random.default_rng(1).normal(size=streamed.n_dim) / 2
    function = streamed.block_function(python_mode, data=data)
    value, gradient = function.full(position, chunk=977)
    point = streamed.unravel(position)
    np.testing.assert_allclose(value, full.compile_logp(mode=python_mode)(point), rtol=1e-12)
    expected = full.compile_dlogp(mode=python_mode)(point)
    np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-10)
    assert streamed.block_function(python_mode).total_sizes[0] == N


@pytest.mark.parametrize("name", CASES)
def test_the_identity_check_takes_rows_of_the_stream_or_of_the_placeholder(name, python_mode):
    build, data, total_size = CASES[name]
    streamed = row_model(build(), total_size=total_size)
    assert verify(streamed, python_mode, rng=np.random.default_rng(1)) < 1e-12
    assert verify(streamed, python_mode, rng=np.random.default_rng(1), data=data) < 1e-12


def test_the_identity_check_of_a_stream_can_fail(python_mode, monkeypatch):
    streamed = row_model(linear(), total_size=N)
    wrong = {"X": X, "y_data": Y}
    assert verify(streamed, python_mode, rng=np.random.default_rng(1), data=wrong) < 1e-12
    streamed._compiled.clear()
    object.__setattr__(streamed, "prior", 2 * streamed.prior)
    with pytest.raises(RowError, match="Identity check failed"):
        verify(streamed, python_mode, rng=np.random.default_rng(1), data=wrong)


class Watched:
    """A row source that notes how many rows were read at once, and in all."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.most, self.total = 0, 0

    def __getitem__(self, rows):
        block = self.array[rows]
        self.most, self.total = max(self.most, len(block)), self.total + len(block)
        return block


def test_rows_are_read_in_blocks_and_only_those_that_are_needed(python_mode):
    data = {"X": Watched(X), "y_data": Watched(Y)}
    function = row_model(linear(), total_size=N).block_function(python_mode, data=data)
    assert data["X"].total == 0
    position = np.zeros(4)
    function.batch(position, [np.arange(10)])
    assert (data["X"].most, data["X"].total) == (10, 10)
    function.row_gradients(position, 0, np.arange(30))
    assert (data["X"].most, data["X"].total) == (30, 40)
    function.full(position, chunk=600)
    assert (data["X"].most, data["X"].total) == (600, 40 + N)


def test_log_likelihood_of_a_posterior_reads_every_block_once(as_kwargs):
    data = {"X": Watched(X), "y_data": Watched(Y)}
    draws = {"b": np.zeros((1, 6, 3)), "s": np.ones((1, 6))}
    idata = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {name: (("chain", "draw", "i")[: x.ndim], x) for name, x in draws.items()}
            )
        }
    )
    row_log_likelihood(
        idata, linear(), total_size=N, data=data, chunk=600, compile_kwargs=as_kwargs
    )
    assert idata.log_likelihood.y.shape == (1, 6, N)
    assert (data["X"].most, data["X"].total) == (600, N)


def test_files_and_memory_maps_give_what_arrays_give(tmp_path, python_mode):
    np.save(tmp_path / "X.npy", X.astype("float32"))
    mapped = np.memmap(tmp_path / "y.bin", np.float64, "w+", 0, (N,))
    mapped[:] = Y
    on_disk = {"X": tmp_path / "X.npy", "y_data": mapped}
    in_memory = {"X": X.astype("float32").astype("float64"), "y_data": Y}
    streamed = row_model(linear(), total_size=N)
    position, rows = np.array([0.3, 0.1, -0.2, 0.4]), np.array([4999, 3, 3, 77])
    found = streamed.block_function(python_mode, data=on_disk)
    expected = streamed.block_function(python_mode, data=in_memory)
    assert found.batch(position, [rows])[0] == expected.batch(position, [rows])[0]
    np.testing.assert_array_equal(
        found.row_gradients(position, 0, rows), expected.row_gradients(position, 0, rows)
    )
    for rows_asked in (None, rows):
        np.testing.assert_array_equal(
            streamed.row_logp(position, rows_asked, data=on_disk)["y"],
            streamed.row_logp(position, rows_asked, data=in_memory)["y"],
        )
    # What is sent to another process holds paths.
    found = streamed.block_function("NUMBA", data=on_disk)
    assert len(pickle.dumps(found.arrays)) < 5000


def test_a_caller_may_feed_blocks_of_its_own(python_mode):
    streamed = row_model(linear(), total_size=N)
    function = streamed.block_function(python_mode)
    by_name = {"X": X[:9], "y_data": Y[:9]}
    blocks = [by_name[leaf.name] for leaf in streamed.leaves]
    value, _ = function.on_blocks(np.zeros(4), blocks, prior_weight=1.0, weights=[N / 9])
    source = streamed.block_function(python_mode, data={"X": X, "y_data": Y})
    assert value == source.batch(np.zeros(4), [np.arange(9)])[0]
    with pytest.raises(RowError, match=r"is streamed, and the model holds a placeholder only"):
        function.full(np.zeros(4))


def test_total_size_of_data_in_memory_streams_nothing():
    model = linear(X[:40], Y[:40])
    assert row_model(model, total_size=40).streamed == (False,)
    assert row_model(model, total_size={"row": 41}).streamed == (True,)


def test_describe_says_that_rows_are_fed_by_the_caller():
    text = row_model(linear(), total_size=1_000_000).describe(batch_size=500)
    assert "Subsampled by the 1,000,000 rows of 'row', fed by the caller:" in text
    assert "A step on a batch of 500 rows reads 16 kB, 0.0005 of all rows" in text


def placeholders(build, **options):
    """Return a function that builds a model around X and y of two rows."""

    def make():
        with pm.Model() as model:
            X = pm.Data("X", np.ones((2, 3)))
            y = pm.Data("y_data", np.ones(2))
            build(X, y, pm.Normal("b", shape=3))
        return model, {"total_size": N, **options}

    return make


def mean_of_a_stream(X, y, b):
    pm.Normal("y", (X - X.mean(0)) @ b, 1.0, observed=y)


def length_as_a_number(X, y, b):
    pm.Normal("y", X @ b / X.shape[0], 1.0, observed=y)


def length_of_a_predictor_as_a_number(X, y, b):
    mu = X @ b
    pm.Normal("y", mu, 1.0 * pt.sqrt(mu.shape[0]), observed=y)


def mean_of_the_predictor(X, y, b):
    mu = X @ b
    pm.Normal("y", mu - mu.mean(), 1.0, observed=y)


def cumulative_sum(X, y, b):
    pm.Normal("y", pt.cumsum(X, axis=0) @ b, 1.0, observed=y)


def lagged(X, y, b):
    pm.Normal("y", y[:-1] * b[0], 1.0, observed=y[1:])


def time_as_a_number(X, y, b):
    pm.Normal("y", X @ b + pt.arange(X.shape[0]), 1.0, observed=y)


def constant_of_two_rows(X, y, b):
    pm.Normal("y", X @ b + np.array([0.5, 1.0]), 1.0, observed=y)


def constant_observed(X, y, b):
    pm.Normal("y", X @ b, 1.0, observed=np.zeros(2))


def static_length(X, y, b):
    Z = pm.Data("Z", np.ones(2), shape=(2,))
    pm.Normal("y", X @ b + Z, 1.0, observed=y)


def another_placeholder_in_full(X, y, b):
    Z = pm.Data("Z", np.ones(2))
    pm.Normal("y", X @ b + Z.sum(), 1.0, observed=y)


def local_latent(X, y, b):
    pm.Normal("y", X @ b + pm.Normal("z", shape=2), 1.0, observed=y)


def total_in_a_potential(X, y, b):
    pm.Normal("y", X @ b, 1.0, observed=y)
    pm.Potential("p", -pt.sqr((X @ b).sum()))


def statistic_in_a_prior(X, y, b):
    c = pm.Normal("c", y.mean())
    pm.Normal("y", X @ b + c, 1.0, observed=y)


def first_row_set_to_zero(X, y, b):
    pm.Normal("y", pt.set_subtensor((X @ b)[:1], 0.0), 1.0, observed=y)


def joined_rows(X, y, b):
    pm.Normal("y", pt.concatenate([(X @ b)[:1], (2 * X @ b)[1:]]), 1.0, observed=y)


def long_format(X, y, b):
    mu = (X[:, :2] * b[:2]).flatten()
    pm.Normal("y", mu, 1.0, observed=pm.Data("long", np.ones(4)))


def rows_reversed(X, y, b):
    pm.Normal("y", (X @ b)[::-1], 1.0, observed=y)


REFUSED = {
    first_row_set_to_zero: r"^Cannot stream 'y' along axis 0: the position of a row decides what",
    joined_rows: r"^Cannot stream 'y' along axis 0: ",
    long_format: r"^Cannot stream 'y' along axis 0: ",
    rows_reversed: r"^Cannot stream 'y' along axis 0: its rows are picked by fixed positions",
    mean_of_a_stream: r"^'X' is streamed, but Sum.* of it needs all rows at every step. Compute it "
    "beforehand from all the data, and pass it as a constant",
    length_as_a_number: r"^'X' is streamed, but its number of rows \(X.shape\[0\].* enters as a "
    "number: that of the placeholder. Write the number of rows that is meant",
    length_of_a_predictor_as_a_number: r"^'X' is streamed, but its number of rows",
    mean_of_the_predictor: r"^'X' is streamed, but .* of it needs all rows at every step",
    cumulative_sum: r"^Cannot stream 'y' along axis 0: 'X' is streamed, but Cum.* of it needs all "
    "rows. Compute it beforehand, and feed its rows as pm.Data",
    lagged: r"^Cannot stream 'y' along axis 0: its rows are picked by fixed positions",
    time_as_a_number: r"^Cannot stream 'y' along axis 0: an expression of 'X' mixes rows or counts "
    r"them \(arange\)",
    constant_of_two_rows: r"^Cannot stream 'y' along axis 0: a constant of shape \(2,\) is a "
    "constant, with the 2 rows of the placeholder baked in. Make it pm.Data",
    constant_observed: r"^Cannot stream 'y' along axis 0: 'y' is a constant, with the 2 rows",
    static_length: r"^Cannot stream 'y' along axis 0: 'Z' has a type of fixed length",
    another_placeholder_in_full: r"^'Z' is as long as a placeholder of streamed rows and enters in "
    "full through Sum",
    local_latent: r"^Cannot stream 'y' along axis 0: parameter 'z' has one entry per row",
    total_in_a_potential: r"^'X' is streamed, but .* of it needs all rows at every step",
    statistic_in_a_prior: r"^'y_data' is streamed, but Sum.* of it needs all rows at every step",
}


@pytest.mark.parametrize("build", REFUSED, ids=lambda build: build.__name__)
def test_what_needs_more_than_the_rows_of_a_batch_is_refused(build):
    model, options = placeholders(build)()
    with pytest.raises(RowError, match=REFUSED[build]):
        row_model(model, **options)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_number_of_columns_may_enter_as_a_number(n, as_kwargs, python_mode):
    def build(X, y):
        with pm.Model() as model:
            X, y = pm.Data("X", X), pm.Data("y_data", y)
            mu = X @ pm.Normal("b", shape=3) / X.shape[1]
            pm.Normal("y", mu, 1.0, observed=y)
        return model

    streamed = row_model(build(np.zeros((n, 3)), np.zeros(n)), total_size=N)
    position = np.array([0.1, 0.2, 0.3])
    value = streamed.logp(position, data={"X": X, "y_data": Y}, compile_kwargs=as_kwargs)
    full = build(X, Y).compile_logp(mode=python_mode)({"b": position})
    np.testing.assert_allclose(value, full, rtol=1e-12)


@pytest.mark.parametrize(
    ("total_size", "message"),
    [
        (0, r"^'y' has total_size 0, which must be a whole number >= 1"),
        (1e6, r"^'y' has total_size 1000000.0, which must be a whole number"),
        (True, r"^'y' has total_size True, which must be a whole number"),
        ({"rows": 10}, r"^'rows' in total_size is no observed variable and no dimension of rows"),
    ],
)
def test_a_wrong_total_size_is_refused(total_size, message):
    with pytest.raises(RowError, match=message):
        row_model(linear(), total_size=total_size)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"X": X}, r"^'y_data' is streamed but missing in data"),
        ({"X": X, "y_data": Y, "w": Y}, r"^'w' in data is not streamed: the model streams 'X', 'y"),
        ({"X": X[:-1], "y_data": Y}, r"^'X' has 4999 rows in data, but total_size is 5000"),
        ({"X": X[:, :2], "y_data": Y}, r"^'X' has rows of shape \(2,\) in data, but of shape \(3,"),
        ({"X": X.astype(complex), "y_data": Y}, r"^'X' is of type complex128 in data"),
        ({"X": 3.0, "y_data": Y}, r"^'X' cannot be read by rows: 'X' is a float"),
    ],
)
def test_wrong_data_are_refused(data, message, python_mode):
    streamed = row_model(linear(), total_size=N)
    with pytest.raises(RowError, match=message):
        streamed.block_function(python_mode, data=data)


def test_data_for_a_model_that_streams_nothing_are_refused(python_mode):
    with pytest.raises(RowError, match=r"^'X' in data is not streamed: the model holds its own"):
        row_model(linear(X, Y)).block_function(python_mode, data={"X": X})


def test_a_minibatch_is_not_streamed():
    with pm.Model() as model:
        x, y = pm.Minibatch(X, Y, batch_size=10)
        pm.Normal("y", x @ pm.Normal("b", shape=3), 1.0, observed=y, total_size=N)
    with pytest.raises(RowError, match=r"^'y' is observed on a pm.Minibatch, whose rows are in"):
        row_model(model, total_size=2 * N)


def test_placeholders_of_two_lengths_are_refused():
    with pm.Model() as model:
        b = pm.Normal("b")
        for name, n in (("y", 2), ("z", 3)):
            pm.Normal(name, b, 1.0, observed=pm.Data(f"{name}_data", np.zeros(n)))
    with pytest.raises(RowError, match=r"^'z' has a placeholder of 3 rows, but other data"):
        row_model(model, total_size=N)
