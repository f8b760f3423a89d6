"""Derivatives from ratios that are the same everywhere, against those taken one by one."""

from dataclasses import replace

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.hierarchical_gibbs import row_ratios
from pymc_sgld.hierarchical_gibbs.arrowhead_metric import conditional_metric
from pymc_sgld.hierarchical_gibbs.sparse_noise import sparse_noise
from pymc_sgld.hierarchical_gibbs.sparse_rows import SparseRows
from pymc_sgld.model_graph import gathered_rows, row_model
from pymc_sgld.model_graph.density.pass_counter import PassCounter, counted

N = 300


def logistic(first, second, columns, y):
    u, v = pm.Normal("u", shape=12), pm.Normal("v", shape=5)
    eta = u[first] + 0.5 * v[second] * columns[:, 0] + columns @ pm.Normal("b", shape=3)
    pm.Bernoulli("y", logit_p=eta, observed=y > 0)


def unknown_scale(first, second, columns, y):
    """Two numbers a row: mean and scale."""
    eta = pm.Normal("u", shape=12)[first] + columns @ pm.Normal("b", shape=3)
    pm.Normal("y", eta, pm.HalfNormal("s"), observed=y)


def curved(first, second, columns, y):
    """A predictor that is not linear in a coefficient."""
    b = pm.Normal("b", shape=3)
    eta = pm.Normal("u", shape=12)[first] + pm.math.sin(columns @ b)
    pm.Bernoulli("y", logit_p=eta, observed=y > 0)


def read(build):
    rng = np.random.default_rng(0)
    data = rng.integers(0, 12, N), rng.integers(0, 5, N), rng.normal(size=(N, 3))
    with pm.Model() as model:
        build(*data, rng.normal(size=N))
    rows = row_model(model)
    return SparseRows.of(rows.block_function("NUMBA"), gathered_rows(rows, "NUMBA"))


@pytest.fixture(scope="module", params=[logistic, unknown_scale, curved])
def rows(request):
    return request.param, read(request.param)


def places(rows, n_places):
    rng = np.random.default_rng(1)
    return 0.4 * rng.normal(size=(n_places, rows.gathered.n_dim))


def fresh(rows):
    """Return the same rows, of which nothing is known."""
    return replace(rows, _known={})


def test_information_elsewhere_is_that_of_all_derivatives(rows):
    """And takes two passes, where rows see what they share through one linear predictor."""
    build, rows = rows
    rows = fresh(rows)
    for number, place in enumerate(places(rows, 3)):
        with counted(PassCounter()) as counter:
            information = rows.information(place).toarray()
        expected = fresh(rows).information(place).toarray()
        np.testing.assert_allclose(information, expected, atol=1e-9 * np.abs(expected).max())
        assert counter.passes == pytest.approx(rows.passes_of_information)
        if number:
            assert (rows.ratios is not None) == (build is logistic)
    assert (rows.passes_of_information == 2) == (build is logistic)


def test_noise_by_ratios_is_that_of_all_scores(rows):
    build, rows = rows
    centre, *draws = places(rows, 4)
    n_dim = len(centre)
    border = np.arange(n_dim - 3, n_dim)
    rng = np.random.default_rng(2)
    metric = conditional_metric(
        centre,
        np.arange(n_dim - 3),
        border,
        rng.gamma(20, size=n_dim - 3),
        rng.normal(size=(n_dim - 3, 3)),
        90 * np.eye(3),
    )
    for control_variate in (True, False):
        known = fresh(rows)
        known.information(centre)
        found, expected = (
            sparse_noise(one, centre, np.array(draws), metric, control_variate=control_variate)
            for one in (known, fresh(rows))
        )
        whole = expected.by_group[0].toarray()
        np.testing.assert_allclose(found.by_group[0].toarray(), whole, atol=1e-9 * whole.max())
        if control_variate:  # at the centre itself the ratios hold for all kinds
            assert (found.data_passes < expected.data_passes) == (build is logistic)


def test_no_ratios_where_there_is_no_room_or_nothing_is_saved(monkeypatch):
    rows = read(logistic)
    totals = tuple(rows.function.total_sizes)
    assert row_ratios.worth_ratios(rows.gathered, totals)
    monkeypatch.setattr(row_ratios, "_MOST_NUMBERS", 5 * N - 1)
    assert not row_ratios.worth_ratios(rows.gathered, totals)
    monkeypatch.undo()
    monkeypatch.setattr(row_ratios, "FEW_SHARED", 3)
    assert not row_ratios.worth_ratios(rows.gathered, totals)
