"""Latents of rows that are kept, end to end: what is drawn, said, written and refused."""

import logging

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pymc_sgld as psg

from pymc_sgld import records
from pymc_sgld.chain import ChainState
from pymc_sgld.chain.latent_rows import KeptLatents, LatentRows
from pymc_sgld.chain.latent_warmup import best_moves
from pymc_sgld.chain.tune_phase import distance_limit
from pymc_sgld.model_graph import RowError, read_rows
from pymc_sgld.model_graph.latents.joint_rows import joint_row_model
from tests.model_graph.test_local_latents import CASES, random_point

QUIET = {
    "progressbar": False, "cores": 1, "chains": 1, "compute_convergence_checks": False,
    "random_seed": 3, "latents": "joint",
}  # fmt: skip
N_ROWS = 300


def factors(n_rows=N_ROWS):
    """Three latents a row, all positive on one axis, and a Gaussian likelihood of four columns."""
    rng = np.random.default_rng(2)
    y = rng.normal(size=(n_rows, 3)) @ rng.normal(size=(3, 4)) + rng.normal(size=(n_rows, 4))
    with pm.Model(coords={"row": np.arange(n_rows), "column": range(4)}) as model:
        z = pm.Normal("z", 0, 1, shape=(n_rows, 2))
        own = pm.LogNormal("own", 0, 0.3, dims="row")
        mean, noise = pm.Normal("mean", dims="column"), pm.HalfNormal("noise")
        fitted = pm.Deterministic("fitted", mean + own[:, None] * pt.concatenate([z, z], axis=1))
        pm.Normal("y", fitted, noise, observed=y, dims=("row", "column"))
    return model


@pytest.mark.parametrize("name", CASES)
def test_the_rows_given_their_latents_are_the_model(name):
    """Value and gradient, and the gradient in the latents; dropping a term or a Jacobian fails."""
    build, options, _ = CASES[name]
    model, rng = build(), np.random.default_rng(0)
    joint = joint_row_model(model, **options)
    assert joint.verify_joint("FAST_COMPILE", rng) < 1e-12
    point, own = random_point(model), joint.leaves_of_latents
    values = own.together(
        [np.moveaxis(point[joint.leaves[n].name], joint.leaves[n].axis, 0) for n in own.latents]
    )
    arrays = joint.block_function("FAST_COMPILE").read([slice(None)] * len(joint.groups))
    density = joint.latent_density("FAST_COMPILE")
    places = density.at(joint.ravel(point), [arrays[n] for n in own.read])(values)
    written = {value.name: rv for rv, value in model.rvs_to_values.items()}
    latents = [written[joint.leaves[n].name] for n in own.latents]
    slope = np.split(model.compile_dlogp(latents, mode="FAST_COMPILE")(point), len(latents))
    blocks = own.apart(places.gradient)
    for number, block, expected in zip(own.latents, blocks, slope, strict=True):
        moved = np.moveaxis(block, 0, joint.leaves[number].axis)
        np.testing.assert_allclose(moved.ravel(), expected, rtol=1e-9)


def test_more_moves_where_they_leave_much_and_much_is_missing():
    """Planted once: the mean over parameters, of which one goes to and fro and the other stays."""
    left = [(1, 0.8), (2, 0.64), (4, 0.4), (8, 0.16), (16, 0.03)]

    def moves(missing, signs):
        missing = np.array(missing)
        return best_moves(missing, [(m, missing * r * np.array(signs)) for m, r in left], 2.0)

    assert moves([0.1], [1]) == 1
    assert moves([0.95], [1]) > 1
    assert moves([0.95], [0]) == 1
    assert moves([0.95, 0.95], [1, -1]) == moves([0.95], [1])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "joint"
    with factors() as model, pytest.MonkeyPatch.context() as patch:
        said = []
        patch.setattr(logging.getLogger("pymc.sgld"), "info", said.append)
        idata = psg.sample(draws=40, tune=10, checkpoint=folder, steps_per_draw=4, **QUIET)
    return model, idata, folder, said


def test_draws_of_what_rows_share(run):
    _, idata, _, said = run
    posterior = idata.posterior
    assert set(posterior.data_vars) == {"mean", "noise"}
    words = posterior.attrs[records.LATENTS_KEPT]
    assert words.startswith("own, z (900 values, 3 for each of 300 rows) are kept")
    assert any(words in str(one) for one in said)
    assert posterior.attrs[records.SAMPLER] == "sgld"
    assert np.isfinite(posterior["noise"]).all()
    assert 0.7 < float(posterior["noise"].mean()) < 2.5
    passes = idata.sample_stats[records.DATA_PASSES].values
    assert (passes > 4 * 256 / N_ROWS).all()  # moves are counted, too


def test_a_run_with_latents_goes_on_bit_for_bit(run, tmp_path):
    """Latents and their scales are in the checkpoint."""
    model, whole, _, _ = run
    with model:
        half = tmp_path / "half"
        psg.sample(draws=15, tune=10, checkpoint=half, steps_per_draw=4, **QUIET)
        both = psg.resume(half, 40, progressbar=False, cores=1)
    assert both.posterior.sizes["draw"] == whole.posterior.sizes["draw"]
    np.testing.assert_array_equal(both.posterior["mean"], whole.posterior["mean"])


def test_a_snapshot_of_a_chain_is_not_moved_with_it():
    """Planted once: without a copy."""
    state = ChainState((0, 0), 0, 0, None, moves=KeptLatents(np.zeros((3, 1)), np.ones((3, 1)), 2))
    taken = state.snapshot().moves
    state.moves.values += 1
    state.moves.scales += 1
    assert (taken.values == 0).all() and (taken.scales == 1).all() and taken.moves == 2


def test_a_chain_in_its_tune_phase_may_leave_the_mode_given_the_latents():
    """Draws beyond 10 sds given the latents were refused, and steps halved to nothing."""
    settings = SimpleNamespace(anneals=False)
    limits = []
    for moves in (None, KeptLatents(np.zeros((3, 1)), np.ones((3, 1)), 1)):
        metric = SimpleNamespace(name="dense")
        state = ChainState((0, 0), 10, 10, metric, moves=moves, predicted_law=object())
        limits.append(np.sqrt(distance_limit(settings, state, 1)))
    assert limits == [10, 1000]


def test_a_draw_that_is_refused_leaves_latents_where_they_were():
    """Also of rows that were moved twice; planted once: undone in the order of the moves."""
    kept = KeptLatents(np.arange(5.0)[:, None], np.ones((5, 1)), 1)
    rows = LatentRows(None, None, 5, 2)
    for some in ([0, 1], [1, 2]):
        rows._before.append((np.array(some), kept.values[some]))
        kept.values[some] += 10
    rows.undo(kept)
    np.testing.assert_array_equal(kept.values[:, 0], np.arange(5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampler": "sggmc"}, "'sggmc' tests its steps against all rows"),
        ({"sampler": "cyclical_sgld", "cycles": 2}, "makes them in cycles"),
        ({"sampler": "sgld", "gradient": "svrg"}, "gradient='svrg' compares gradients"),
        ({"sampler": "sgld", "temperature": 0.5}, "the latents are drawn at temperature 1"),
        ({"sampler": "sgld", "batches": "epochs"}, "batches='epochs' are not independent"),
    ],
    ids=lambda one: "" if isinstance(one, str) else "-".join(map(str, one.values())),
)
def test_what_cannot_be_beside_latents_that_are_kept(arguments, message):
    with CASES["effects_per_row"][0](), pytest.raises(RowError, match=f"^z: .*{message}"):
        psg.sample(draws=10, **QUIET, **arguments)


def flat():
    with pm.Model() as model:
        mu = pm.Normal("mu")
        z = pm.Normal("z", 0, 1, shape=60)
        pm.Normal("y", mu + 0 * z, 1, observed=np.zeros(60))
    return model


def without():
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mu"), 1, observed=np.zeros(60))
    return model


def in_pairs():
    with pm.Model() as model:
        mu = pm.Normal("mu")
        z = pm.GaussianRandomWalk("z", 0, 1, init_dist=pm.Normal.dist(), shape=60)
        pm.Normal("y", mu + z, 1, observed=np.zeros(60))
    return model


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (flat, "z.*the likelihood is flat in it"),
        (without, "No free variable has one entry per row"),
        (in_pairs, "z.*(prior cannot be split|not independent)"),
    ],
    ids=["flat", "without", "walk"],
)
def test_models_whose_latents_cannot_be_moved_by_rows(build, message):
    with build(), pytest.raises(RowError, match=message):
        psg.sample("sgld", 10, **QUIET)


def test_a_row_model_has_no_latents():
    with without() as model, pytest.raises(RowError, match="latents='joint' reads the rows"):
        psg.sample("sgld", 10, rows=read_rows(model), **QUIET)


@pytest.mark.statistical
def test_counts_against_the_marginal_model():
    """Poisson-lognormal counts: means and sds of the model by quadrature, sampled by NUTS."""
    rng = np.random.default_rng(4)
    counts = rng.poisson(2 * np.exp(0.7 * rng.normal(size=1000)))
    with pm.Model() as model:
        base, scale = pm.Normal("base", 0, 2), pm.HalfNormal("scale", 1)
        z = pm.Normal("z", 0, scale, shape=1000)
        pm.Poisson("counts", pt.exp(base + z), observed=counts)
        kept = psg.sample(draws=3000, **(QUIET | {"chains": 4}))
    with psg.marginal_model(model, random_seed=1):
        exact = pm.sample(2000, progressbar=False, cores=1, random_seed=2)
    for name in ("base", "scale"):
        ours, theirs = kept.posterior[name], exact.posterior[name]
        assert abs(float(ours.mean() - theirs.mean())) < 0.2 * float(theirs.std())
        assert float(ours.std() / theirs.std()) == pytest.approx(1, abs=0.1)
