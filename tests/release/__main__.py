"""`python -m tests.release check` and `python -m tests.release matrix`."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import textwrap

from collections.abc import Callable
from pathlib import Path

from tests.release.environments import ROOT, Environment, Failed, pythons

PYTHONS = ["3.12", "3.13", "3.14"]
PYMC = {"lowest": "pymc==6.3.*", "newest": "pymc>=6.3,<7"}
# Quick tests of what other versions break: laws, identities, the sampling loop, records, types.
QUICK = [
    "tests/test_exact_laws.py", "tests/test_records.py", "tests/gradient_estimators",
    "tests/chain/test_loops.py", "tests/model_graph/test_row_api.py",
    "tests/model_graph/test_ranges.py",
]  # fmt: skip
USER = """
import pymc as pm  # type: ignore[import-untyped]

import pymc_sgld as psg


def step(model: pm.Model) -> psg.SGLD:
    with model:
        return psg.SGLD(batch_size=10, step_size=0.1)


names: dict[str, str] = psg.samplers()
wrong: int = psg.samplers()
"""


def _readme() -> str:
    """Return the first example of the README."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]


def _built(folder: Path, python: str) -> list[Path]:
    """Build wheel and sdist, as they would be published."""
    builder = Environment.made(folder / "builder", python)
    builder.install("build")
    builder.python("-m", "build", "--outdir", folder / "dist", ROOT)
    return sorted((folder / "dist").iterdir())


def _bare(environment: Environment) -> str:
    """Run the README's example with nothing but the package and what it asks for."""
    script = environment.folder / "readme.py"
    script.write_text(_readme() + "\nprint(psg.__file__)\n")
    printed = environment.python(script)
    if "sd_ratio" not in printed or str(environment.folder) not in printed:
        raise Failed(f"the README's example printed\n{printed}")
    return "README example"


def _typed(environment: Environment) -> str:
    """A user's file sees the types, and mypy the one mistake in it."""
    environment.install("mypy")
    user = environment.folder / "user.py"
    user.write_text(USER)
    code = f"import mypy.api; print(mypy.api.run(['--strict', {str(user)!r}])[0])"
    errors = [line for line in environment.python("-c", code).splitlines() if "error:" in line]
    if len(errors) != 1 or "wrong" not in USER.splitlines()[int(errors[0].split(":")[1]) - 1]:
        raise Failed("mypy on a user's file:\n" + "\n".join(errors))
    return "py.typed"


def _tests(environment: Environment, *more: str) -> str:
    """Run quick tests of the checkout against what is installed."""
    kept = [str(ROOT / path) for path in QUICK]
    options = (
        "-q",
        "-n",
        "0",
        "--rootdir",
        ROOT,
        "-c",
        ROOT / "pyproject.toml",
        "-o",
        "pythonpath=",
    )
    code = (
        f"import sys; sys.path.append({str(ROOT)!r}); import pymc_sgld, pytest; "
        f"assert {str(environment.folder)!r} in pymc_sgld.__file__; "
        "sys.exit(pytest.main(sys.argv[1:]))"
    )
    return environment.python("-c", code, *options, *more, *kept).strip().splitlines()[-1]


class _Table:
    """Lines as they come, and whether all went well."""

    failures = 0

    def line(self, name: str, check: Callable[[], str]) -> bool:
        """Do one thing, and print how it went."""
        try:
            print(f"{name:<52} {check()}", flush=True)
        except Failed as error:
            self.failures += 1
            print(f"{name:<52} FAILED\n{textwrap.indent(str(error), '    ')}", flush=True)
            return False
        return True


def check(folder: Path) -> int:
    """Install wheel and sdist bare; run the README's example and mypy on a user's file in both."""
    table, python = _Table(), sys.executable
    for package in _built(folder, python):
        environment = Environment.made(folder / package.name, python)
        installed = table.line(
            f"{package.name}, installed bare",
            lambda e=environment, p=package: e.install(p) or e.versions("pymc-sgld", "pymc"),
        )
        for one in (_bare, _typed) if installed else ():
            table.line(f"{package.name}, {one.__name__[1:]}", lambda e=environment, f=one: f(e))
    return table.failures


def matrix(folder: Path, wanted: list[str]) -> int:
    """Run quick tests on every Python that is there, with the lowest and the newest PyMC."""
    table = _Table()
    for number, (version, path) in enumerate(pythons(wanted).items()):
        if not path:
            print(f"Python {version:<45} not on this machine")
            continue
        for which, pymc in PYMC.items():
            environment = Environment.made(folder / f"{number}-{which}", path)
            more = ("pytest", "pytest-xdist", "hypothesis", "jax")
            installed = table.line(
                f"Python {version}, {which} PyMC, installed",
                lambda e=environment, p=(ROOT, pymc, *more): (
                    e.install(*p) or e.versions("pymc", "pytensor", "numba", "jax")
                ),
            )
            if installed:
                table.line(
                    f"Python {version}, {which} PyMC, numba and JAX",
                    lambda e=environment: _tests(e),
                )
    return table.failures


def main() -> int:
    """Run one of the two in a folder that is thrown away."""
    parser = argparse.ArgumentParser(prog="python -m tests.release", description=__doc__)
    parser.add_argument("what", choices=["check", "matrix"])
    parser.add_argument(
        "--python", nargs="+", default=PYTHONS, help="versions or paths, for matrix"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        failures = check(folder) if asked.what == "check" else matrix(folder, asked.python)
    print("All is well." if not failures else f"{failures} failed.")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
