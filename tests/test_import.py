"""What `import pymc_sgld` loads, counted in a process of its own, and what is told later."""

import subprocess
import sys

import numpy as np
import pytensor.tensor as pt

from pytensor.link.numba.dispatch.basic import (
    numba_funcify_and_cache_key,
    numba_funcify_default_op_cache_key,
)

import pymc_sgld as psg

from pymc_sgld.chain import lean_products
from pymc_sgld.model_graph.density.known_shape import KnownShape
from pymc_sgld.model_graph.density.modes import compile_function

# Each takes as long as PyMC or a good part of it, and no model was built yet.
LATER = (
    "arviz",
    "arviz_base",
    "arviz_plots",
    "arviz_stats",
    "jax",
    "matplotlib",
    "numba",
    "nutpie",
    "scipy.integrate",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.sparse.linalg",
    "scipy.stats",
    "zarr",
)


def loaded(code):
    """Return the names of the modules that are there after some lines of code."""
    code = f"import sys\n{code}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_what_sampling_or_plots_need_is_loaded_later():
    names = loaded("import pymc_sgld")
    assert "pymc_sgld.sampling" in names
    assert sorted(names & set(LATER)) == []
    assert not any(name.startswith("pymc_sgld.comparison") for name in names)


def test_a_name_that_was_not_loaded_is_there_when_asked_for():
    names = loaded(
        "import pymc_sgld as psg\n"
        "assert {'compare', 'Comparison', 'comparison', 'sample'} < set(dir(psg))\n"
        "from pymc_sgld import *\n"
        "assert compare is psg.comparison.compare is psg.compare"
    )
    assert "pymc_sgld.comparison.running" in names


def test_all_names_that_are_public_are_completed():
    assert set(psg.__all__) <= set(dir(psg))
    assert not hasattr(psg, "no_such_name")


def test_operations_are_translated_once_something_is_compiled():
    """What numba does not know it would hand to Python, at each step."""
    x = pt.dvector()
    compile_function([x], 2 * x)(np.ones(2))
    known, by_default = numba_funcify_and_cache_key.registry, numba_funcify_default_op_cache_key
    assert KnownShape in known
    assert {lean_products.MatrixVector, lean_products.VectorMatrix} <= set(by_default.registry)
