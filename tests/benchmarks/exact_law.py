"""The exact stationary variance of SGLD as compiled, beside theory.

``python -m tests.benchmarks.exact_law``: y_i ~ N(theta, 4), 12 rows of 2 columns, batches of 3
(with gradient noise) or of all rows (without), at three step sizes and two temperatures.
"compiled" comes from pushing unit vectors through the compiled loop and solving for the stationary
covariance; "theory" is (T/A) (1 + alpha) / (1 - h A / 2), with alpha = h V / (2 T) and V enumerated
by hand.
"""

from rich.console import Console
from rich.table import Table

import pymc_sgld as psg

from tests.affine_law import AffineStep, window_noise
from tests.targets import gaussian_mean
from tests.test_exact_laws import STEP_SIZES


def main():
    target = gaussian_mean()
    table = Table(title="Stationary variance over T / A, second coordinate: SGLD")
    for column in ("batch", "T", "h A", "alpha", "compiled", "theory", "relative difference"):
        table.add_column(column, justify="right")
    for batch in (target.n_rows, 3):
        with target.model():
            step = psg.SGLD(step_size=0.1, batch_size=batch, verify=False)
        for temperature in (1.0, 4.0):
            for relative in STEP_SIZES:
                table.add_row(*row(target, step, batch, temperature, relative))
    Console(width=100).print(table)


def row(target, step, batch, temperature, relative):
    h = relative / target.precision
    law = AffineStep(step, h, temperature)
    _, covariance = law.stationary()
    noise = window_noise(target, law, batch)[1, 1]
    alpha = h * noise / (2 * temperature)
    found = covariance[1, 1] * target.precision / temperature
    theory = (1 + alpha) / (1 - relative / 2)
    cells = (temperature, relative, alpha, found, theory)
    return (str(batch), *(f"{cell:.6g}" for cell in cells), f"{found / theory - 1:.0e}")


if __name__ == "__main__":
    main()
