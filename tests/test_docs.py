"""The documents: their examples run as they stand and print what is said."""

import re

from pathlib import Path

import pytest

import pymc_sgld as psg

from pymc_sgld.step_methods.registry import REGISTRY

ROOT = Path(__file__).parents[1]


def blocks(path, language):
    """Return the blocks of a document in a language."""
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), flags=re.DOTALL)


@pytest.fixture
def registry():
    """Leave the registry as it was."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


EXTENDING = sorted(path.name for path in (ROOT / "docs/extending").glob("*.md"))


@pytest.mark.filterwarnings("ignore:PyTensor could not link to a BLAS")
@pytest.mark.parametrize("name", EXTENDING)
def test_a_new_part_from_outside_of_the_package(name, registry, monkeypatch, capsys):
    """On PyTensor's Python linker, in this process."""
    guide = ROOT / "docs/extending" / name
    [example], [printed] = blocks(guide, "python"), blocks(guide, "text")
    sample = psg.sample

    def here(*arguments, **options):
        options |= {"cores": 1, "progressbar": False, "verify": False, "random_seed": 1}
        return sample(*arguments, compile_kwargs={"mode": "FAST_COMPILE"}, **options)

    monkeypatch.setattr(psg, "sample", here)
    exec(example, {"__name__": "example"})
    assert capsys.readouterr().out.strip() == printed.strip()


def test_there_is_a_page_for_each_kind_of_part():
    assert {"sampler.md", "gradient-estimator.md", "preconditioner.md", "batches.md"} <= {
        *EXTENDING
    }


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "CONTRIBUTING.md",
        *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
    ],
)
def test_files_that_are_named_exist(path):
    text = (ROOT / path).read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    named = re.findall(r"`((?:tests|models|docs|pymc_sgld)/[\w/.-]+)`", text)
    places = [(ROOT / path).parent / link for link in links] + [ROOT / one for one in named]
    assert not [str(place) for place in places if not place.exists()]


def test_modules_that_are_to_be_run_exist():
    text = "".join(path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
    modules = set(re.findall(r"python -m ((?:tests|models)[\w.]*)", text))
    assert len(modules) > 3
    for module in modules:
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module


@pytest.mark.filterwarnings("ignore:PyTensor could not link to a BLAS")
def test_the_example_of_data_that_are_not_in_the_model_runs(monkeypatch, tmp_path):
    """On PyTensor's Python linker, in this process, with fewer draws."""
    pytest.importorskip("pyarrow")
    [example] = blocks(ROOT / "docs/big-data.md", "python")
    sample, results = psg.sample, []

    def here(*arguments, **options):
        options |= {"cores": 1, "chains": 1, "progressbar": False, "verify": False, "check": False}
        options |= {"draws": 100, "tune": 50, "compute_convergence_checks": False}
        results.append(sample(*arguments, compile_kwargs={"mode": "FAST_COMPILE"}, **options))
        return results[-1]

    monkeypatch.setattr(psg, "sample", here)
    monkeypatch.chdir(tmp_path)
    exec(example, {"__name__": "example"})
    effects = results[0].posterior.a.mean(("chain", "draw")).to_numpy()
    # three groups of 6,667 rows: an sd of .015 each
    assert abs(effects - [0.0, 1.0, -1.0]).max() < 0.1
