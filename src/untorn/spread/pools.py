"""Open the pool that a command line names."""

from untorn.errors import OutOfReachError
from untorn.spread.pool import Pool
from untorn.spread.workers import Workers


def open_pool(address: str | None) -> Pool:
    """Return the cluster at an address, or processes on all CPUs of this machine.

    Args:
        address: Address of a Dask scheduler; None for this machine.

    Raises:
        OutOfReachError: The scheduler does not answer or has no worker, or Dask is not installed.
    """
    if address is None:
        return Workers()
    try:
        from untorn.spread.cluster import Cluster
    except ImportError as error:
        raise OutOfReachError("clusters need Dask: pip install 'untorn[cluster]'") from error
    return Cluster(address)
