"""What rows gather by index, and derivatives by it, against those of all rows together."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.hierarchical_gibbs.sparse_rows import SparseRows
from pymc_sgld.model_graph import gathered_rows, recentred, row_model

RNG = np.random.default_rng(20261127)
N = 60
FIRST, SECOND = RNG.integers(0, 7, N), RNG.integers(0, 4, N)
COLUMN, OUTCOME = RNG.normal(size=(2, N))


def crossed():
    """Two factors, one of them non-centred, coefficients and a scale."""
    tau = pm.HalfNormal("tau")
    z, v = pm.Normal("z", shape=7), pm.Normal("v", 0, tau, shape=4)
    b, s = pm.Normal("b", shape=2), pm.HalfNormal("s")
    mean = (tau * z)[FIRST] + v[SECOND] + np.column_stack([COLUMN, COLUMN**2]) @ b
    pm.Normal("y", mean, s, observed=OUTCOME)


def slopes():
    """Two effects of a group in one matrix, yes/no rows."""
    u = pm.Normal("u", shape=(7, 2))
    pm.Bernoulli("y", logit_p=u[FIRST, 0] + u[FIRST, 1] * COLUMN, observed=OUTCOME > 0)


def whole_lines():
    """The same, a line of the matrix at a time, and a scale of each group."""
    u, s = pm.Normal("u", shape=(7, 2)), pm.Normal("s", shape=4)
    mean = (u[FIRST] * np.column_stack([np.ones(N), COLUMN])).sum(axis=1)
    pm.Normal("y", mean, pm.math.exp(s[SECOND]), observed=OUTCOME)


def twice():
    """Players of one list, the same one at times: entries that are gathered twice."""
    u = pm.Normal("u", shape=7)
    pm.Poisson("y", pm.math.exp(u[FIRST] + 0.5 * u[FIRST[::-1]]), observed=np.abs(OUTCOME) // 1)


def two_groups():
    """Rows of two kinds that see the same effects; the second has no index."""
    u, a = pm.Normal("u", shape=7), pm.Normal("a")
    pm.Normal("y", u[FIRST] + a, 1, observed=OUTCOME)
    pm.StudentT("x", nu=4, mu=a, sigma=1, observed=np.repeat(COLUMN, 2))


def as_rows(build):
    with pm.Model() as model:
        build()
    rows = recentred(row_model(model))
    return rows, rows.block_function("NUMBA")


@pytest.mark.parametrize(
    "build",
    [
        slopes,
        two_groups,
        *(pytest.param(one, marks=pytest.mark.slow) for one in (crossed, whole_lines, twice)),
    ],
)
def test_information_is_minus_the_hessian_of_the_rows(build):
    rows, function = as_rows(build)
    gathered = gathered_rows(rows, "NUMBA")
    found = SparseRows.of(function, gathered)
    position = rows.ravel(rows.model.initial_point())
    position = position + 0.3 * np.random.default_rng(1).normal(size=rows.n_dim)
    step, columns = 1e-5, []
    for unit in np.eye(rows.n_dim):
        ahead, behind = (
            function.full(at)[1] - function.prior(at)[1]
            for at in (position + step * unit, position - step * unit)
        )
        columns.append((behind - ahead) / (2 * step))
    information = found.information(position).toarray()
    np.testing.assert_allclose(information, np.array(columns), atol=2e-6 * np.abs(columns).max())
    for number, group in enumerate(gathered.groups):
        [(_, one)] = gathered.derivatives(
            function, group, position, np.zeros(group.n_columns), np.zeros(len(gathered.shared))
        )
        direct = function.row_gradients(position, number, np.arange(len(one.scores)))
        own = np.zeros_like(direct)
        for column in range(group.n_columns):
            np.add.at(
                own, (np.arange(len(own)), found.entries[number][:, column]), one.scores[:, column]
            )
        direct[:, gathered.shared] = 0
        np.testing.assert_allclose(own, direct, atol=1e-12)


def test_what_rows_share_is_apart_from_what_they_gather():
    rows, function = as_rows(crossed)
    gathered = gathered_rows(rows, "NUMBA")
    assert gathered.shared.tolist() == rows.layout.entries(["b", "s_log__"]).tolist()
    [entries] = SparseRows.of(function, gathered).entries
    in_order = sorted(entries.T.tolist())
    starts = sorted(rows.layout.slices[name].start for name in ("z", "v"))
    by_start = {rows.layout.slices["z"].start: FIRST, rows.layout.slices["v"].start: SECOND}
    assert in_order == [(start + by_start[start]).tolist() for start in starts]


def test_rows_that_gather_nothing():
    def regression():
        pm.Normal("y", pm.Normal("a") + COLUMN * pm.Normal("b"), 1, observed=OUTCOME)

    rows, _ = as_rows(regression)
    assert gathered_rows(rows, "NUMBA") is None
