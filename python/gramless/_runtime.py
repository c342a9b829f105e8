"""The choice of compiled code, the number of threads, and the extra memory that a call may use for speed."""

from __future__ import annotations

from typing import NamedTuple

from . import _core
from ._counts import as_integer

__all__ = [
    "Backend",
    "backends",
    "get_num_threads",
    "get_workspace_limit",
    "set_num_threads",
    "set_workspace_limit",
]

VERSION = _core.__version__
_WORKSPACE_LIMIT = _core.workspace_limit()


class Backend(NamedTuple):
    """One build of the compiled code."""

    name: str
    supported: bool  # by this CPU
    active: bool


def backends() -> list[Backend]:
    """List the instruction sets for which this build has code, best first.

    All computations use the active one: the best that the CPU supports, or the one that the environment
    variable GRAMLESS_BACKEND names, such as "baseline", if it is set before first use.

    Returns
    -------
    list of Backend
        Named tuples of name, supported (whether this CPU supports it) and active.

    Raises
    ------
    ValueError
        If GRAMLESS_BACKEND does not name an instruction set that this CPU supports.

    Examples
    --------
    >>> any(backend.active for backend in backends())
    True
    """
    return [Backend(*backend) for backend in _core.backends()]


def set_num_threads(count: int | None) -> None:
    """Set the largest number of threads for all later calls; None restores the default.

    The default is the environment variable GRAMLESS_NUM_THREADS. If that is not set, it is the number of CPUs
    in the affinity of this process, at most the CPU quota of its control groups (version 1 or 2), at the time
    of first use or of set_num_threads(None). OMP_NUM_THREADS has no effect, because gramless has its own
    threads. If several processes share a machine, set GRAMLESS_NUM_THREADS in each, as torchrun sets
    OMP_NUM_THREADS to 1. Results are bitwise identical for any number of threads.

    Parameters
    ----------
    count : int or None
        From 1 to 1024.

    Raises
    ------
    ValueError
        If count is not from 1 to 1024.
    TypeError
        If count is not an integer or None.

    Examples
    --------
    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    >>> set_num_threads(None)
    """
    if count is None:
        _core.set_num_threads(0)
        return
    threads = as_integer("set_num_threads", "count", count, "an integer or None")
    if not 1 <= threads <= 1024:
        raise ValueError(f"set_num_threads: count must be from 1 to 1024 but is {threads}")
    _core.set_num_threads(threads)


def get_num_threads() -> int:
    """The number of threads that a call may use.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If GRAMLESS_NUM_THREADS is not a number from 1 to 1024.

    Examples
    --------
    >>> get_num_threads() >= 1
    True
    """
    return _core.num_threads()


def set_workspace_limit(size: int | None) -> None:
    """Set the extra memory that a call may use for speed, in bytes; None restores the default of 320 MiB.

    Contrastive losses of rows with at least 32 columns keep the dot products of the forward pass for the
    backward pass if all of them fit: (2N)^2 / 2 numbers for the 2N rows of NT-Xent, which is 134 MB of
    float32 at 2N = 8192, and some padding. HSIC and CKA with exact median bandwidths keep the dot products
    from which a median is computed for the kernel values, for as many layers as fit: n^2 / 2 numbers each,
    and some padding. CPUs with a matrix unit keep the packed rows of a pair instead, 6 bytes for each number
    and at most 64 MiB. The process keeps the largest such block for the next call; a size of 0 releases it
    and keeps nothing. Results are bitwise identical for any size.

    Parameters
    ----------
    size : int or None
        In bytes, at least 0.

    Raises
    ------
    ValueError
        If size is negative or above 2^63 - 1.
    TypeError
        If size is not an integer or None.

    Examples
    --------
    >>> set_workspace_limit(0)
    >>> get_workspace_limit()
    0
    >>> set_workspace_limit(None)
    """
    if size is None:
        _core.set_workspace_limit(_WORKSPACE_LIMIT)
        return
    limit = as_integer("set_workspace_limit", "size", size, "an integer or None")
    if not 0 <= limit < 2**63:
        raise ValueError(f"set_workspace_limit: size must be from 0 to 2^63 - 1 but is {limit}")
    _core.set_workspace_limit(limit)


def get_workspace_limit() -> int:
    """The extra memory that a call may use for speed, in bytes; see `set_workspace_limit`.

    Returns
    -------
    int

    Examples
    --------
    >>> get_workspace_limit() // 2**20
    320
    """
    return _core.workspace_limit()
