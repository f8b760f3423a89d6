"""The example of the design document runs as it stands."""

import re

from pathlib import Path

from pytensor.graph.op import Op

from pymc_sgld.model_graph.rewrite.take_rows import row_rule

DOCUMENT = Path(__file__).parents[2] / "docs/design/minibatching-a-graph.md"


def test_examples_run(capsys):
    examples = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    assert len(examples) == 1
    names = {"__name__": "example"}
    exec(examples[0], names)
    assert row_rule.dispatch(names["ScaledSquare"]) is not row_rule.dispatch(Op)
    assert "Subsampled by the 500 rows of 'rows_500'" in capsys.readouterr().out


def test_folders_and_files_that_are_named_exist():
    text = DOCUMENT.read_text()
    package = DOCUMENT.parents[2] / "pymc_sgld/model_graph"
    named = set(re.findall(r"`([a-z_/]+\.py)`", text))
    assert len(named) > 8
    assert not [name for name in named if not (package / name).exists()]
