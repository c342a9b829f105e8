"""Checks whether two dataloaders yield the same examples in the same order, without reading a batch."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch.utils import data
from torch.utils.data.distributed import DistributedSampler

Indices: TypeAlias = "Sequence[Any] | None"
IN_ORDER = ("torch", "transformers")  # packages whose collate functions keep the order of a batch


@dataclass(frozen=True)
class Order:
    """The order of a dataloader's examples.

    unknown: why it is not known; empty if it is known.
    indices: into the data set, if there is one.
    collate: the function that combines examples to a batch, unless it is known to keep their order.
    batches: the number of examples of each batch, if known.
    """

    unknown: str = ""
    indices: Indices = None
    dataset: Any = None
    collate: Any = None
    batches: Sequence[int] | None = None


def check_pair(function: str, a: Any, b: Any, has_ids: bool, paired: bool) -> None:
    """Raise ValueError unless the orders agree, or paired or has_ids allow to skip this check.

    >>> batches = [torch.zeros(2, 3)]
    >>> check_pair("f", batches, batches, False, False)
    >>> check_pair("f", batches, iter(batches), False, False)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: f: a dataloader of two shuffles or its order is not known (the second is list_iterator), ...
    """
    if a is b and isinstance(a, Iterator):
        raise ValueError(
            f"{function}: both dataloaders are the same {type(a).__name__}, whose batches would be divided "
            "between them; pass it once, for both models"
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
                "if they are known to agree"
            )
    one, other = orders
    _check_indices(function, one.indices, other.indices)
    same_examples = one.dataset is other.dataset and one.indices == other.indices
    if one.indices is not None and other.indices is not None and (_is_derived(one) or _is_derived(other)):
        sources = [[_source(order.dataset, i) for i in order.indices or ()] for order in orders]
        _check_sources(function, one, other, *sources)
        same_examples = sources[0] == sources[1]
    _check_collates(function, one, other, same_examples)


def order_of(loader: Any) -> Order:
    """The known order of a dataloader.

    >>> order_of(data.DataLoader([3.0, 4.0])).indices
    range(0, 2)
    """
    if isinstance(loader, data.DataLoader):
        return _order_of_dataloader(loader)
    if isinstance(loader, Iterator) or not _is_sequence(loader):
        return Order(type(loader).__name__)
    return Order()


def batch_sizes(loader: Any) -> list[int] | None:
    """The number of examples of each batch of a DataLoader; None if it is not known."""
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
    """Whether iteration yields the entries in the order of their indices."""
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
    elif _is_plain(batches):
        indices = [index for batch in batches for index in batch]
    else:
        indices = type(batches).__name__
    if isinstance(indices, str):
        return Order(f"a DataLoader with {indices}")
    collate = None if _keeps_order(loader.collate_fn) else loader.collate_fn
    return Order("", indices, loader.dataset, collate, batch_sizes(loader))


def _keeps_order(collate: Any) -> bool:
    """Whether a collate function is from a package whose collate functions keep the order of a batch.

    >>> _keeps_order(partial(data.default_collate)), _keeps_order(lambda batch: batch)
    (True, False)
    """
    while isinstance(collate, partial):
        collate = collate.func
    made_by = collate if hasattr(collate, "__qualname__") else type(collate)
    return str(getattr(made_by, "__module__", "")).partition(".")[0] in IN_ORDER


def _is_plain(sampler: object) -> bool:
    """Whether a sampler is a list, a tuple or a range, without an iteration of its own."""
    kinds = (list, tuple, range)
    return isinstance(sampler, kinds) and type(sampler).__iter__ in [kind.__iter__ for kind in kinds]


def _indices(sampler: Iterable[Any]) -> Sequence[int] | str:
    """The indices that a sampler yields in every epoch, or its name if they may differ."""
    if type(sampler) is data.SequentialSampler:
        return range(len(sampler))
    if _is_plain(sampler):
        return sampler  # type: ignore[return-value]
    if isinstance(sampler, torch.Tensor) or type(sampler).__module__ == "numpy":
        return list(map(int, sampler))
    if type(sampler) is DistributedSampler and not sampler.shuffle:
        return list(sampler)
    return type(sampler).__name__


def _is(dataset: Any, kind: Any) -> bool:
    """Whether a data set is an instance of a class of torch, with the same `__getitem__`."""
    return isinstance(dataset, kind) and type(dataset).__getitem__ is kind.__getitem__


def _is_derived(order: Order) -> bool:
    return _is(order.dataset, data.Subset) or _is(order.dataset, data.ConcatDataset)


def _source(dataset: Any, index: int) -> tuple[int, int]:
    """The underlying data set of an example of (nested) Subset and ConcatDataset, and its index there.

    >>> base = data.TensorDataset(torch.arange(3))
    >>> joined = data.ConcatDataset([base, data.Subset(base, [2, 1])])
    >>> _source(joined, 3) == (id(base), 2)
    True
    """
    while True:
        if _is(dataset, data.Subset):
            dataset, index = dataset.dataset, dataset.indices[index]
        elif _is(dataset, data.ConcatDataset):
            ends = dataset.cumulative_sizes
            part = bisect_right(ends, index)
            dataset, index = dataset.datasets[part], index - (ends[part - 1] if part else 0)
        else:
            return id(dataset), int(index)


def _check_sources(
    function: str, one: Order, other: Order, a: list[tuple[int, int]], b: list[tuple[int, int]]
) -> None:
    """Compare the underlying examples; data sets are identified by the order in which they occur if the
    dataloaders share none.
    """
    if {dataset for dataset, _ in a} & {dataset for dataset, _ in b}:
        _check_indices(function, a, b)
    elif _is_derived(one) and _is_derived(other):
        _check_indices(function, _numbered(a), _numbered(b))


def _numbered(sources: list[tuple[int, int]]) -> list[tuple[int, int]]:
    numbers: dict[int, int] = {}
    return [(numbers.setdefault(dataset, len(numbers)), place) for dataset, place in sources]


def _check_collates(function: str, one: Order, other: Order, same_examples: bool) -> None:
    """Raise ValueError for collate functions of the user, which may sort a batch, unless both dataloaders
    apply the same function to the same batches.
    """
    if one.collate is None and other.collate is None:
        return
    if one.collate == other.collate and same_examples and one.batches == other.batches:
        return
    named = [getattr(order.collate, "__qualname__", type(order.collate).__name__) for order in (one, other)]
    found = next(name for name, order in zip(named, (one, other), strict=True) if order.collate is not None)
    raise ValueError(
        f"{function}: a dataloader of two has a collate function of its own, {found}, which may reorder the "
        "examples of a batch, so rows may belong to different examples; pass one dataloader for both models, "
        "the same function on the same data set and batches, sample_ids= to have examples compared, or "
        "paired=True if it keeps their order"
    )


def _check_indices(function: str, a: Indices, b: Indices) -> None:
    if a is None or b is None or len(a) != len(b) or a == b:
        return
    row = next((i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), None)
    if row is None:
        return
    x, y = (side[row][1] if isinstance(side[row], tuple) else side[row] for side in (a, b))
    second = f"number {y}" + (" of another data set" if x == y else "")
    raise ValueError(
        f"{function}: example {row} is number {x} of its data set in the first dataloader but {second} in "
        "the second; use sample_ids= to have examples compared, or paired=True if they are known to agree"
    )
