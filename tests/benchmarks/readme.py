"""The first example of the README, run as it stands: ``python -m tests.benchmarks.readme``."""

import re

from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def first_example():
    """Return the code of the first example."""
    return re.search(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL).group(1)


if __name__ == "__main__":
    exec(compile(first_example(), str(README), "exec"), {"__name__": "example"})
