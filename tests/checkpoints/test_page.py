"""The page of runs that survive: its examples run as they stand and print what is said."""

from pathlib import Path

import pytest

from tests.test_docs import blocks

PAGE = Path(__file__).parents[2] / "docs/resume.md"


@pytest.mark.filterwarnings("ignore")
def test_the_examples_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for example in blocks(PAGE, "python"):
        example = example.replace('"sgld", draws=200,', '"sgld", draws=200, cores=1, chains=2,')
        example = example.replace("draws=2000,", "draws=2000, cores=1, chains=2, check=False,")
        example = example.replace("pm.sample(100,", "pm.sample(100, cores=1, progressbar=False,")
        exec(example, names)
    out = capsys.readouterr().out
    assert len(blocks(PAGE, "text")) == 2
    assert all(printed.strip() in out for printed in blocks(PAGE, "text"))
    assert sorted(path.name for path in (tmp_path / "run").glob("chain-*")) == [
        "chain-0",
        "chain-1",
    ]
    named = {line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    assert {"manifest.json", "arguments.npz"} < named
    assert all((tmp_path / "run" / name).exists() for name in named if "chain" not in name)
