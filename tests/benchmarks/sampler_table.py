"""Every rule's stationary variance on a Gaussian target, over the right one.

``python -m tests.benchmarks.sampler_table``: curvature 1, friction 1, without and with gradient
noise; exact, from the rule's own law. The order of the bias is that of the excess without noise as
the step is halved. Rules with a thermostat are not affine: they are run, in ten directions for
400,000 steps, and "-" is a chain that left the numbers behind.
"""

import numpy as np
import pytensor
import pytensor.tensor as pt

from rich.console import Console
from rich.table import Table

from pymc_sgld.presets import REGISTRY
from pymc_sgld.tuning import LinearLaw

STEPS = (0.8, 0.4, 0.2)
NOISE = 2.0  # variance of the gradient


def main():
    table = Table(title="Stationary variance over the right one, h = 0.8, 0.4, 0.2")
    for column in ("sampler", "gradients", "T", "exact gradient", f"noise {NOISE:g}", "order"):
        table.add_column(column)
    for name, step_method in REGISTRY.items():
        rule = step_method.rule_class(**step_method.rule_defaults)
        for temperature in (1.0, 4.0):
            table.add_row(name, *row(rule, temperature))
    Console(width=110).print(table)


def row(rule, temperature):
    measure = run if rule.nonlinear_state else exact
    clean, noisy = ([measure(rule, h, noise, temperature) for h in STEPS] for noise in (0.0, NOISE))
    return (
        str(rule.gradients_per_step),
        f"{temperature:g}",
        "  ".join(map(ratio, clean)),
        "  ".join(map(ratio, noisy)),
        order(rule, temperature),
    )


def ratio(value):
    return f"{value:.4f}" if np.isfinite(value) else "   -  "


def exact(rule, step_size, noise, temperature):
    return LinearLaw(rule).variance(step_size, 1.0, noise, temperature) / temperature


def order(rule, temperature):
    if rule.nonlinear_state:
        return "(run)"
    excess = [abs(exact(rule, h, 0.0, temperature) - 1) for h in (0.02, 0.01)]
    return "exact" if max(excess) < 1e-10 else f"{np.log2(excess[0] / excess[1]):.2f}"


def run(rule, step_size, noise, temperature, n_steps=400_000, n_dim=10):
    """Measure in ten independent directions that share the thermostat."""
    rng = np.random.default_rng(0)
    position, *extra = (pt.dvector() for _ in ("position", *rule.extra_state))
    error, noises = pt.dmatrix(), pt.dtensor3()

    def step(e, xi, *state):
        new = rule.update(
            dict(zip(("position", *rule.extra_state), state, strict=True)),
            lambda q: -q + e,
            step_size=pt.constant(step_size),
            temperature=pt.constant(temperature),
            noise=xi,
        )
        return [new[name] for name in ("position", *rule.extra_state)]

    outputs = pytensor.scan(
        step, sequences=[error, noises], outputs_info=[position, *extra], return_updates=False
    )
    function = pytensor.function([error, noises, position, *extra], outputs)
    start = rule.start(rng.standard_normal(n_dim), temperature)
    state = [np.zeros(n_dim), *(start[name] for name in rule.extra_state)]
    squares = []
    for _ in range(20):
        n = n_steps // 20
        e = np.sqrt(noise) * rng.standard_normal((n, n_dim))
        traces = function(e, rng.standard_normal((n, rule.noise_vectors, n_dim)), *state)
        state = [trace[-1] for trace in traces]
        with np.errstate(all="ignore"):
            squares.append((traces[0] ** 2).mean())
    return float(np.mean(squares[1:])) / temperature


if __name__ == "__main__":
    main()
