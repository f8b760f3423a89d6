"""What a result holds is named in one file, written from it, and shown in the documents."""

import ast
import re

from pathlib import Path

import numpy as np
import pytest

import pymc_sgld as psg

from pymc_sgld import records
from pymc_sgld.comparison.methods.optimality import Optimality
from pymc_sgld.step_methods.auto import AutoRecord
from pymc_sgld.step_methods.registry import REGISTRY
from tests.targets import linear_regression

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/sample-stats.md"
# names that stand for other things, too: arguments, fields, columns, words
COMMON = {
    "posterior", "sample_stats", "log_likelihood", "posterior_predictive", "advice", "batch_size",
    "batches", "centre", "check", "cycle", "ess", "gradient", "hyperparameters", "notes", "r_hat",
    "reason", "sampler", "sd_ratio", "sd_ratio_max", "sd_ratio_min", "slope", "step_size",
    "target_bias", "temperature", "tuning", "verdict", "kinetic_temperature", "mean_score",
    "kernel_stein_discrepancy", "converged", "other_mode",
}  # fmt: skip


def page_of(tables):
    """Return the tables as the page shows them."""
    parts = []
    for heading, table in tables.items():
        with_unit = any(record.unit for record in table.values())
        heads = ["name", "unit", "meaning"] if with_unit else ["name", "meaning"]
        lines = [heads, ["---"] * len(heads)]
        for name, record in table.items():
            lines.append([f"`{name}`", *([record.unit] if with_unit else []), record.meaning])
        body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        parts.append(f"## {heading}\n\n{body}\n")
    return "\n".join(parts)


def test_the_page_shows_what_is_recorded():
    text = PAGE.read_text()
    shown = text[text.index("## Groups") : text.index("## Reading them")]
    assert shown.strip() == page_of(records.TABLES).strip()


def test_every_statistic_of_a_sampler_is_named_and_every_name_is_used():
    used = set()
    for name, step_method in REGISTRY.items():
        own = step_method.stats_dtypes_shapes
        assert set(records.OF_EVERY_SAMPLER) <= set(own) <= set(records.STATISTICS), name
        used |= set(own)
    assert used == set(records.STATISTICS)


def test_fields_that_are_written_by_name_are_recorded():
    assert {*AutoRecord._fields, records.TARGET_BIAS} == set(records.TUNING_ATTRIBUTES)
    assert set(Optimality._fields) < set(records.OF_A_METHOD_COMPARED)


def test_no_other_file_of_the_package_spells_a_name():
    names = {name for table in records.TABLES.values() for name in table} - COMMON
    assert len(names) > 25
    spelt = []
    for path in (ROOT / "pymc_sgld").rglob("*.py"):
        if path.name == "records.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in names:
                spelt.append(f"{path.name}:{node.lineno} {node.value}")
    assert spelt == []


@pytest.fixture(scope="module")
def run():
    with linear_regression().model():
        return psg.sample(
            draws=100, tune=10, chains=2, cores=1, random_seed=1, progressbar=False,
            target_bias=0.1,
        )  # fmt: skip


def test_a_run_holds_what_is_recorded(run):
    statistics = run["sample_stats"].to_dataset()
    mine = {*records.OF_EVERY_SAMPLER, records.MODE_DISTANCE, records.KINETIC_TEMPERATURE}
    assert mine <= set(statistics) and set(statistics) - set(records.STATISTICS) <= {
        "sampling_state"
    }
    assert statistics[records.BATCH_SIZE].dtype == np.int64
    only_there = {
        records.REASON, records.INTEGRATED, records.LATENTS_KEPT, records.DIED, records.NODES,
    }  # fmt: skip
    assert set(records.OF_A_RUN) - only_there <= set(run["posterior"].attrs)
    tuning, check = run[records.TUNING], run[records.CHECK]
    assert set(tuning.data_vars) == set(records.TUNING_BY_PARAMETER)
    assert set(tuning.attrs) == set(records.TUNING_ATTRIBUTES)
    assert set(check.data_vars) == {*records.CHECK_BY_PARAMETER, *records.CHECK_BY_VARIABLE}
    assert set(check.attrs) - set(records.CHECK_ATTRIBUTES) == set()


def test_headings_are_unique():
    assert len(re.findall(r"^## ", PAGE.read_text(), re.MULTILINE)) == len(records.TABLES) + 1
