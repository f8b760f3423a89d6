"""The size and the plan of the package: a column for each tree or commit.

``python -m tests.benchmarks.house eb3dab6 .`` compares a commit with the working tree.
"""

import ast
import io
import subprocess
import sys
import tarfile
import tempfile

from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]


def ranks(tree):
    """Return how many layers the layering test of a tree lists."""
    for node in ast.parse((tree / "tests/test_layering.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS":
            return len(node.value.elts)
    raise ValueError(f"{tree} has no LAYERS in tests/test_layering.py")


def lines_of(folder):
    return sum(len(path.read_text().splitlines()) for path in folder.rglob("*.py"))


def calls(tree, names):
    return sum(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
        for node in ast.walk(tree)
    )


def measure(tree):
    """Map what is measured of a tree to its figure."""
    package = tree / "pymc_sgld"
    paths = sorted(package.rglob("*.py"))
    parsed = [ast.parse(path.read_text()) for path in paths]
    classes = [
        (node.end_lineno - node.lineno + 1, sum(map(is_method, node.body)), node.name)
        for module in parsed
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef)
    ]
    longest, widest = max(classes), max(classes, key=lambda one: one[1])
    folders = {path.parent for path in paths if path.parent != package}
    return {
        "ranks of imports": ranks(tree),
        "folders at the top": sum(folder.parent == package for folder in folders),
        "files at the top": sum(path.parent == package for path in paths),
        "most files of a folder": max(
            sum(path.parent == folder for path in paths) for folder in folders
        ),
        "files": len(paths),
        "lines": lines_of(package),
        "longest class": f"{longest[2]}, {longest[0]} lines",
        "most methods": f"{widest[2]}, {widest[1]}",
        "classes of 250 lines or over 16 methods": sum(
            length >= 250 or methods > 16 for length, methods, _ in classes
        ),
        "hasattr and getattr": sum(calls(module, {"hasattr", "getattr"}) for module in parsed),
        "imports for types alone": sum(
            isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            for module in parsed
            for node in ast.walk(module)
        ),
        "lines of models": lines_of(tree / "models"),
        "lines of tests": lines_of(tree / "tests"),
    }


def is_method(node):
    return isinstance(node, ast.FunctionDef)


def unpacked(commit, folder):
    """Write the files of a commit into a folder and return it."""
    archive = subprocess.run(
        ["git", "archive", commit, "pymc_sgld", "models", "tests"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return Path(folder)


def main(names):
    columns = {}
    for name in names or ["."]:
        with tempfile.TemporaryDirectory() as folder:
            columns[name] = measure(Path(name) if Path(name).is_dir() else unpacked(name, folder))
    table = Table("", *columns)
    for figure in next(iter(columns.values())):
        table.add_row(figure, *(str(column[figure]) for column in columns.values()))
    Console(width=100).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
