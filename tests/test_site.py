"""The site: every page is reached, names on the pages exist, blocks run and print what is shown."""

import ast
import re
import textwrap

from importlib import import_module
from pathlib import Path

import pytest

import pymc_sgld as psg

from pymc_sgld.step_methods.registry import REGISTRY

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SAMPLING = ["index", "quickstart", "nuts-or-minibatches", "gotchas", "after-sampling"]
NEW = [*SAMPLING, "your-model"]


def toctrees(page):
    """Return the pages that the trees of a page list."""
    found = []
    for tree in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), flags=re.DOTALL):
        lines = [line.strip() for line in tree.splitlines()]
        found += [page.parent / f"{line}.md" for line in lines if line and line[0] != ":"]
    return found


def pairs(page):
    """Return each block of Python with the text that follows it, or None."""
    pattern = r"```python\n(.*?)```(?:\n+```text\n(.*?)```)?"
    return [
        (code, text or None)
        for code, text in re.findall(pattern, page.read_text(), flags=re.DOTALL)
    ]


def plain(text):
    """Return a text with each line's end stripped."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def run(page, capsys):
    """Run the blocks of a page in one namespace; hold what they print against the page."""
    namespace = {"__name__": "page"}
    for code, shown in pairs(page):
        capsys.readouterr()
        kind, _, message = (shown or "").partition(": ")
        if re.fullmatch(r"\w+Error", kind):
            with pytest.raises(Exception) as caught:
                exec(code, namespace)
            assert type(caught.value).__name__ == kind
            assert str(caught.value) == message.strip()
        else:
            exec(code, namespace)
            if shown is not None:
                assert plain(shown) in plain(capsys.readouterr().out)


def test_every_page_is_in_a_tree_once():
    listed, pages = [], [DOCS / "index.md"]
    while pages:
        pages = [page for one in pages for page in toctrees(one)]
        listed += pages
    assert len(listed) == len(set(listed))
    assert {DOCS / "index.md", *listed} == set(DOCS.rglob("*.md"))


def test_pages_with_a_tree_link_what_it_lists():
    """So that they can be read where no tree is shown."""
    for page in DOCS.rglob("*.md"):
        linked = set(re.findall(r"\]\(([\w/-]+)\.md\)", page.read_text()))
        for listed in toctrees(page):
            name = listed.relative_to(page.parent).with_suffix("").as_posix()
            assert name in linked or (name == "gallery/index"), (page.name, name)


def test_every_public_name_is_in_the_reference():
    blocks = re.findall(r"```\{eval-rst\}\n(.*?)```", (DOCS / "api.md").read_text(), re.DOTALL)
    named = set()
    for block in blocks:
        [module] = re.findall(r"currentmodule:: (\S+)", block)
        names = re.findall(r"^   (\w+)$", block, flags=re.MULTILINE)
        assert names
        named |= {f"{module}.{name}" for name in names}
    modules = {"comparison", "gradient_estimators", "preconditioners", "schedules", "step_methods"}
    assert {f"pymc_sgld.{name}" for name in set(psg.__all__) - modules} <= named
    for name in named:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute), name
    for module in modules:
        assert any(name.startswith(f"pymc_sgld.{module}.") for name in named), module


def test_every_page_of_a_model_is_in_the_gallery():
    shown = {page.stem for page in toctrees(DOCS / "gallery/index.md")}
    assert shown == {page.stem for page in (ROOT / "models").glob("[a-z]*.py")}


@pytest.mark.parametrize("name", NEW)
def test_blocks_name_what_there_is(name):
    """Cheaply, also of the pages whose blocks take minutes to run."""
    codes = [code for code, _ in pairs(DOCS / f"{name}.md")]
    assert codes
    for code in codes:
        for node in ast.walk(ast.parse(textwrap.dedent(code))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "psg":
                assert node.attr in psg.__all__
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "psg.sample" and node.args:
                assert ast.literal_eval(node.args[0]) in REGISTRY


def test_links_of_the_picture_end_at_headings():
    page = (DOCS / "nuts-or-minibatches.md").read_text()
    headings = {
        heading.lower().replace(" ", "-")
        for heading in re.findall(r"^## (.+)$", page, flags=re.MULTILINE)
    }
    links = re.findall(r'href="#([\w-]+)"', (DOCS / "nuts-or-minibatches.svg").read_text())
    assert len(links) == 7
    assert set(links) == headings


def test_models_that_pass_and_that_are_refused(capsys):
    run(DOCS / "your-model.md", capsys)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", SAMPLING)
def test_pages_that_sample_run(name, monkeypatch, tmp_path, capsys):
    """As they stand, with fewer draws where nothing that is printed depends on them."""
    monkeypatch.chdir(tmp_path)
    run(DOCS / f"{name}.md", capsys)
