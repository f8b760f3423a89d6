"""CPU seconds to factorise the precision of effects, by elimination and by a general factor.

``python -m tests.benchmarks.sparse_factor``: one grouping, and two crossed ones whose levels are
unbalanced. Pattern: what is looked at once. Factor, solve, draw: each time.
"""

import time

import numpy as np

from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array, diags_array

from pymc_sgld.preconditioners.sparse_factor import elimination, general_factor

CASES = [(100_000, 1, 500_000), (3_000, 1_100, 66_000), (30_000, 5_000, 1_000_000)]
MOST_GENERAL = 100_000  # rows of crossed effects, beyond which the general factor takes a minute


def precision(first, second, n_rows):
    """Return the precision of crossed effects, and the variable of each entry."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, first, n_rows), first + rng.zipf(1.6, n_rows) % second
    rows, ones = np.arange(n_rows), np.ones(n_rows)
    shape = (n_rows, first + second)
    design = csr_array((ones, (rows, a)), shape=shape) + csr_array((ones, (rows, b)), shape=shape)
    matrix = csr_array(design.T @ design + 5 * diags_array(np.ones(shape[1])))
    return matrix, np.repeat([0, 1], [first, second])


def timed(function):
    started = time.process_time()
    value = function()
    return value, time.process_time() - started


def main():
    table = Table(title="CPU seconds")
    for name in ("effects", "rows", "pattern", "factor", "solve", "draw", "general factor"):
        table.add_column(name, justify="right")
    for first, second, n_rows in CASES:
        matrix, variable = precision(first, second, n_rows)
        chosen, of_pattern = timed(lambda m=matrix, v=variable: elimination(m, v))
        factor, of_factor = timed(lambda c=chosen, m=matrix: c.factor(m))
        vector = np.random.default_rng(1).normal(size=len(variable))
        solution, of_solve = timed(lambda f=factor, v=vector: f.solve(v))
        _, of_draw = timed(lambda f=factor, v=vector: f.coloured(v))
        np.testing.assert_allclose(matrix @ solution, vector, atol=1e-10)
        general = "not run"
        if second == 1 or n_rows <= MOST_GENERAL:
            general = f"{timed(lambda m=matrix: general_factor(m))[1]:.3g}"
        times = (f"{one:.3g}" for one in (of_pattern, of_factor, of_solve, of_draw))
        table.add_row(f"{first:,} x {second:,}", f"{n_rows:,}", *times, general)
    Console().print(table)


if __name__ == "__main__":
    main()
