"""The record of a result: versions, commit, date, machine, and the compared layers."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays
from ._runtime import VERSION, backends, get_num_threads

_ROWS_AT_ONCE = 2**24  # bytes of an array that are copied for its digest
_PACKAGE = Path(__file__).resolve().parent
# The working tree of git that the package is imported from, if any.
ROOT_OF_TREE = (
    _PACKAGE.parents[1]
    if _PACKAGE.parent.name == "python" and (_PACKAGE.parents[1] / ".git").exists()
    else None
)


def environment() -> dict[str, Any]:
    """The software versions, commit, date and machine that results depend on, without host name or paths.

    It is part of the `record` of every `LayerMatrix`; save it with any other result to reproduce that.

    Returns
    -------
    dict
        gramless, python, numpy, torch : str
            Versions; torch is None if it is not installed.
        commit : str or None
            The commit of gramless if it was imported from a git working tree (uncommitted changes are not
            recorded) or installed from a repository.
        date : str
            The time in UTC.
        machine : dict
            cpu, cores that this process may use, threads, isa (the instruction set in use), and system.

        All values can be stored as JSON.

    Examples
    --------
    >>> sorted(environment())
    ['commit', 'date', 'gramless', 'machine', 'numpy', 'python', 'torch']
    """
    active = next((backend.name for backend in backends() if backend.active), None)
    machine = {"cpu": _cpu(), "cores": _cores(), "threads": get_num_threads(), "isa": active}
    return {
        "gramless": VERSION,
        "commit": commit(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": _torch_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine | {"system": f"{platform.system()} {platform.machine()}"},
    }


def layer_records(
    names: Sequence[str],
    layers: Sequence[Any],
    sigmas: Sequence[float] | None,
    pools: Sequence[str | None],
    shapes: Sequence[Sequence[int]],
    digests: bool = False,
) -> dict[str, dict[str, Any]]:
    """For every layer by name: its shape before pooling, how it was pooled, the shape and dtype of its rows,
    and the bandwidth in the unit of the data or None. digests: whether to add the SHA-256 of the rows.
    """
    rows = rows_records(layers, sigmas, digests)
    return {
        name: {"shape": [int(side) for side in shape], "pool": pool} | own
        for name, shape, pool, own in zip(names, shapes, pools, rows, strict=True)
    }


def rows_records(
    layers: Sequence[Any], sigmas: Sequence[float] | None, digests: bool
) -> list[dict[str, Any]]:
    """For each layer the shape and dtype of its rows, its bandwidth or None and, with digests, a SHA-256."""
    found: list[dict[str, Any]] = []
    for i, layer in enumerate(layers):
        shape = [int(side) for side in layer.shape]
        found.append({"rows": shape, "dtype": str(layer.dtype).removeprefix("torch.")})
        found[-1]["bandwidth"] = None if sigmas is None else float(sigmas[i])
        if digests:
            found[-1]["sha256"] = rows_digest(layer)
    return found


def seed_of(rng: Any) -> int | str | None:
    """The entry of a record for `rng`: a seed as a number, another object as the name of its type."""
    if rng is None or isinstance(rng, (int, np.integer)):
        return None if rng is None else int(rng)
    return f"a {type(rng).__name__}"


def rows_digest(rows: Any) -> str:
    """`array_digest` of an array of any library; bfloat16, which numpy lacks, is converted to float64."""
    return array_digest(
        _arrays.wide_on_host(rows) if "bfloat16" in str(rows.dtype) else _arrays.to_host(rows)
    )


def array_digest(array: npt.NDArray[Any]) -> str:
    """SHA-256 of dtype, shape and values, independent of the memory layout and byte order of the array."""
    found = hashlib.sha256(f"{array.dtype.newbyteorder('<').str}{array.shape}".encode())
    rows = max(1, _ROWS_AT_ONCE // max(1, array.nbytes // max(1, len(array)))) if array.ndim else 1
    for start in range(0, len(array), rows) if array.ndim else (...,):
        part = array[start : start + rows] if array.ndim else array  # type: ignore[operator]
        found.update(np.ascontiguousarray(part, array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()


def digest_of(parts: Iterable[tuple[str, str]]) -> str:
    """One SHA-256 of pairs of a name and a digest, in their order."""
    found = hashlib.sha256()
    for name, digest in parts:
        found.update(f"{name}\0{digest}\n".encode())
    return found.hexdigest()


@cache
def commit() -> str | None:
    """The commit that this gramless was imported or installed from; None if it is not known."""
    if ROOT_OF_TREE is not None:
        return _head(ROOT_OF_TREE / ".git")
    try:
        text = importlib.metadata.distribution("gramless").read_text("direct_url.json")
        found = json.loads(text or "{}").get("vcs_info", {}).get("commit_id")
    except (importlib.metadata.PackageNotFoundError, ValueError, AttributeError, OSError):
        return None
    return str(found) if found else None


def _head(git: Path) -> str | None:
    """The commit of a working tree, read from git's own files."""
    try:
        if git.is_file():
            git = git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref:"):
            return head
        name = head.removeprefix("ref:").strip()
        shared = git / "commondir"
        common = git / shared.read_text(encoding="utf-8").strip() if shared.exists() else git
        for folder in (git, common):
            if (folder / name).is_file():
                return (folder / name).read_text(encoding="utf-8").strip()
        packed = (common / "packed-refs").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return next((line.split(" ")[0] for line in packed if line.endswith(f" {name}")), None)


@cache
def _cpu() -> str | None:
    """The processor's name in Linux with family and model, which the names of virtual machines leave out."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return platform.processor() or None
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    field: Mapping[str, str] = {name.strip(): value.strip() for name, _, value in lines}
    if "model name" not in field:
        return platform.processor() or None
    generation = f" (family {field['cpu family']}, model {field['model']})" if "cpu family" in field else ""
    return field["model name"] + generation


def _cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _torch_version() -> str | None:
    """The version of the imported torch, or else of the installed one."""
    loaded = getattr(sys.modules.get("torch"), "__version__", None)
    return str(loaded) if loaded else _installed("torch")


@cache
def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
