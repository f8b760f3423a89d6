import io

import numpy as np
import pymc as pm
import pytest
import xarray as xr

from rich.console import Console
from scipy import stats

from models.__main__ import _parser
from models._datasets import MissingData
from models.evidence import check_evidence, real, report, runs, step_size_example
from models.evidence.command import seeds_of
from models.evidence.moments import Moments, moments_of
from models.evidence.outcomes import errors_of, verdict
from models.evidence.problems import Problem, chosen, problems
from models.evidence.references import reference, smoothed_weights


def conjugate():
    """A normal mean with its conjugate prior, and a rate with its own, which is skewed."""
    rng = np.random.default_rng(3)
    with pm.Model(coords={"row": range(50), "event": range(12)}) as model:
        mu = pm.Normal("mu", 1, 2)
        rate = pm.Gamma("rate", 2, 1)
        pm.Normal("y", mu, 1.5, observed=rng.normal(size=50), dims="row")
        pm.Poisson("counts", rate, observed=rng.poisson(0.7, 12), dims="event")
    return model


def test_importance_against_closed_forms(tmp_path):
    model = conjugate()
    y, counts = (model.rvs_to_values[variable].eval() for variable in model.observed_RVs)
    precision = 1 / 4 + len(y) / 1.5**2
    of_mu = stats.norm((1 / 4 + y.sum() / 1.5**2) / precision, precision**-0.5)
    of_rate = stats.gamma(2 + counts.sum(), scale=1 / (1 + len(counts)))

    problem = Problem("conjugate", lambda: model)
    found = reference(problem, tmp_path)
    assert found.how.startswith("importance")
    assert found.labels == ["mu", "rate"]
    means, sds = zip(of_mu.stats("mv"), of_rate.stats("mv"), strict=True)
    sds = np.sqrt(sds)
    # the error that the reference states is small, and true
    assert (found.mean_error < 0.01 * sds).all() and (found.sd_error < 0.02 * sds).all()
    assert (np.abs(found.mean - means) < 4 * found.mean_error + 0.002 * sds).all()
    assert (np.abs(found.sd - sds) < 4 * found.sd_error + 0.002 * sds).all()

    again = reference(Problem("conjugate", None), tmp_path)  # read, not made
    assert again.labels == found.labels and again.how == found.how
    np.testing.assert_array_equal(again.mean, found.mean)


def test_heavy_weights_are_seen():
    """A proposal with a third of the target's sd: the Pareto shape tells."""
    draws = np.random.default_rng(0).normal(size=4000)
    weights, shape, effective = smoothed_weights(-(draws**2) / 18 + draws**2 / 2)
    assert shape > 0.7 and effective < 2000
    assert weights[np.abs(draws).argmax()] > weights[np.abs(draws).argmin()]


N_PARAMETERS = 10
EXACT = Moments(
    [f"beta[{j}]" for j in range(N_PARAMETERS)],
    np.full(N_PARAMETERS, 2.0),
    np.full(N_PARAMETERS, 0.5),
    np.zeros(N_PARAMETERS),
    np.zeros(N_PARAMETERS),
    "exact",
)


def judged(wider=1.0, shift=0.0, n_draws=1000, warnings=(), ess=4000.0):
    draws = np.random.default_rng(1).normal(size=(4, n_draws, N_PARAMETERS))
    draws[..., 3] = shift + wider * draws[..., 3]
    posterior = xr.Dataset({"beta": (("chain", "draw", "column"), 2 + 0.5 * draws)})
    errors = errors_of(moments_of(posterior, ["beta"], ""), EXACT)
    return errors, verdict(errors, ess=ess, chains=4, warnings=list(warnings))


def test_right_draws_are_met():
    errors, word = judged()
    assert word == "met"
    assert errors.mean_error < 0.06 and 0.95 < errors.sd_ratio_min <= errors.sd_ratio_max < 1.05
    assert judged(warnings=["R-hat"])[1] == "met"


@pytest.mark.parametrize("planted", [{"wider": 1.2}, {"wider": 0.8}, {"shift": 0.3}])
def test_planted_errors_are_not_met(planted):
    errors, word = judged(**planted)
    assert word == "SILENT FAILURE"
    at = errors.mean_error_at if "shift" in planted else errors.sd_ratio_max_at
    assert at == "beta[3]" or planted == {"wider": 0.8}
    assert judged(**planted, warnings=["too wide"])[1] == "warned"


def test_too_few_draws_prove_nothing():
    """With few draws the allowance for error is wide, and a shift may hide in it."""
    errors, _ = judged(n_draws=1000)
    assert verdict(errors, ess=4000.0, chains=4, warnings=[]) == "met"
    assert verdict(errors, ess=300.0, chains=4, warnings=[]) == "SILENT FAILURE"
    assert verdict(errors, ess=np.nan, chains=4, warnings=["R-hat"]) == "warned"
    assert verdict(None, ess=4000.0, chains=4, warnings=[]) == "no reference"


def test_command_line(capsys):
    options = _parser().parse_args(["evidence", "tuning", "--problems", "all", "--seeds", "1,4-6"])
    assert (options.command, options.kind, options.chains) == ("evidence", "tuning", 4)
    assert seeds_of(options.seeds) == [1, 4, 5, 6]
    assert [problem.name for problem in chosen("all")] == list(problems())
    assert {problem.name for problem in chosen("quick")} < set(problems())
    real = {problem.name for problem in chosen("real")}
    assert "flights" in real and not real & {problem.name for problem in chosen("quick")}
    with pytest.raises(ValueError, match="no problem nothing\\. Choose"):
        chosen("nothing,logistic-1e4x20")
    with pytest.raises(SystemExit):
        _parser().parse_args(["evidence"])


def test_rows_counted_together_are_the_same_posterior():
    """By level or by group, the log-posterior is that of the rows but for a constant."""
    rng = np.random.default_rng(0)
    by_row, by_level = real.walk(6, 300), real.walk(6, 300, by_cell=True)
    logps = [model.compile_logp(mode="FAST_COMPILE") for model in (by_row, by_level)]
    start = by_row.initial_point()
    points = [
        {name: value + rng.normal(size=np.shape(value)) for name, value in start.items()}
        for _ in range(4)
    ]
    apart = [logps[0](point) - logps[1](point) for point in points]
    np.testing.assert_allclose(apart, apart[0], rtol=1e-10)


def test_the_effects_of_groups_are_integrated_out():
    """The posterior without the effects is the integral over them, by the law of a Gaussian."""
    joint = real.many_groups(3, 4).compile_logp()
    without = real.many_groups(3, 4, by_cell=True).compile_logp()
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    grid = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 3)
    by_node = np.log(weights)[np.indices((40, 40, 40)).reshape(3, -1)].sum(axis=0)
    apart = []
    for mu, tau, s in ((3.0, 0.3, 1.2), (2.5, 0.8, 0.9)):
        point = {"mu": mu, "tau_log__": np.log(tau), "s_log__": np.log(s)}
        point = {name: np.array(value) for name, value in point.items()}
        # the weights of the nodes hold the prior of the effects
        inside = [joint({**point, "z": z}) + z @ z / 2 for z in grid]
        apart.append(np.logaddexp.reduce(inside + by_node) - without(point))
    assert apart[0] == pytest.approx(apart[1], abs=1e-6)


def test_a_run_is_judged_once_there_is_a_reference(tmp_path):
    problem = Problem("planted", None)
    row = {"problem": "planted", "seed": 1, "chains": 4, "ess_min": 4000.0, "warnings": []}
    off = EXACT._replace(mean=EXACT.mean + 0.3 * EXACT.sd)
    off.save(tmp_path / "runs" / "planted-1.npz")
    options = runs.Options(tmp_path, new_references=False)
    row = runs.judged(row, problem, options)
    assert row["verdict"] == "no reference" and "not made yet" in row["note"]
    EXACT.save(tmp_path / "references" / "planted.npz")
    row = runs.judged(row, problem, options)
    assert row["verdict"] == "SILENT FAILURE"
    assert row["mean_error"] == pytest.approx(0.3)
    runs.save(row, tmp_path)
    assert runs.load(problem, 1, tmp_path)["verdict"] == row["verdict"]
    assert runs.load(problem, 2, tmp_path) is None


def test_a_missing_file_is_a_row_of_the_table(tmp_path):
    def build():
        raise MissingData("no such.npz in folder")

    row = runs.measure(Problem("absent", build), 1, runs.Options(tmp_path))
    assert row["verdict"] == "skipped"
    runs.save(row, tmp_path)
    errors, word = judged(shift=0.3)
    other = {"problem": "other", "seed": 2, "verdict": word, "warnings": []} | errors.as_row()
    out = io.StringIO()
    report.show([row, other], Console(file=out, width=220))
    assert "no such.npz" in out.getvalue() and "SILENT FAILURE 1" in out.getvalue()
    assert all(path.exists() for path in report.write([row, other], tmp_path))


def test_the_example_of_ess_and_discrepancy():
    """ESS is largest at the largest step, the discrepancy smallest below; sds as the law says."""
    rows = [step_size_example.measure(step_size, 1) for step_size in (0.016, 0.16, 0.5)]
    assert np.argmax([row["ess"] for row in rows]) == 2
    assert np.argmin([row["discrepancy"] for row in rows]) == 1
    for row in rows[1:]:
        assert row["sd_ratio"] == pytest.approx(row["true_sd_ratio"], abs=0.02)


def test_cells_that_are_off_are_listed():
    row = {"model": "a", "batch_size": 8, "step_size": 0.1, "parameter": "x", "measured": 1.2}
    row |= {"measured_error": 0.1, "true": 1.0, "true_error": 0.0, "off": 2.0, "r_hat": 1.0}
    good = row | {"parameter": "y", "measured": 1.0, "off": 0.0}
    lines = check_evidence.summary([row, good])
    assert lines[0].startswith("1 of 2 cells") and "50%" in lines[0]
    assert len(lines) == 2 and "x: read 1.200" in lines[1]
    with pytest.raises(ValueError, match="no model nonsense"):
        check_evidence.chosen("logistic,nonsense")
