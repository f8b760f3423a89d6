"""Imports run to a strictly lower layer, and no file, class or function grows out of hand."""

import ast
import shutil

from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pymc_sgld"

# From the lowest to the highest. Modules of one folder may import each other, without cycles; a
# module or folder may otherwise import lower layers only.
LAYERS = [
    {"types", "validate", "records", "printing"},
    {
        "schedules",
        "samplers",
        "preconditioners",
        "gradient_estimators",
        "row_sources",
        "diagnostics",
    },
    {"model_graph"},
    {"tuning"},
    {"chain"},
    {"hierarchical_gibbs", "posterior"},
    {"step_methods", "checkpoints"},
    {"sampling"},
    {"comparison", "annealing", "resuming"},
    {"__init__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# Folder: what must not be seen from it, even within a function.
WALLS = {
    "samplers": ("pymc",),
    "row_sources": ("pytensor",),
    "tuning": ("pymc",),
    "chain": ("pymc",),
    "diagnostics": ("pymc_sgld.samplers",),
    "model_graph.rewrite": (
        "pymc_sgld.model_graph.density.row_model",
        "pymc_sgld.model_graph.recentring",
    ),
}

MAX_FILE = 500
MAX_FUNCTION = 60
MAX_CLASS = 250
MAX_METHODS = 16

# Classes that are over the bound still; the list may only shrink, and is empty now.
LARGE_CLASSES = set()


def modules(package):
    """Map dotted names below the package to paths."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts)] = path
    return found


def room(module):
    return module.split(".")[0]


def imported(path):
    """Return the full names that a file imports, wherever in it the import stands."""
    return _imported(path.name, path.read_text())


@cache
def _imported(file, text):
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def internal(name, found):
    """Return the module of the package that an imported name belongs to, or None."""
    if name != "pymc_sgld" and not name.startswith("pymc_sgld."):
        return None
    parts = name.split(".")[1:]
    while parts:
        dotted = ".".join(parts)
        for module in (dotted, f"{dotted}.__init__"):
            if module in found:
                return module
        parts.pop()
    return "__init__"


def edges(package):
    found = modules(package)
    targets = {
        module: {internal(name, found) for name in imported(path)} - {None}
        for module, path in found.items()
    }
    return {module: names - {module} for module, names in targets.items()}


def upward_imports(package):
    graph = edges(package)
    unknown = {room(module) for module in graph} - set(RANK)
    problems = [f"{name} has no layer: add it to LAYERS" for name in sorted(unknown)]
    for module, targets in graph.items():
        for target in targets:
            same_folder = room(module) == room(target) and "." in module
            known = room(module) in RANK and room(target) in RANK
            if known and not same_folder and RANK[room(target)] >= RANK[room(module)]:
                problems.append(f"{module} imports {target}, which is not in a lower layer")
    return problems


def cycles(package):
    """Return the modules on or above a cycle of imports, those for types included."""
    graph = edges(package)
    while True:
        free = {module for module, targets in graph.items() if not targets & set(graph)}
        if not free:
            return sorted(graph)
        graph = {module: targets for module, targets in graph.items() if module not in free}


def breaches(package):
    return [
        f"{module} imports {name}"
        for module, path in modules(package).items()
        for folder, walls in WALLS.items()
        if module.startswith(f"{folder}.")
        for name in imported(path)
        if any(f"{name}.".startswith(f"{wall}.") for wall in walls)
    ]


def oversized(package):
    problems = []
    for module, path in modules(package).items():
        text = path.read_text()
        if (length := len(text.splitlines())) >= MAX_FILE:
            problems.append(f"{module} has {length} lines")
        for name, length in _functions(text):
            if length >= MAX_FUNCTION:
                problems.append(f"{module}.{name} has {length} lines")
    return problems


def oversized_classes(package, known=LARGE_CLASSES):
    """Name the classes over the bound, and those of the known ones that no longer are."""
    problems, large = [], set()
    for module, path in modules(package).items():
        for own_name, length, methods in _classes(path.read_text()):
            if length >= MAX_CLASS or methods > MAX_METHODS:
                large.add(name := f"{module}.{own_name}")
                if name not in known:
                    problems.append(f"{name} has {length} lines and {methods} methods")
    gone = sorted(set(known) - large)
    return problems + [f"{name} is within the bound: take it out of LARGE_CLASSES" for name in gone]


@cache
def _functions(text):
    """Return the name and the length of each function, the signature and the docstring apart."""
    return [
        (node.name, node.end_lineno - _body_start(node) + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@cache
def _classes(text):
    """Return the name of each class, its length and how many methods it has."""
    return [
        (
            node.name,
            node.end_lineno - node.lineno + 1,
            sum(isinstance(part, ast.FunctionDef) for part in node.body),
        )
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    ]


def _body_start(node):
    """Return the line after the signature and the docstring, which may be as long as they need."""
    first = node.body[0]
    has_docstring = ast.get_docstring(node) is not None
    if has_docstring and len(node.body) > 1:
        return first.end_lineno + 1
    return first.lineno


CHECKS = [upward_imports, cycles, breaches, oversized, oversized_classes]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_package(check):
    assert check(PACKAGE) == []


PLANTED = {
    "an import upwards": ("types.py", "import pymc_sgld.sampling\n", upward_imports),
    "an import upwards, from": ("tuning/new.py", "from pymc_sgld import chain\n", upward_imports),
    "an import upwards in a function": (
        "schedules.py",
        "def late():\n    from pymc_sgld.chain import scan_loop\n",
        upward_imports,
    ),
    "an import of the package itself": ("tuning/new.py", "import pymc_sgld\n", upward_imports),
    "an import sideways": (
        "samplers/new.py",
        "from pymc_sgld.row_sources import in_memory\n",
        upward_imports,
    ),
    "a file without a layer": ("utils.py", "", upward_imports),
    "a cycle": ("samplers/one.py", "from pymc_sgld.samplers import two\n", cycles),
    "a cycle for types": (
        "samplers/one.py",
        "if TYPE_CHECKING:\n    from pymc_sgld.samplers import two\n",
        cycles,
    ),
    "a sampler that sees PyMC": ("samplers/new.py", "from pymc import Normal\n", breaches),
    "rows that see PyTensor": ("row_sources/new.py", "import pytensor.tensor as pt\n", breaches),
    "diagnostics that see a sampler": (
        "diagnostics/new.py",
        "from pymc_sgld.samplers import sgld\n",
        breaches,
    ),
    "a rewrite that sees the facade": (
        "model_graph/rewrite/new.py",
        "from pymc_sgld.model_graph.density.row_model import RowModel\n",
        breaches,
    ),
    "a long file": ("samplers/new.py", "x = 1\n" * MAX_FILE, oversized),
    "a long function": (
        "samplers/new.py",
        "def f():\n" + "    x = 1\n" * MAX_FUNCTION,
        oversized,
    ),
    "a long class": (
        "samplers/new.py",
        "class Long:\n" + "    x = 1\n" * MAX_CLASS,
        oversized_classes,
    ),
    "a class of many methods": (
        "samplers/new.py",
        "class Many:\n" + "".join(f"    def m{k}(self): ...\n" for k in range(MAX_METHODS + 1)),
        oversized_classes,
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_violation_is_caught(name, tmp_path):
    where, text, check = PLANTED[name]
    copy = tmp_path / "pymc_sgld"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = check(copy)
    if check is cycles:
        (copy / "samplers/two.py").write_text("from pymc_sgld.samplers import one\n")
    path = copy / where
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + text)
    assert set(check(copy)) > set(before)


def test_a_large_class_that_was_cut_leaves_the_list():
    assert oversized_classes(PACKAGE, {*LARGE_CLASSES, "types.Rule"}) == [
        "types.Rule is within the bound: take it out of LARGE_CLASSES"
    ]
