from pathlib import Path
from types import SimpleNamespace

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest

import models

from models import _running
from models.__main__ import main
from models._running import Options, Result, parameters


def test_names_are_the_files():
    folder = Path(models.__file__).parent
    assert models.names() == sorted(path.stem for path in folder.glob("[a-z]*.py"))
    assert "health_visits" in models.names()


def test_list(capsys):
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == models.names()


def test_unknown_model_names_those_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "no_such_model"])
    assert "health_visits" in capsys.readouterr().err


def test_the_command_line_goes_before_the_models_own():
    own = {"sampler": "sgld", "step_size": 0.1, "draws": 70, "chains": 2}
    of_run = {"random_seed": 1, "progressbar": False}
    assert Options(progress=False).sampling(own) == own | of_run
    assert Options(progress=False, draws=5).sampling(own) == own | of_run | {"draws": 5}
    other = Options(progress=False, sampler="baoa").sampling(own)  # a step of sgld is not for it
    assert other == {"sampler": "baoa", "draws": 70, "chains": 2} | of_run


class Conjugate:
    """A normal mean, in the place of a model's file: its posterior is known."""

    __name__ = "conjugate"
    SAMPLING = {"sampler": "ula", "step_size": 0.005, "draws": 400, "tune": 50, "chains": 2}  # noqa: RUF012

    @staticmethod
    def load_data(rows=None):
        return np.random.default_rng(1).normal(1.0, 1.0, rows or 50)

    @staticmethod
    def build_model(data):
        with pm.Model(coords={"name": ["only"]}) as model:
            mu = pm.Normal("mu", 0, 1, dims="name")
            pm.Normal("y", mu[0], 1, observed=data)
        return model

    @staticmethod
    def reference(data):
        n = len(data)
        row = {"mean": data.sum() / (n + 1), "sd": (n + 1) ** -0.5}
        return pd.DataFrame(row, index=["mu[only]"])

    @staticmethod
    def show(draws, data):
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots()
        axes.hist(draws["posterior"]["mu"].to_numpy().ravel())
        return {"histogram": figure}

    @staticmethod
    def tables(draws, data):
        return {"rows": pd.DataFrame({"rows": [len(data)]})}


def test_run_samples_holds_against_the_reference_and_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(models, "load", lambda name: Conjugate)
    out = tmp_path / "out"
    options = ["--rows", "40", "--cores", "1", "--seed", "3", "--no-progress", "--out", str(out)]
    main(["run", "health_visits", *options])
    printed = capsys.readouterr().out
    assert "mu[only]" in printed and "reference" in printed
    found = {path.name for path in out.iterdir()}
    assert found == {"draws.nc", "histogram.png", "parameters.csv", "rows.csv"}
    table = pd.read_csv(out / "parameters.csv", index_col=0)
    known = Conjugate.reference(Conjugate.load_data(40))
    assert table.loc["mu[only]", "reference mean"] == pytest.approx(known.loc["mu[only]", "mean"])
    error = table["sd"] / np.sqrt(table["bulk ESS"])
    assert (abs(table["mean"] - known["mean"]) < 4 * error).all()
    # ULA's own excess, 1 / (1 - h a / 2) in the variance, and the error of an sd
    wide = (1 - 0.005 * 41 / 2) ** -0.5
    assert abs(table.loc["mu[only]", "sd ratio"] - wide) < 4 / np.sqrt(
        2 * table.loc["mu[only]", "bulk ESS"]
    )


def test_an_experiment_runs_itself_and_is_not_compared(tmp_path, monkeypatch, capsys):
    class Experiment:
        @staticmethod
        def run(options):
            steps = list(options.track(range(3), "steps"))
            table = pd.DataFrame({"share": [0.25, None], "word": ["a", "b"]}, index=["x", "y"])
            return Result({"steps taken": table}, notes=[f"{len(steps)} of {options.draws}"])

    monkeypatch.setattr(models, "load", lambda name: Experiment)
    main(["run", "health_visits", "--draws", "3", "--no-progress", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "0.25" in printed and "3 of 3" in printed
    assert (tmp_path / "steps_taken.csv").exists()
    with pytest.raises(ValueError, match=r"experiment of its own.*models run health_visits"):
        _running.compare("health_visits", Options(), None, "nuts")
    with pytest.raises(SystemExit) as ended:
        main(["compare", "health_visits", "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert "experiment of its own" in capsys.readouterr().err


def test_long_tables_are_cut_and_said(capsys):
    frame = pd.DataFrame({"value": np.arange(50) / 7})
    Result({"long": frame}).print()
    assert "and 10 rows more" in capsys.readouterr().out


def test_a_long_table_begins_with_the_fewest_entries_and_says_the_worst():
    rng = np.random.default_rng(1)
    many, few = rng.normal(size=(2, 50, 60)), rng.normal(size=(2, 50))
    many[1, :, 7] += 10  # the chains disagree
    draws = az.from_dict({"posterior": {"many": many, "few": few}})
    table = parameters(SimpleNamespace(), draws, None)
    assert list(table.index[:2]) == ["few", "many[0]"] and len(table) == 61
    (said,) = _running._worst(table)
    assert "61 parameters" in said and said.count("(many[7])") == 2
    assert _running._worst(table.head(40)) == []


def test_missing_data_end_without_a_traceback(tmp_path, monkeypatch, capsys):
    def absent(rows=None):
        raise models._datasets.MissingData("not here; do this")

    monkeypatch.setattr(Conjugate, "load_data", absent)
    monkeypatch.setattr(models, "load", lambda name: Conjugate)
    with pytest.raises(SystemExit) as ended:
        main(["run", "health_visits", "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "python -m models: not here; do this\n"


def test_one_chain_has_no_r_hat(tmp_path):
    with Conjugate.build_model(Conjugate.load_data()):
        draws = pm.sample_prior_predictive(50, var_names=["mu"], random_seed=1)
    draws["posterior"] = draws["prior"]
    assert "R-hat" not in parameters(Conjugate, draws, Conjugate.load_data())
