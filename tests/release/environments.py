"""Virtual environments of a Python that is there, and what is run in them."""

from __future__ import annotations

import os
import shutil
import subprocess

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Failed(Exception):
    """A command ended with an error: what it was, and the end of what it printed."""


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """Run a command away from the checkout; return what it printed."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=inherited | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise Failed(f"{' '.join(map(str, command))}\n{tail}")
    return done.stdout


def pythons(wanted: list[str]) -> dict[str, str]:
    """Return the Python that each version or path stands for; "" where there is none."""
    found, code = {}, "import ensurepip, sys, venv; print(sys.executable)"
    for version in wanted:
        path = shutil.which(version) or shutil.which(f"python{version}")
        try:  # a launcher of a version manager may have nothing behind it
            found[version] = run(path, "-c", code, folder=ROOT).strip() if path else ""
        except Failed:
            found[version] = ""
    return found


@dataclass(frozen=True)
class Environment:
    """A virtual environment in a folder of its own."""

    folder: Path

    @classmethod
    def made(cls, folder: Path, python: str) -> Environment:
        """Make one."""
        folder.mkdir(parents=True)
        run(python, "-m", "venv", folder / "venv", folder=folder)
        return cls(folder)

    def install(self, *packages: str | Path) -> None:
        """Install packages, wheels or a checkout."""
        quiet = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        self.python(*quiet, *packages)

    def python(self, *arguments: str | Path) -> str:
        """Run Python in an empty folder beside it, with a compile cache of its own."""
        empty = self.folder / "elsewhere"
        empty.mkdir(exist_ok=True)
        flags = f"base_compiledir={self.folder / 'compiled'}"
        return run(self.folder / "venv/bin/python", *arguments, folder=empty, PYTENSOR_FLAGS=flags)

    def versions(self, *packages: str) -> str:
        """Return the versions of packages in words."""
        code = (
            "import sys; from importlib.metadata import version; "
            "print(*(f'{name} {version(name)}' for name in sys.argv[1:]), sep=', ')"
        )
        return self.python("-c", code, *packages).strip()
