"""The main job: that what it runs are runs, and what it asks for is there."""

import pytest

from models import _running, flights
from models._datasets import MissingData
from pymc_sgld.comparison import running


@pytest.fixture(scope="module")
def model():
    try:
        return flights.build_model(flights.load_data(rows=2000))
    except MissingData as error:
        pytest.skip(str(error))


def test_what_the_main_job_runs_are_runs_with_options_that_there_are():
    runs = running._runs(flights.COMPARED)
    assert flights.REFERENCE in runs and runs["nuts"]["seconds"] == flights.NUTS_SECONDS


def test_the_reference_is_the_models_own_where_samplers_are_too(monkeypatch, model):
    asked = []

    def spied(samplers, model, **options):
        asked.append((list(samplers), options["reference"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(_running.psg, "compare", spied)
    monkeypatch.setattr(flights, "build_model", lambda data: model)
    for samplers in (None, ["auto", "nuts"]):
        with pytest.raises(KeyboardInterrupt):
            _running.compare("flights", _running.Options(rows=2000), samplers)
    assert asked == [(list(flights.COMPARED), "mala"), (["auto", "nuts"], "nuts")]


def test_every_flight_has_a_level_of_every_effect(model):
    for name in ("carrier", "origin", "destination"):
        assert len(model.coords[name]) > 2
    assert model.dim_lengths["flight"].eval() == 2000
    assert set(flights.VARIABLES) <= {v.name for v in model.unobserved_RVs}
