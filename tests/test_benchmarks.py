"""The page of benchmarks is what the command wrote, failures included."""

import numpy as np

from tests.benchmarks.speed import report
from tests.benchmarks.speed.data import logistic_mode, regression

MACHINE = {"date": "d", "commit": "c", "cores": 2, "load": 1.0, "python": "3", "packages": {}}


def test_the_page_is_that_of_the_figures():
    assert report.PAGE.read_text() == report.page(report.read())


def test_what_failed_stands_in_the_table_in_words():
    of_run = {"method": "psg_auto", "state": "cold", "rows": 10_000}
    known = {"cpu_seconds": 2.0, "draws": 8, "ess": 6.0, "mean_error": 0.1}
    known |= {"sd_ratio_min": 0.9, "sd_ratio_max": 1.1}
    parts = {
        "end_to_end": [
            of_run | known,
            of_run | {"method": "nutpie", "state": "", "failed": "stopped"},
        ],
        "scales": [{"rows": 10**8, "failed": "no memory"}],
        "first_draws": [
            {"model": "coin", "state": "cold", "cpu_seconds": 9.0},
            {"model": "coin", "state": "warm", "failed": "error"},
        ],
    }
    page = report.page({name: {"machine": MACHINE, "rows": rows} for name, rows in parts.items()})
    assert "| 10,000 | `psg.sample()`, cold | 2.0 | 8 | 6 | 3 | 0.10 | 0.90-1.10 |" in page
    assert "| 10,000 | nutpie, 1 x (300 + 300) | stopped |" in page
    assert "| 100,000,000 | no memory |" in page
    assert "| coin | 9.0 | error |" in page
    assert "## A step" not in page


def test_the_law_that_draws_are_held_against_is_that_of_the_mode():
    design, outcome = regression("logistic", 500, 3, 0)
    mode, covariance = logistic_mode(design, outcome)

    def slope(position):
        return design.T @ (outcome - 1 / (1 + np.exp(-design @ position))) - position

    np.testing.assert_allclose(slope(mode), 0, atol=1e-9)
    by_difference = [(slope(mode - e) - slope(mode + e)) / 2e-5 for e in 1e-5 * np.eye(3)]
    np.testing.assert_allclose(np.linalg.inv(covariance), by_difference, rtol=1e-6)
