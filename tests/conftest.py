"""Compile once a session, share everywhere: a cold compile costs seconds."""

import importlib.util

from collections import Counter

import pytest

import pymc_sgld as psg

from tests import targets

BACKENDS = ["numba", "jax"]


def require_backend(backend):
    if backend == "jax" and importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed: pip install 'pymc-sgld[jax]'")


def pytest_addoption(parser):
    parser.addoption("--no-skips", action="store_true", help="a test that is skipped fails")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("no_skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, so nothing was tested: {report.longrepr[2]}"
    return report


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request):
    require_backend(request.param)
    return request.param


@pytest.fixture(scope="session")
def gaussian():
    return targets.gaussian_mean()


@pytest.fixture(scope="session")
def regression():
    return targets.linear_regression()


@pytest.fixture(scope="session")
def make_step():
    """Build a step method once for each model, sampler and arguments."""
    made = {}

    def build(key, model, sampler="sgld", **arguments):
        full_key = (key, sampler, tuple(sorted(arguments.items())))
        if full_key not in made:
            with model:
                made[full_key] = psg.step_methods.REGISTRY[sampler](verify=False, **arguments)
        return made[full_key]

    return build


def pytest_terminal_summary(terminalreporter):
    """Print the files that took longest: a run is as long as those that one worker has."""
    seconds = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    slow = [(name, took) for name, took in seconds.most_common(12) if took > 10]
    if slow:
        terminalreporter.section("slowest files")
        for name, took in slow:
            terminalreporter.write_line(f"{took:6.0f} s  {name}")
