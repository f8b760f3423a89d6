"""The columns of the table: their words, their formats, what they mean."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from pymc_sgld import records


@dataclass(frozen=True)
class Column:
    """One figure of a method."""

    name: str  # in `Comparison.table`
    heading: str
    form: str
    meaning: str
    verdict: str = ""  # the column that says whether it is close

    def cell(self, row: Any) -> str:
        """Return the figure of a method as it is printed; "-" where there is none."""
        value = row[self.name]
        return "-" if pd.isna(value) or value == "" else self.form.format(value)


def verdict_of(column: Column, row: Any) -> str:
    """Return whether a figure is close, off, or cannot be told; empty if it is not judged."""
    return str(row[column.verdict]) if column.verdict else ""


COLUMNS = (
    Column(
        "verdict",
        "verdict",
        "{}",
        "Close: every mean is within the tolerance of the reference's, in the reference's "
        "standard deviations, and every standard deviation within the same share of its. Off: "
        "some parameter surely is not, allowing for the Monte Carlo errors of both methods, with "
        "a chance of 5 % for a false alarm. Cannot tell: beyond the tolerance, but not surely; "
        "draw more.",
        "verdict",
    ),
    Column(
        "mean_error",
        "largest |mean - {reference} mean|, in {reference} sds",
        "{:.3f}",
        "How far the worst posterior mean is from the reference's. 0.1 is a tenth of the posterior "
        "standard deviation: too little to change a conclusion.",
        "mean_error_verdict",
    ),
    Column(
        "sd_ratio_min",
        "smallest sd ratio to {reference}",
        "{:.3f}",
        "The standard deviation of the parameter that is most too narrow, over the reference's. "
        "Below 1 the method claims more certainty than there is.",
        "sd_ratio_min_verdict",
    ),
    Column(
        "sd_ratio_max",
        "largest sd ratio to {reference}",
        "{:.3f}",
        "The same for the parameter that is most too wide. Noise of minibatches widens.",
        "sd_ratio_max_verdict",
    ),
    Column(
        "wasserstein",
        "largest Wasserstein distance, in {reference} sds",
        "{:.3f}",
        "The area between the two distribution functions of a parameter, the largest of all: how "
        "far its draws would have to be moved, on average, to become the reference's. It sees "
        "shape as well as place and width.",
    ),
    Column(
        "wasserstein_noise",
        "... expected from Monte Carlo error alone",
        "{:.3f}",
        "What the line above would be at that parameter, on average, if both methods were exact "
        "and it were normal: with few effective draws no two samples agree.",
    ),
    Column(
        "ksd",
        "kernel Stein discrepancy",
        "{:.3f}",
        "Distance of the draws from the posterior itself, by its gradients and without a "
        "reference: 0 at best. Blind to the weights of separate modes.",
    ),
    Column(
        "ksd_of_exact_draws",
        "... of exact draws",
        "{:.3f}",
        "What the line above would be for as many independent draws from the posterior.",
    ),
    Column(
        "r_hat",
        "largest R-hat",
        "{:.3f}",
        "Whether the chains agree with each other: 1.00 to 1.01 is good. It cannot see a bias that "
        "all chains share.",
        "r_hat_verdict",
    ),
    Column(
        "ess_bulk",
        "smallest bulk ESS",
        "{:,.0f}",
        "Effective sample size: how many independent draws the correlated ones are worth.",
    ),
    Column(
        "ess_per_second",
        "ESS per second (tune + draw)",
        "{:,.1f}",
        "The line above over the seconds of tuning and drawing, without compilation.",
    ),
    Column("draws", "draws, all chains", "{:,.0f}", "Draws that were kept."),
    Column(
        records.DATA_PASSES,
        "passes through the data",
        "{:,.0f}",
        "Gradients of single rows that were evaluated, tuning included, over the number of rows: "
        "work that does not depend on the machine. Of all chains together.",
    ),
    Column(
        records.COMPILE_SECONDS,
        "compile, seconds",
        "{:.1f}",
        "Wall time before the first step: building, checking and compiling the model. Methods that "
        "run later find some of it in the cache.",
    ),
    Column(records.TUNE_SECONDS, "tune, seconds", "{:.1f}", "Wall time of tuning, or of fitting."),
    Column(
        records.DRAW_SECONDS,
        "draw, seconds",
        "{:.1f}",
        "Wall time of the draws that are kept.",
    ),
    Column("total_seconds", "total, seconds", "{:.1f}", "The sum of these three."),
    Column(
        "elpd",
        "elpd (leave-one-out)",
        "{:,.1f}",
        "Expected log density of new data, by leaving out one row at a time; larger is better. "
        "Where there are many rows, from a sample of them.",
    ),
    Column("elpd_se", "... standard error", "{:.1f}", "Of the line above, over the rows."),
    Column(
        "elpd_difference",
        "elpd - elpd of {reference}",
        "{:+.2f}",
        "Difference row by row. Within a few of its standard errors, or within 4, it is too "
        "small to matter.",
    ),
    Column("elpd_difference_se", "... standard error", "{:.2f}", "Of the line above."),
)


def known_columns(table: pd.DataFrame) -> list[Column]:
    """Return the columns in which some method has a figure."""
    return [
        column
        for column in COLUMNS
        if column.name in table and any(column.cell(row) != "-" for _, row in table.iterrows())
    ]
