"""The parts of a dataloader's batches: inputs, mask and sample ids. Does not depend on layers."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from itertools import zip_longest
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from .._layouts import check_patterns, tokens_for_each
from .masks import Masks, MaskWhere, Where, check_places, entries_of, masks_of, picked
from .pairing import batch_sizes, check_pair
from .tensors import dtype_of, fresh

Forward: TypeAlias = "Callable[[nn.Module, Any], Any] | None"


class BatchReader:
    """Reads the batches of a loader; errors name `function`.

    forward: calls the model on a batch. None passes a tensor, the first entry of a tuple or list or, as
        keywords, the entries of a mapping that the model's forward accepts.
    paired: whether two loaders are known to yield the same examples in the same order.
    attention_mask, sample_ids: the key or index in a batch, or a callable of the batch; for masks also a
        mapping from patterns of layers to these. If a batch lacks the name of the mask, it has no mask.
    """

    def __init__(
        self,
        function: str,
        forward: Forward,
        attention_mask: MaskWhere,
        sample_ids: Where,
        paired: bool = False,
    ) -> None:
        if forward is not None and not callable(forward):
            raise TypeError(f"{function}: forward must be a callable of (model, batch) but is {forward!r}")
        if not isinstance(paired, bool):
            raise TypeError(f"{function}: paired must be True or False but is {paired!r}")
        self._function, self._forward = function, forward
        self._mask, self._ids, self._paired = attention_mask, sample_ids, paired

    def run(self, model: nn.Module, batch: Any, pictures_last: bool = False) -> Any:
        """Run the model on a copy of the batch, because a model may modify it; pictures_last: see `fresh`.

        Without `forward`, floating-point tensors are converted to the dtype of the model's parameters.
        """
        if self._forward is not None:
            return self._forward(model, fresh(batch, pictures_last))
        inputs = self._inputs(batch)
        dtype = dtype_of(model)
        if not isinstance(inputs, Mapping):
            return model(fresh(inputs, pictures_last, dtype))
        accepted = _accepted(model, inputs, self._ids)
        if not accepted:
            raise TypeError(
                f"{self._function}: forward of {type(model).__name__} accepts none of the entries of a "
                f"batch, {', '.join(map(repr, inputs))}; pass forward=, a callable of (model, batch)"
            )
        return model(**fresh(accepted, pictures_last, dtype))

    def _inputs(self, batch: Any) -> Any:
        inputs = _first(batch)
        if isinstance(inputs, (torch.Tensor, Mapping, PackedSequence)):
            return inputs
        found = type(batch).__name__
        if inputs is not batch:
            found += f" starting with {type(inputs).__name__}"
        raise TypeError(
            f"{self._function}: a batch must be a tensor, a mapping, a packed sequence, or a tuple or list "
            f"that starts with one, but is {found}; for other batches pass forward=, a callable of (model, "
            "batch)"
        )

    def rows(self, batch: Any) -> int | None:
        """The number of examples in the batch; None if it is unknown because a `forward` reads the batch."""
        return None if self._forward is not None else _common_length(batch)

    def masks(self, batch: Any) -> Masks:
        """The attention masks (n, tokens)."""
        return masks_of(self._function, batch, self._mask)

    def check_mask_places(self, batches: Sequence[Any]) -> None:
        """Raise ValueError if a mask was requested at a place that no model's batch has."""
        check_places(self._function, batches, self._mask)

    def check_masks(self, names: Sequence[str]) -> None:
        """Raise ValueError if a pattern of masks matches none of the layers."""
        if isinstance(self._mask, Mapping):
            check_patterns(self._function, "attention_mask", self._mask, names)

    def ids(self, batch: Any) -> list[Any] | None:
        """The sample ids, or None if none were requested."""
        if self._ids is None:
            return None
        found = picked(batch, self._ids)
        if found is None:
            raise ValueError(f"{self._function}: a batch has no sample ids at {self._ids!r}")
        return list(found.tolist()) if isinstance(found, torch.Tensor) else list(found)

    def paired(self, loaders: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Pairs (batch for model a, batch for model b), from one loader or from two loaders.

        Raises ValueError if two loaders differ in length, in the size of a batch or in sample ids.
        """
        if len(loaders) == 1:
            yield from ((batch, batch) for batch in loaders[0])
            return
        missing = object()
        for index, (a, b) in enumerate(zip_longest(*loaders, fillvalue=missing)):
            if a is missing or b is missing:
                which = "first" if a is missing else "second"
                raise ValueError(
                    f"{self._function}: the {which} dataloader ends after {index} batches but the other "
                    "continues; pass loaders of the same examples"
                )
            self._check_rows(index, self.rows(a), self.rows(b))
            self._check_ids(index, self.ids(a), self.ids(b))
            yield a, b

    def check_loaders(self, loaders: Sequence[Any]) -> list[list[int] | None]:
        """The batch sizes of each loader; None if they are not known before loading.

        Raises TypeError if a loader is itself a batch, and ValueError if two loaders differ in their sizes or
        may differ in the order of their examples.
        """
        for loader in loaders:
            if isinstance(loader, (torch.Tensor, np.ndarray, Mapping, PackedSequence)):
                what = "whose keys" if isinstance(loader, Mapping) else "whose rows"
                raise TypeError(
                    f"{self._function}: a dataloader must yield batches but is a {type(loader).__name__}, "
                    f"{what} would be read as batches; pass [x] for one batch"
                )
        sizes = [self._sizes(loader) for loader in loaders]
        if len(loaders) == 1:
            return sizes
        lengths = [length(loader) for loader in loaders]
        if None not in lengths and lengths[0] != lengths[1]:
            raise ValueError(
                f"{self._function}: the first dataloader has {lengths[0]} batches but the second {lengths[1]}"
            )
        check_pair(self._function, loaders[0], loaders[1], self._ids is not None, self._paired)
        if sizes[0] is not None and sizes[1] is not None:
            for index, (rows_a, rows_b) in enumerate(zip(*sizes, strict=False)):
                self._check_rows(index, rows_a, rows_b)
        return sizes

    def _sizes(self, loader: Any) -> list[int] | None:
        if not isinstance(loader, (list, tuple)):
            return batch_sizes(loader)
        rows = [self.rows(batch) for batch in loader]
        return None if None in rows else [row for row in rows if row is not None]

    def _check_rows(self, index: int, rows_a: int | None, rows_b: int | None) -> None:
        if rows_a != rows_b:
            raise ValueError(
                f"{self._function}: batch {index} has {rows_a} examples in the first dataloader but "
                f"{rows_b} in the second{_reshape(rows_a, rows_b)}"
            )

    def _check_ids(self, index: int, a: list[Any] | None, b: list[Any] | None) -> None:
        if a == b or a is None or b is None:
            return
        row = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        one, other = ("nothing" if row >= len(ids) else repr(ids[row]) for ids in (a, b))
        raise ValueError(
            f"{self._function}: sample ids differ in batch {index}, row {row}: {one} in the first "
            f"dataloader, {other} in the second"
        )


def _first(batch: Any) -> Any:
    """The part of a batch that is passed to the model."""
    several = isinstance(batch, (tuple, list)) and not isinstance(batch, PackedSequence) and len(batch) > 0
    return batch[0] if several else batch


def _reshape(rows_a: int | None, rows_b: int | None) -> str:
    """The end of an error if the rows of one dataloader may be tokens of the examples of the other."""
    found = tokens_for_each("first", rows_a or 0, "second", rows_b or 0)
    if found is None:
        return ""
    which, tokens, examples = found
    return (
        f"; if the {which} yields {tokens} tokens for each example, reshape its batches to "
        f"({examples}, {tokens}, features)"
    )


def length(loader: Any) -> int | None:
    """The number of batches if the loader knows it, else None."""
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a DataLoader over an iterable data set
        return None


def _common_length(batch: Any) -> int | None:
    """The most common length of the tensors in a batch (the first one of several), without lengths of 1, such
    as that of position ids (1, tokens), if others are longer. For a packed sequence, the number of sequences.
    """
    if isinstance(packed := _first(batch), PackedSequence):
        return int(packed.batch_sizes[0])
    lengths = [len(tensor) for tensor in entries_of(batch).values() if tensor.ndim > 0]
    several = [length for length in lengths if length != 1] or lengths
    return Counter(several).most_common(1)[0][0] if several else None


def _accepted(model: nn.Module, inputs: Mapping[str, Any], ids: Where) -> dict[str, Any]:
    """The entries of a mapping that the model's forward accepts; sample ids only if it has a parameter of
    that name.
    """
    parameters = inspect.signature(model.forward).parameters.values()
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        named |= {name for name in inputs if name != ids}
    return {name: value for name, value in inputs.items() if name in named}
