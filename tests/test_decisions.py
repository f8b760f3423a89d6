"""The page of decisions names constants that are there, with the values that they have."""

import ast
import re

from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]


def constants():
    """Map the names of the package's constants to their values, as they are written."""
    values = defaultdict(set)
    for path in (ROOT / "pymc_sgld").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                values[node.targets[0].id].add(ast.unparse(node.value))
    return values


def test_constants_are_as_the_page_says():
    page = (ROOT / "docs/design/decisions.md").read_text()
    said = re.findall(r"^\| `(\w+)` \| (\S+) \|", page, flags=re.MULTILINE)
    assert len(said) > 50
    there = constants()
    wrong = {
        name: sorted(there[name])
        for name, value in said
        if ast.unparse(ast.parse(value)) not in there[name]
    }
    assert wrong == {}


def test_constants_that_are_mentioned_exist():
    page = (ROOT / "docs/design/decisions.md").read_text()
    mentioned = set(re.findall(r"`(_?[A-Z][A-Z_]{3,})`", page))
    assert mentioned - set(constants()) == set()
