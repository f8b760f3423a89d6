"""Passes through the data: counted where they are made, bounded, and shown while they are made."""

import io

import numpy as np
import pytest

from pymc.exceptions import SamplingError
from rich.console import Console

import pymc_sgld as psg

from pymc_sgld import sampling
from pymc_sgld.model_graph import PassCounter, TooManyPasses, counted, doing
from pymc_sgld.step_methods import auto_nuts
from pymc_sgld.step_methods.progress import tuning_shown
from pymc_sgld.tuning import most_passes, pass_budget
from tests.targets import linear_regression


@pytest.fixture(scope="module")
def model():
    return linear_regression(n_rows=20_000).model()


@pytest.fixture(scope="module")
def tuned(model):
    with counted(PassCounter()) as counter:
        step = psg.Auto(model=model, rng=0, verify=False)
    return step, counter.passes


def test_rows_that_are_evaluated_are_counted(tuned):
    function = tuned[0].chain.block_function
    at, rows = np.zeros(3), np.arange(2000)
    with counted(PassCounter()) as outer:
        function.full(at)
        with counted(PassCounter()) as inner:
            function.batch(at, [rows])
            function.row_gradients(at, 0, rows)
            function.row_values(at, 0, slice(0, 2000))
            function.prior(at)
    function.full(at)
    assert inner.passes == pytest.approx(0.3) and outer.passes == pytest.approx(1.3)


def test_what_is_said_is_what_was_counted(tuned):
    step, passes = tuned
    assert 10 < step.choice.data_passes < 60
    # the rest is the chain's first call, of as many rows as a batch has
    assert step.choice.data_passes == pytest.approx(passes, abs=0.1)


@pytest.mark.parametrize(
    ("n_rows", "n_dim", "most"),
    [
        (99_999, 9, 200),
        (100_000, 9, 100),
        (2000, 9, 2000),
        (100_000, 50, 100),
        (10**5, 141, 282),
        (10**6, 900, 1000),
    ],
)
def test_the_bound_by_rows_and_parameters(n_rows, n_dim, most):
    assert most_passes(n_rows, n_dim) == most


def test_beyond_the_bound_tuning_stops_and_says_what_to_do(model, monkeypatch):
    with pytest.raises(SamplingError, match=r"20,000 rows 3 times .*tuning_passes=12 lets"):
        psg.Auto(model=model, rng=0, verify=False, tuning_passes=3)
    with pytest.raises(ValueError, match="tuning_passes must be > 0"):
        psg.Auto(model=model, rng=0, verify=False, tuning_passes=0)
    # and by default, on either side of 100,000 rows
    monkeypatch.setattr(pass_budget, "MOST_PASSES_OF_FEW_ROWS", 4)
    monkeypatch.setattr(pass_budget, "_ROWS_READ", 0)
    with pytest.raises(SamplingError, match="20,000 rows 4 times"):
        psg.Auto(model=model, rng=0, verify=False)
    monkeypatch.setattr(pass_budget, "_FEW_ROWS", 20_000)
    monkeypatch.setattr(pass_budget, "MOST_PASSES", 5)
    with pytest.raises(SamplingError, match="20,000 rows 5 times"):
        psg.Auto(model=model, rng=0, verify=False)


def test_a_default_run_that_read_too_often_is_left_to_nuts(model, monkeypatch, caplog):
    monkeypatch.setattr(pass_budget, "MOST_PASSES_OF_FEW_ROWS", 4)
    monkeypatch.setattr(pass_budget, "_ROWS_READ", 0)
    monkeypatch.setattr(sampling, "_nuts", lambda run, reason, known: reason)
    for bound in ("NUTS_SECONDS", "NUTS_SECONDS_OF_FEW_ROWS"):
        monkeypatch.setattr(auto_nuts, bound, 0.0)
    reason = psg.sample(model=model, progressbar=False)
    assert "it has read the 20,000 rows 4 times" in reason
    assert "NUTS on all rows is taken" in caplog.text and "tuning_passes=16" in caplog.text
    with pytest.raises(SamplingError, match="it has read the 20,000 rows 3 times"):
        psg.sample(model=model, progressbar=False, tuning_passes=3)


def test_the_search_for_other_modes_is_cut_off_before_the_run_is(model, tuned):
    enough = psg.Auto(
        model=model, rng=0, verify=False, tuning_passes=tuned[0].choice.data_passes - 0.5
    )
    assert "search for other modes was cut off" in enough.choice.reason
    assert "search for other modes" not in tuned[0].choice.reason


def test_the_bar_says_what_is_done_and_how_often_the_data_were_read(model):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=140)
    with tuning_shown(True, console):
        psg.Auto(model=model, rng=0, verify=False)
    said = file.getvalue()
    # What is over within a tenth of a second the bar may not show.
    assert "Compiling" in said and "Tuning: looking for" in said
    assert "passes through the data" in said
    with tuning_shown(False, console), pytest.raises(TooManyPasses):
        with counted(PassCounter(1)):
            doing("nothing that is shown")
            psg.Auto(model=model, rng=0, verify=False)
    assert "nothing that is shown" not in file.getvalue()


@pytest.mark.parametrize(
    ("given", "shows"),
    [({}, True), ({"progressbar": False}, False), ({"quiet": True}, False)],
)
def test_the_bar_obeys_progressbar_and_quiet(model, monkeypatch, given, shows):
    class Asked(Exception):
        pass

    def asked(whether):
        raise Asked(whether)

    monkeypatch.setattr(sampling, "tuning_shown", asked)
    with pytest.raises(Asked) as caught:
        psg.sample(model=model, target_bias=0.05, **given)
    assert caught.value.args == (shows,)
