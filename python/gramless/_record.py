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
    """What results of this process depend on: versions, commit, date, machine. No host name, no path.

    It is part of the `record` of every `LayerMatrix`, and can stand beside any other result.

    Returns
    -------
    dict
        gramless, python, numpy, torch: versions, torch's None where it is not installed. commit: that of
        gramless, where it was imported from a working tree of git, whose uncommitted changes it does not
        show, or installed from a repository; else None. date: in UTC. machine: cpu, cores that this process
        may use, threads, isa, the instruction set of the code that runs, system. All of it is what JSON
        holds.

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
    """By name of a layer: its shape as it was given, the shape and dtype of its rows, how they were pooled,
    and the bandwidth of the kernel, in the unit of the data, where it has one; digests: SHA-256 of the rows,
    too.
    """
    rows = rows_records(layers, sigmas, digests)
    return {
        name: {"shape": [int(side) for side in shape], "pool": pool} | own
        for name, shape, pool, own in zip(names, shapes, pools, rows, strict=True)
    }


def rows_records(
    layers: Sequence[Any], sigmas: Sequence[float] | None, digests: bool
) -> list[dict[str, Any]]:
    """Of each layer the shape and the dtype of its rows, the bandwidth of its kernel, and their digest."""
    found: list[dict[str, Any]] = []
    for i, layer in enumerate(layers):
        shape = [int(side) for side in layer.shape]
        found.append({"rows": shape, "dtype": str(layer.dtype).removeprefix("torch.")})
        found[-1]["bandwidth"] = None if sigmas is None else float(sigmas[i])
        if digests:
            found[-1]["sha256"] = rows_digest(layer)
    return found


def seed_of(rng: Any) -> int | str | None:
    """What a record says of `rng`: the seed itself where it is one."""
    if rng is None or isinstance(rng, (int, np.integer)):
        return None if rng is None else int(rng)
    return f"a {type(rng).__name__}"


def rows_digest(rows: Any) -> str:
    """`array_digest` of the rows of an array of any library; what numpy has no dtype for, as float64."""
    return array_digest(
        _arrays.wide_on_host(rows) if "bfloat16" in str(rows.dtype) else _arrays.to_host(rows)
    )


def array_digest(array: npt.NDArray[Any]) -> str:
    """SHA-256 of dtype, shape and values, in C order and little-endian, whatever the array's own layout
    is.
    """
    found = hashlib.sha256(f"{array.dtype.newbyteorder('<').str}{array.shape}".encode())
    rows = max(1, _ROWS_AT_ONCE // max(1, array.nbytes // max(1, len(array)))) if array.ndim else 1
    for start in range(0, len(array), rows) if array.ndim else (...,):
        part = array[start : start + rows] if array.ndim else array  # type: ignore[operator]
        found.update(np.ascontiguousarray(part, array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()


def digest_of(parts: Iterable[tuple[str, str]]) -> str:
    """One SHA-256 of names with the digests of what they name, in their order."""
    found = hashlib.sha256()
    for name, digest in parts:
        found.update(f"{name}\0{digest}\n".encode())
    return found.hexdigest()


@cache
def commit() -> str | None:
    """The commit that this gramless was imported or installed from; None where neither tells it."""
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
    """The processor as Linux names it, with family and model, which virtual machines' names leave out."""
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
