"""References of models with latents of rows: the same posterior, whoever integrates them out."""

import numpy as np
import pytest

from models import item_response
from models.evidence import latents
from pymc_sgld.model_graph.latents.quadrature_rules import QuadratureRule
from pymc_sgld.model_graph.latents.row_latents import row_latents

FEW = 40


@pytest.fixture
def fewer_rows(monkeypatch):
    """Models of data that come with the package, with few of their rows."""
    for module in (
        latents.item_response,
        latents.overdispersed_visits,
        latents.errors_in_covariate,
    ):
        load = module.load_data
        monkeypatch.setattr(module, "load_data", lambda rows=None, load=load: load(rows or FEW))


@pytest.mark.parametrize(
    ("as_written", "reference"),
    [
        (lambda **how: latents.counts(0.5, 0.7, rows=FEW, **how), {"by_kind": True}),
        (lambda **how: latents.intercepts(FEW, **how), {"by_kind": True}),
        (lambda **how: latents.heavy_tails(rows=FEW, **how), {"closed": True}),
        (lambda **how: latents.answers(0, 5, **how), {"by_kind": True}),
        (latents.visits, {"by_kind": True}),
        (latents.measured, {"by_kind": True}),
    ],
    ids=["counts", "intercepts", "heavy tails", "answers", "visits", "measured"],
)
def test_the_reference_is_the_marginal_posterior(as_written, reference, fewer_rows):
    """But for a constant, at several points; by quadrature with 63 nodes."""
    taken = row_latents(as_written())
    taken.move_starts(taken.shared.initial_point())
    marginal = taken.marginal_model(QuadratureRule.gauss_hermite(63, 1))
    model = as_written(**reference)
    start, rng = model.initial_point(), np.random.default_rng(0)
    assert start.keys() == marginal.initial_point().keys()
    logps = [one.compile_logp(mode="FAST_COMPILE") for one in (model, marginal)]
    points = [
        {name: value + 0.2 * rng.normal(size=np.shape(value)) for name, value in start.items()}
        for _ in range(4)
    ]
    apart = np.array([logps[0](point) - logps[1](point) for point in points])
    np.testing.assert_allclose(apart, apart[0], atol=2e-4)


def test_maximum_likelihood_of_lsat_6():
    """Published: -2466.65, and these discriminations (Bock and Aitkin 1981; the R package ltm)."""
    from scipy.optimize import minimize

    data = item_response.load_data()
    assert data.shape == (1000, 5) and data.sum(axis=0).tolist() == [924, 709, 553, 763, 870]
    found = minimize(
        lambda at: -item_response.log_likelihood(np.exp(at[:5]), at[5:], data), np.zeros(10)
    )
    assert found.fun == pytest.approx(2466.65, abs=0.01)
    published = [0.825, 0.723, 0.890, 0.689, 0.658]
    np.testing.assert_allclose(np.exp(found.x[:5]), published, atol=0.002)
