"""Choice of compiled code, number of threads, and the memory that a call may take to be faster."""

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
    """One build of the tile operations."""

    name: str
    supported: bool  # by this CPU
    active: bool


def backends() -> list[Backend]:
    """The instruction sets this build has code for, best first; the active one does the work.

    The environment variable GRAMLESS_BACKEND chooses another, such as "baseline", when set before first use.

    Returns
    -------
    list of Backend
        name, supported (by this CPU), active.

    Raises
    ------
    ValueError
        Where GRAMLESS_BACKEND names none that this CPU supports.

    Examples
    --------
    >>> any(backend.active for backend in backends())
    True
    """
    return [Backend(*backend) for backend in _core.backends()]


def set_num_threads(count: int | None) -> None:
    """Use up to `count` threads from now on; None restores the default.

    The default is the environment variable GRAMLESS_NUM_THREADS, or else the CPUs that this process may run
    on when it is restored or first used: those of its affinity, no more than the CPU quota of its control
    groups, version 1 or 2. OMP_NUM_THREADS is not read: gramless has threads of its own. torchrun sets it to
    1 for each of its processes; set GRAMLESS_NUM_THREADS likewise where processes share a machine. Results
    are bitwise identical for any number.

    Parameters
    ----------
    count : int or None
        From 1 to 1024.

    Raises
    ------
    ValueError
        For a count that is not from 1 to 1024.
    TypeError
        For another type.

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
    """The number of threads a call may use.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        Where GRAMLESS_NUM_THREADS is no such number.

    Examples
    --------
    >>> get_num_threads() >= 1
    True
    """
    return _core.num_threads()


def set_workspace_limit(size: int | None) -> None:
    """Let a call take up to `size` bytes beyond what it needs, where that makes it faster; None: 320 MiB.

    Contrastive losses of 32 columns or more keep the dot products of a forward for its backward, all or
    none: (2N)^2 / 2 numbers of NT-Xent's 2N rows, 134 MB of float32 at 2N = 8192, and some padding. HSIC
    and CKA whose bandwidths are exact medians keep the dot products that a median is found among for the
    kernel values, of as many layers as fit: n^2 / 2 numbers each, and some padding; not on CPUs with a
    matrix unit. There a pair keeps its packed rows during the call: 6 bytes
    for each number, 64 MiB at most. The largest such block stays with the process for the next call; 0
    gives it back and keeps nothing. Results are bitwise identical.

    Parameters
    ----------
    size : int or None
        In bytes.

    Raises
    ------
    ValueError
        For a negative size.
    TypeError
        For another type.

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
    """The number of bytes a call may take beyond what it needs.

    Returns
    -------
    int

    Examples
    --------
    >>> get_workspace_limit() // 2**20
    320
    """
    return _core.workspace_limit()
