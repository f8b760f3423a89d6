"""Kernels that move the latents of rows, all rows of a batch at once, one kernel a file."""

from pymc_sgld.samplers.rows._base import Places, RowDensity, RowKernel
from pymc_sgld.samplers.rows.hmc import HamiltonianRows
from pymc_sgld.samplers.rows.mala import LangevinRows
from pymc_sgld.samplers.rows.slice import SliceRows

ROW_KERNELS: dict[str, RowKernel] = {
    kernel.name: kernel for kernel in (HamiltonianRows(), LangevinRows(), SliceRows())
}

__all__ = [
    "ROW_KERNELS",
    "HamiltonianRows",
    "LangevinRows",
    "Places",
    "RowDensity",
    "RowKernel",
    "SliceRows",
]
