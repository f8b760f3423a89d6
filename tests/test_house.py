"""The floor plan in docs/design/house.md is that of the package."""

import re

from pathlib import Path

from tests.test_layering import LAYERS, RANK

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pymc_sgld"
PAGE = ROOT / "docs/design/house.md"


def rooms(package):
    """Return every folder and every file at the top of a package, as the page writes them."""
    files = {path.name for path in package.glob("*.py")}
    folders = {path.parent for path in package.rglob("*.py")} - {package}
    return files | {f"{folder.relative_to(package).as_posix()}/" for folder in folders}


def planned(page):
    """Return the rank and the name of each line of the plan."""
    return re.findall(r"^\| (\d+) \| `([\w./]+)` \| [\w`]", page, flags=re.MULTILINE)


def test_every_room_stands_in_the_plan_once():
    names = [name for _, name in planned(PAGE.read_text())]
    assert sorted(names) == sorted(rooms(PACKAGE))


def test_ranks_are_those_of_the_layering_test():
    for rank, name in planned(PAGE.read_text()):
        assert int(rank) == RANK[name.split("/")[0].removesuffix(".py")], name


def test_the_bounds_of_the_plan():
    top = rooms(PACKAGE)
    assert sum(name.count("/") == 1 for name in top) <= 13
    assert sum("/" not in name for name in top) <= 9
    assert len(LAYERS) <= 10


def test_files_of_the_table_of_lines_exist():
    page = PAGE.read_text().partition("## Where does a line go?")[2]
    places = re.findall(r"`([\w/]+(?:\.py|/))`", page)
    assert len(places) > 8
    assert [place for place in places if not (PACKAGE / place).exists()] == []


def test_files_that_a_step_passes_through_exist():
    """Files are written from the package's folder, or by their name alone beside their folder."""
    page = (ROOT / "docs/design/one-step.md").read_text().partition("## Three ways")[0]
    named = set(re.findall(r"`([\w/]+\.py)`", page))
    assert len(named) > 15
    there = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    there |= {name.rsplit("/")[-1] for name in there}
    there |= {name.split("/", 1)[-1] for name in there}
    assert named - there == set()


def test_a_room_that_is_missing_or_too_many_is_noticed(tmp_path):
    (tmp_path / "attic").mkdir()
    for name in ("attic/chest.py", "types.py", "__init__.py"):
        (tmp_path / name).write_text("")
    assert rooms(tmp_path) == {"attic/", "types.py", "__init__.py"}
    assert planned("| 0 | `types.py` | types |\n| 1 | `attic/` | chests |\n| 1 | `x/` | |\n") == [
        ("0", "types.py"),
        ("1", "attic/"),
    ]
