"""What the samplers are compared with: NUTS, two kinds of ADVI, and the Laplace approximation."""

from collections.abc import Callable
from functools import partial

from xarray import DataTree

from pymc_sgld.comparison.methods.laplace_approximation import run_laplace
from pymc_sgld.comparison.methods.nuts import run_nuts
from pymc_sgld.comparison.methods.variational import run_variational

OUTSIDE: dict[str, Callable[..., DataTree]] = {
    "nuts": run_nuts,
    "advi": partial(run_variational, method="advi"),
    "fullrank_advi": partial(run_variational, method="fullrank_advi"),
    "laplace": run_laplace,
}

__all__ = ["OUTSIDE", "run_laplace", "run_nuts", "run_variational"]
