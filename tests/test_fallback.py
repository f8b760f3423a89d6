"""What a default run does where tuning fails: pieces, then NUTS, in words of what was given."""

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest

from pymc.exceptions import SamplingError

import pymc_sgld as psg

from pymc_sgld.chain.tune_phase import _A_LEAP
from pymc_sgld.step_methods import auto_choices, auto_nuts, refusals
from pymc_sgld.tuning import TuningError
from tests.gaussian_hierarchy import gaussian_hierarchy
from tests.targets import linear_regression


@pytest.fixture(scope="module")
def well_known():
    """A scale that is known well enough to move with all else."""
    return gaussian_hierarchy(n_groups=60, rows=50, scale=1.0).model()


def unbounded(*arguments):
    raise TuningError("No mode was found. Give priors.", model_at_fault=True, unbounded=True)


@pytest.mark.slow
def test_a_hierarchy_without_a_joint_mode_is_sampled_in_pieces(well_known, monkeypatch):
    assert psg.Auto(model=well_known, rng=0, verify=False).choice.hyperparameters == ""
    monkeypatch.setattr(auto_choices, "check_mode", unbounded)
    choice = psg.Auto(model=well_known, rng=0, verify=False).choice
    assert choice.hyperparameters and "no mode was found" in choice.reason
    with pytest.raises(SamplingError, match="No mode"):
        psg.Auto(model=well_known, rng=0, verify=False, hyperparameters="joint")


def test_a_density_without_a_bound_is_no_fault_of_a_hierarchy(well_known, monkeypatch):
    """Where a scale is zero every hierarchy has one: its posterior is proper, and NUTS sees it."""
    monkeypatch.setattr(auto_choices, "check_mode", unbounded)
    monkeypatch.setattr(auto_choices, "in_two_blocks", lambda *arguments: (None, None))
    for model, at_fault in ((well_known, False), (linear_regression(n_rows=50).model(), True)):
        with pytest.raises(SamplingError, match="No mode") as raised:
            psg.Auto(model=model, rng=0, verify=False)
        assert (auto_nuts.why_not_tuned(raised.value, model) is None) == at_fault


def test_a_matrix_without_an_inverse_is_said_in_words(monkeypatch):
    def singular(*arguments, **options):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(auto_choices, "find_laplace", singular)
    model = linear_regression(n_rows=50).model()
    with pytest.raises(SamplingError, match="parameters that the data do not tell apart") as raised:
        psg.Auto(model=model, rng=0, verify=False)
    assert "has no inverse" in auto_nuts.why_not_tuned(raised.value, model)


def test_a_chain_does_not_stay_where_a_leap_has_thrown_it():
    """A scale the rows say nothing of, moved with its effects: log tau was once minus 10^7."""
    with pm.Model() as model:
        tau = pm.HalfNormal("tau", 1)
        z = pm.Normal("z", 0, 1, shape=3)
        pm.Normal("y", (tau * z)[np.arange(60) % 3], 2, observed=np.zeros(60))
    step = psg.Auto(model=model, rng=0, verify=False, hyperparameters="joint", recentre=False)
    chain = step.chain
    step.setup_chain(np.random.default_rng(1), 1, 200)
    position = chain.draw(chain.start(chain.prepared.mode)).position.copy()
    position[0] = 9.0  # tau of 8,000: the slope is minus its square
    draws, refused = [], 0
    for _ in range(50):
        draw = chain.draw(position)
        position, refused = draw.position, refused + draw.diverging
        draws.append(position[0])
    assert refused
    sd = np.sqrt(chain.prepared.covariance[0, 0])
    assert np.min(draws) > chain.prepared.mode[0] - _A_LEAP * sd * np.sqrt(4)


@pytest.mark.parametrize(("step_size", "said"), [(None, "was chosen"), (0.1, "leave it out")])
def test_advice_is_of_what_was_given(step_size, said):
    settings = SimpleNamespace(
        step_size=step_size,
        support=SimpleNamespace(is_bounded=False),
        kernel=SimpleNamespace(metric=SimpleNamespace(name="dense")),
    )
    state = SimpleNamespace(refused_in_a_row=refusals._BEFORE_ERROR - 1)
    draw = SimpleNamespace(diverging=True, outside=False, step_size=0.1)
    with pytest.raises(SamplingError, match="draws in a row") as raised:
        refusals.count_refusal(SimpleNamespace(settings=settings, state=state), draw)
    words = str(raised.value)
    assert said in words and ("leave it out" in words) == (step_size is not None)
    assert "preconditioner" not in words  # which was dense


def test_a_warning_is_of_what_was_given(caplog):
    result = {"sample_stats": {"diverging": np.ones(10)}}
    for step_size, said in ((None, "chosen for"), (0.1, "leave it out")):
        caplog.clear()
        settings = SimpleNamespace(step_size=step_size, support=SimpleNamespace(is_bounded=False))
        with pm.Model() as model:
            refusals.report_refusals(result, model, settings)
        assert said in caplog.text and ("leave it out" in caplog.text) == bool(step_size)
