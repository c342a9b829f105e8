"""Whether two dataloaders yield the same examples in the same order, by what they are. Reads no batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch.utils import data
from torch.utils.data.distributed import DistributedSampler

Indices: TypeAlias = "Sequence[int] | None"


@dataclass(frozen=True)
class Order:
    """The order of a dataloader's examples.

    unknown: why it is not known; empty where it is.
    indices: into the data set, where there is one.
    whole: the data set, or the one that a `Subset` is part of; places: the indices into that one.
    """

    unknown: str = ""
    indices: Indices = None
    whole: Any = None
    places: Indices = None
    is_subset: bool = False


def check_pair(function: str, a: Any, b: Any, has_ids: bool, paired: bool) -> None:
    """Raise ValueError unless the orders are known to agree, the caller says so or sample ids will show.

    >>> batches = [torch.zeros(2, 3)]
    >>> check_pair("f", batches, batches, False, False)
    >>> check_pair("f", batches, iter(batches), False, False)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: f: a dataloader of two shuffles or its order is not known (the second is list_iterator), ...
    """
    if a is b and isinstance(a, Iterator):
        raise ValueError(
            f"{function}: both dataloaders are one {type(a).__name__}, whose batches would go to them in "
            "turns; pass it once, for both models"
        )
    if has_ids or paired:
        return
    orders = order_of(a), order_of(b)
    for which, order in zip(("first", "second"), orders, strict=True):
        if order.unknown:
            raise ValueError(
                f"{function}: a dataloader of two shuffles or its order is not known (the {which} is "
                f"{order.unknown}), so rows may belong to different examples; pass one dataloader for both "
                "models, use shuffle=False or a list, sample_ids= to have examples compared, or paired=True "
                "where they are known to agree"
            )
    one, other = orders
    _check_indices(function, one.indices, other.indices)
    if one.whole is other.whole or (one.is_subset and other.is_subset):
        _check_indices(function, one.places, other.places)


def order_of(loader: Any) -> Order:
    """What is known of the order.

    >>> order_of(data.DataLoader([3.0, 4.0])).indices
    range(0, 2)
    """
    if isinstance(loader, data.DataLoader):
        return _order_of_dataloader(loader)
    if isinstance(loader, Iterator) or not _is_sequence(loader):
        return Order(type(loader).__name__)
    return Order()


def batch_sizes(loader: Any) -> list[int] | None:
    """How many examples each batch of a DataLoader will have, where that is known."""
    if not isinstance(loader, data.DataLoader) or isinstance(loader.dataset, data.IterableDataset):
        return None
    batches = loader.batch_sampler
    if type(loader).__iter__ is not data.DataLoader.__iter__ or type(batches) is not data.BatchSampler:
        return None
    try:
        count = len(batches.sampler)  # type: ignore[arg-type]
    except TypeError:
        return None
    whole, rest = divmod(count, batches.batch_size)
    return [batches.batch_size] * whole + ([rest] if rest and not batches.drop_last else [])


def _is_sequence(loader: Any) -> bool:
    """Whether what is iterated over is the entries by their numbers."""
    iterated = getattr(type(loader), "__iter__", None)
    if iterated is None:
        return hasattr(loader, "__getitem__")
    return iterated in (list.__iter__, tuple.__iter__, deque.__iter__, Sequence.__iter__)


def _order_of_dataloader(loader: data.DataLoader[Any]) -> Order:
    if type(loader).__iter__ is not data.DataLoader.__iter__:
        return Order(f"a {type(loader).__name__}")
    if isinstance(loader.dataset, data.IterableDataset):
        return Order(f"of an iterable data set, {type(loader.dataset).__name__}")
    if loader.num_workers > 0 and not getattr(loader, "in_order", True):
        return Order("a DataLoader with in_order=False")
    batches = loader.batch_sampler
    if batches is None:
        indices = _indices(loader.sampler)
    elif type(batches) is data.BatchSampler:
        indices = _indices(batches.sampler)
    elif isinstance(batches, (list, tuple)):
        indices = [index for batch in batches for index in batch]
    else:
        indices = type(batches).__name__
    if isinstance(indices, str):
        return Order(f"a DataLoader with {indices}")
    whole, places = _of_whole(loader.dataset, indices)
    return Order("", indices, whole, places, whole is not loader.dataset)


def _indices(sampler: Iterable[Any]) -> Sequence[int] | str:
    """The indices that a sampler yields each time, or its name where they may differ."""
    if type(sampler) is data.SequentialSampler:
        return range(len(sampler))
    if isinstance(sampler, (list, tuple, range)):
        return sampler
    if isinstance(sampler, torch.Tensor) or type(sampler).__module__ == "numpy":
        return list(map(int, sampler))
    if type(sampler) is DistributedSampler and not sampler.shuffle:
        return list(sampler)
    return type(sampler).__name__


def _of_whole(dataset: Any, indices: Sequence[int]) -> tuple[Any, Sequence[int]]:
    """The data set that a `Subset` is part of, and the indices into it; others are their own."""
    while isinstance(dataset, data.Subset) and type(dataset).__getitem__ is data.Subset.__getitem__:
        indices = [dataset.indices[i] for i in indices]
        dataset = dataset.dataset
    return dataset, indices


def _check_indices(function: str, a: Indices, b: Indices) -> None:
    if a is None or b is None or len(a) != len(b) or a == b:
        return
    row = next((i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), None)
    if row is not None:
        raise ValueError(
            f"{function}: example {row} is number {a[row]} of its data set in the first dataloader but "
            f"number {b[row]} in the second; use sample_ids= to have examples compared, or paired=True where "
            "they are known to agree"
        )
