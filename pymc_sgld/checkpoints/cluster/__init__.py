"""Chains on other machines: Dask, or any executor of concurrent.futures' kind."""

from pymc_sgld.checkpoints.cluster.chain_piece import ClusterError
from pymc_sgld.checkpoints.cluster.ingest import rows_written_by
from pymc_sgld.checkpoints.cluster.map_reduce import passes_by
from pymc_sgld.checkpoints.cluster.running import check_client, refuse_nuts, run_chains

__all__ = [
    "ClusterError",
    "check_client",
    "passes_by",
    "refuse_nuts",
    "rows_written_by",
    "run_chains",
]
