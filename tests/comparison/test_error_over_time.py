"""The error of the means after so many seconds, against numbers worked out by hand."""

import arviz_base
import numpy as np

from pymc_sgld import records
from pymc_sgld.comparison.error_over_time import errors_over_time, plot_error_over_time


def result(draws, *seconds, **attributes):
    """Return draws of "a" and their negatives as "b", shape (chains, draws)."""
    found = arviz_base.from_dict({"posterior": {"a": np.array(draws), "b": -np.array(draws)}})
    found["posterior"].attrs.update(zip(records.PHASES, seconds, strict=False), **attributes)
    return found


# The reference: mean 1 and sd 2 of "a".
RESULTS = {
    "ref": result([[3.0, -1.0], [3.0, -1.0]], 1, 1, 1),
    "chain": result([[5.0, 1.0, 1.0, 5.0], [5.0, 1.0, 1.0, 5.0]], 2.0, 3.0, 8.0),
    "fit": result([[2.0, 2.0, 2.0, 2.0]], 1.0, 4.0, 0.5, **{records.INDEPENDENT_DRAWS: 1}),
    "untimed": result([[0.0, 0.0, 0.0, 0.0]]),
}
FLAT = {label: one["posterior"].to_dataset() for label, one in RESULTS.items()}


def test_errors_over_time_are_those_of_the_first_draws():
    found = errors_over_time(FLAT, RESULTS, "ref")
    assert list(found) == ["chain", "fit"]
    seconds, errors = found["chain"]
    # two, three and four of the draws, of which each took two seconds
    np.testing.assert_allclose(seconds, [9.0, 11.0, 13.0])
    np.testing.assert_allclose(errors, [1.0, 2 / 3, 1.0])
    seconds, errors = found["fit"]
    np.testing.assert_allclose(seconds, [5.0, 5.5])
    np.testing.assert_allclose(errors, [0.5, 0.5])


def test_lines_are_level_from_where_a_method_had_ended():
    plot = plot_error_over_time(FLAT, RESULTS, "ref", "matplotlib")
    axes = plot.viz["figure"].item().axes[0]
    lines = axes.get_lines()
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert [line.get_xdata()[-1] for line in lines] == [13.0, 13.0]
    assert [line.get_ydata()[-1] for line in lines] == [1.0, 0.5]
    assert plot_error_over_time({"ref": FLAT["ref"]}, RESULTS, "ref", "none") is None
