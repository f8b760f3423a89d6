"""`data=`: rows that are not in the model give the draws of the same rows in it, bit for bit."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pymc as pm
import pytest
import xarray as xr

import pymc_sgld as psg

from pymc_sgld.model_graph import RowError
from pymc_sgld.row_sources import EpochsShuffledBefore, RandomOrder, ShuffledBefore

N = 3000
RNG = np.random.default_rng(5)
X = RNG.normal(size=(N, 2)).astype("float32")
GROUP = RNG.integers(0, 4, N).astype("int8")
EFFECTS = np.array([0.5, -0.5, 1.0, 0.0])
Y = X @ np.array([0.5, -1.0]) + EFFECTS[GROUP] + RNG.normal(size=N)
RUN = {
    "draws": 60, "tune": 30, "chains": 2, "cores": 1, "random_seed": 3, "batch_size": 50,
    "progressbar": False, "check": False, "compute_convergence_checks": False, "quiet": True,
    "verify": False,
}  # fmt: skip


@dataclass(frozen=True)
class InGivenOrder(ShuffledBefore):
    """The scheme of rows on disk, for rows in memory that are in this order already."""

    def order(self, generator, total, batch):
        return np.arange(total)


@dataclass(frozen=True)
class EpochsInGivenOrder(EpochsShuffledBefore):
    """The same for sweeps, which plain gradients take."""

    def order(self, generator, total, batch):
        return np.arange(total)


def regression(X=None, group=None, y=None):
    with pm.Model() as model:
        X = pm.Data("X", np.zeros((2, 2)) if X is None else X)
        group = pm.Data("group", np.zeros(2, "int8") if group is None else group)
        y = pm.Data("response", np.zeros(2) if y is None else y)
        a, b = pm.Normal("a", shape=4), pm.Normal("b", shape=2)
        pm.Normal("y", a[group] + X @ b, pm.HalfNormal("s"), observed=y)
    return model


def draws_of(sampler="sgld", model=None, **arguments):
    options = RUN | ({} if sampler == "auto" else {"step_size": 1e-5}) | arguments
    idata = psg.sample(sampler, model=model or regression(), **options)
    return np.concatenate([idata.posterior[name].values.ravel() for name in ("a", "b", "s")])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path_factory.mktemp("data")
    np.save(path / "X.npy", X)
    np.save(path / "group.npy", GROUP)
    np.memmap(path / "y.bin", Y.dtype, "w+", 0, Y.shape)[:] = Y
    table = arrow.table({"x0": X[:, 0], "x1": X[:, 1], "group": GROUP, "response": Y})
    (path / "table").mkdir()
    parquet.write_table(table[:900], path / "table" / "0.parquet", row_group_size=400)
    parquet.write_table(table[900:], path / "table" / "1.parquet", row_group_size=333)
    return path


def sources(folder, kind):
    table = folder / "table"
    if kind == "arrays":
        return {"X": X, "group": GROUP, "response": Y}
    if kind == "files":
        mapped = np.memmap(folder / "y.bin", np.float64, "r", 0, (N,))
        return {"X": folder / "X.npy", "group": str(folder / "group.npy"), "response": mapped}
    if kind == "mixed":
        return {"X": folder / "X.npy", "group": GROUP, "response": psg.columns(table, "response")}
    return {
        "X": psg.columns(table, ["x0", "x1"]),
        "group": psg.columns(table, "group"),
        "response": psg.columns(table, "response"),
    }


@pytest.fixture(scope="module")
def in_memory():
    """Draws of the model that holds the rows, by sampler."""
    return cache(lambda sampler: draws_of(sampler, regression(X, GROUP, Y)))


@pytest.fixture(scope="module")
def in_random_order():
    """Draws of the model that holds the rows in the order of the disk, by sampler."""
    order = RandomOrder.of(N, X[0].nbytes).rows()
    schemes = {"sgld": EpochsInGivenOrder((True,)), "auto": InGivenOrder((True,))}
    model = regression(X[order], GROUP[order], Y[order])
    return cache(lambda sampler: draws_of(sampler, model, batches=schemes[sampler]))


@pytest.mark.parametrize(
    ("sampler", "kind"), [("sgld", "arrays"), ("sgld", "parquet"), ("auto", "files")]
)
def test_few_rows_are_sampled_as_those_of_the_model(sampler, kind, in_memory, folder):
    drawn = draws_of(sampler, data=sources(folder, kind), verify=kind == "parquet")
    np.testing.assert_array_equal(drawn, in_memory(sampler))


@pytest.mark.parametrize(
    ("sampler", "kind"), [("sgld", "files"), ("sgld", "parquet"), ("auto", "mixed")]
)
def test_rows_on_disk_are_sampled_as_those_in_memory(
    sampler, kind, in_memory, in_random_order, folder, tmp_path
):
    drawn = draws_of(sampler, data=sources(folder, kind), scratch=tmp_path / "new" / "scratch")
    np.testing.assert_array_equal(drawn, in_random_order(sampler))
    assert not np.array_equal(drawn, in_memory(sampler))  # another order, the same law


def test_a_second_run_takes_the_rows_of_the_first(folder, tmp_path):
    data = sources(folder, "parquet")
    first = draws_of(data=data, scratch=tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(written) == 3
    np.testing.assert_array_equal(draws_of(data=data, scratch=tmp_path), first)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written


def test_rows_keep_their_narrow_types(folder, tmp_path):
    model = psg.row_model(regression(), data=sources(folder, "files"), scratch=tmp_path)
    types = {leaf.name: str(leaf.block.type.dtype) for leaf in model.leaves}
    assert types == {"X": "float32", "group": "int8", "response": "float64"}
    assert {np.load(path, mmap_mode="r").dtype for path in tmp_path.iterdir()} == {
        np.dtype(name) for name in types.values()
    }
    point = model.unravel(np.linspace(-0.3, 0.4, model.n_dim))
    expected = regression(X, GROUP, Y).compile_logp()(point)
    np.testing.assert_allclose(model.logp(point), expected, rtol=1e-12)


def test_a_row_model_with_data_is_sampled(folder):
    rows = psg.row_model(regression(), data=sources(folder, "files"))
    expected = draws_of(data=sources(folder, "files"))
    np.testing.assert_array_equal(draws_of(rows=rows, model=rows.model), expected)
    with pytest.raises(TypeError, match=r"got data beside a row model"):
        draws_of(rows=rows, model=rows.model, data=sources(folder, "arrays"))


def test_a_table_gives_the_columns_that_are_named_as_data(folder):
    with pm.Model() as model:
        x0 = pm.Data("x0", np.zeros(1))
        pm.Normal("y", pm.Normal("b") * x0, 1.0, observed=pm.Data("response", np.zeros(1)))
    rows = psg.row_model(model, data=folder / "table")
    [total] = [group.total_size for group in rows.groups]
    assert total == N
    expected = -0.5 * np.sum((Y - 0.7 * X[:, 0].astype(float)) ** 2 + np.log(2 * np.pi))
    expected -= 0.5 * (0.7**2 + np.log(2 * np.pi))
    np.testing.assert_allclose(rows.logp({"b": np.array(0.7)}), expected, rtol=1e-10)


def test_rows_in_memory_beside_rows_on_disk_keep_their_own_batches(folder, tmp_path):
    with pm.Model() as model:
        b = pm.Normal("b", shape=2)
        x, y = pm.Data("X", np.zeros((2, 2))), pm.Data("response", np.zeros(2))
        pm.Normal("y", x @ b, 1.0, observed=y)
        pm.Normal("other", b[0], 2.0, observed=Y[:500])
    data = {name: sources(folder, "files")[name] for name in ("X", "response")}
    idata = psg.sample("sgld", model=model, data=data, scratch=tmp_path, step_size=1e-5, **RUN)
    # both groups pull b[0]: by what both rows say, within six posterior sds
    mean = idata.posterior.b.values[:, 30:].mean((0, 1))
    precision = X.T.astype(float) @ X + np.diag([1 + 500 / 4, 1])
    exact = np.linalg.solve(precision, X.T @ Y + [Y[:500].sum() / 4, 0])
    assert (np.abs(mean - exact) < 6 / np.sqrt(np.diag(precision))).all()


def test_without_a_scratch_folder_few_rows_are_read_and_of_more_some_blocks(
    folder, in_memory, monkeypatch
):
    data = sources(folder, "parquet")
    np.testing.assert_array_equal(draws_of(data=data, scratch=False), in_memory("sgld"))
    monkeypatch.setattr("pymc_sgld.model_graph.density.bound_data._INTO_MEMORY", 1000)
    few = draws_of(data=data, scratch=False, draws=2, tune=2, chains=1, steps_per_draw=4)
    assert np.isfinite(few).all()
    rows = psg.row_model(regression(), data=data, scratch=False)
    point = rows.unravel(np.linspace(-0.3, 0.4, rows.n_dim))
    expected = regression(X, GROUP, Y).compile_logp()(point)
    np.testing.assert_allclose(rows.logp(point), expected, rtol=1e-12)


def test_log_likelihood_and_predictions_take_the_same_data(folder):
    data, rng = sources(folder, "parquet"), np.random.default_rng(1)
    draws = {"a": rng.normal(size=(1, 3, 4)), "b": rng.normal(size=(1, 3, 2))}
    draws["s"] = np.ones((1, 3))
    idata = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {name: (("chain", "draw", name)[: x.ndim], x) for name, x in draws.items()}
            )
        }
    )
    psg.row_log_likelihood(idata, regression(), data=data)
    mean = draws["a"][0][:, GROUP] + draws["b"][0] @ X.T
    expected = -0.5 * ((Y - mean) ** 2 + np.log(2 * np.pi))
    np.testing.assert_allclose(idata.log_likelihood.y.values[0], expected, rtol=1e-10)
    psg.posterior_predictive(idata, regression(), data=data, random_seed=2)
    left = idata.posterior_predictive.y.values[0] - mean
    # 9,000 standard normals: five sds of their mean square
    assert abs(np.mean(left**2) - 1) < 5 * np.sqrt(2 / left.size)


def nameless(folder):
    with pm.Model() as model:
        x = pm.Data("X", np.zeros((2, 2)))
        pm.Normal("y", x @ pm.Normal("b", shape=2), 1.0, observed=np.zeros(2))
    return {"data": {"X": X}, "model": model}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda f: {"data": {"Z": X}}, r"data names 'Z', but the model's pm.Data are 'X', 'group'"),
        (lambda f: {"data": 3}, r"data is 3. Pass a mapping from the name of each pm.Data"),
        (lambda f: {"data": {"X": X, "response": Y}}, r"'group' is streamed but missing in data"),
        (
            lambda f: {"data": sources(f, "arrays") | {"response": Y[1:]}},
            r"'\w+' has \d+ rows in data, but total_size is \d+",
        ),
        (
            lambda f: {"data": sources(f, "arrays") | {"X": X[:, :1]}},
            r"'X' has rows of shape \(1,\) in data, but of shape \(2,\) in the model",
        ),
        (
            lambda f: {"data": sources(f, "arrays") | {"group": Y}},
            r"'group' is of type float64 in data, but of type int32 in the model",
        ),
        (
            lambda f: {"data": sources(f, "arrays") | {"response": np.where(Y > 2, np.nan, Y)}},
            r"'response' has NaN, the first in row \d+",
        ),
        (
            lambda f: {"data": sources(f, "arrays") | {"group": np.int64(2**40) + GROUP}},
            r"'group' has numbers beyond int32, the first in row 0",
        ),
        (
            lambda f: {"data": sources(f, "files"), "scratch": f, "batches": "replacement"},
            r"sgld with batches='replacement' would gather all rows anew",
        ),
        (
            lambda f: {"data": sources(f, "files"), "scratch": f, "gradient": "saga"},
            r"would gather all rows anew.*gradient='svrg'",
        ),
        (
            lambda f: {"rows": psg.row_model(regression(), total_size=N)},
            r"'response', 'group', 'X' of sgld is streamed, but no rows were given.*data=",
        ),
        (nameless, r"data gives 'X', but no observed variable is one of them"),
    ],
    ids=range(12),
)
def test_what_cannot_be_sampled_is_refused(wrong, message, folder):
    arguments = wrong(folder)
    if isinstance(arguments.get("rows"), psg.RowModel):
        arguments["model"] = arguments["rows"].model
    with pytest.raises((RowError, ValueError), match=message):
        draws_of(**arguments)
