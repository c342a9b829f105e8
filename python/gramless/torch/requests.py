"""Checks before the first forward pass for requests that cannot succeed, without loading a batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Protocol

from .. import _files
from .._paths import as_path
from .._sweep import Alone, check_places
from ..kernels import Estimator, Kernel
from ._ranks import Ranks
from .batches import BatchReader, length


class Request(Protocol):
    """The checked part of `sweep.Plan`."""

    @property
    def kernel(self) -> Kernel: ...
    @property
    def estimator(self) -> Estimator: ...
    @property
    def method(self) -> str: ...
    @property
    def reader(self) -> BatchReader: ...
    @property
    def budget(self) -> int: ...
    @property
    def folder(self) -> Any: ...
    @property
    def checkpoint(self) -> Any: ...
    @property
    def ranks(self) -> Ranks | None: ...


def check_request(function: str, loaders: Sequence[Any], plan: Request) -> None:
    """Raise ValueError or TypeError, in all processes of a group, for a request that would fail later."""
    _check_budget(function, plan.budget)
    refusal = None
    try:
        _check_folder(function, plan.folder)
        _check_sizes(function, plan.reader.check_loaders(loaders), loaders, plan)
    except ValueError as error:
        refusal = str(error)
    processes = Alone() if plan.ranks is None else plan.ranks
    refusal = next((found for found in processes.all_gather_object(refusal) if found is not None), None)
    if refusal is not None:
        raise ValueError(refusal)
    check_places(function, processes, plan.checkpoint, plan.kernel)


def _check_budget(function: str, budget: Any) -> None:
    if isinstance(budget, bool) or not isinstance(budget, (int, float)) or not budget >= 0:
        raise ValueError(f"{function}: memory_budget must be a number of bytes but is {budget!r}")


def _check_folder(function: str, folder: Any) -> None:
    if folder is None:
        return
    path = as_path(f"{function}: folder", folder)
    try:
        if not os.path.isdir(path):
            raise ValueError(f"{function}: folder must be a folder that exists but is {str(path)!r}")
        _files.check_folder(path)
    except OSError as error:
        raise ValueError(
            f"{function}: folder {str(path)!r} cannot be written to ({error.strerror or error})"
        ) from None


def _check_sizes(
    function: str, sizes: Sequence[list[int] | None], loaders: Sequence[Any], plan: Request
) -> None:
    """Raise ValueError if batches of these sizes, if known, are too few or too small."""
    if plan.ranks is None and 0 in map(length, loaders):
        raise ValueError(f"{function}: the dataloader has no batches")
    known = next((rows for rows in sizes if rows), None)
    if known is None:
        return
    if plan.method == "minibatch":
        for index, rows in enumerate(known):
            check_batch(function, index, rows)
    elif plan.ranks is None:
        check_examples(function, sum(known), plan.estimator)


def check_batch(function: str, index: int, rows: int) -> None:
    """Raise ValueError for a batch that is too small to be compared by itself."""
    if rows < 4:
        raise ValueError(
            f"{function}: batch {index} has {rows} examples but unbiased HSIC needs 4; use another batch "
            "size or drop_last=True"
        )


def check_examples(function: str, examples: int, estimator: str) -> None:
    """Raise ValueError for fewer examples than the estimator needs."""
    needed = 4 if estimator == "unbiased" else 2
    if examples < needed:
        raise ValueError(
            f"{function}: the {estimator} estimator needs at least {needed} examples but there are {examples}"
        )
