"""The parts of a dataloader's batches: inputs, mask, sample ids. It knows nothing of layers."""

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
    """How the batches of a loader are read; errors name `function`.

    forward: calls the model on a batch; None passes a tensor, the first entry of a tuple or list, or the
        entries of a mapping that the model's forward takes, as keywords.
    paired: two loaders are known to yield the same examples in the same order.
    attention_mask, sample_ids: the key or index of these in a batch, or a callable of the batch; masks also
        as a mapping from patterns of layers to these. A mask under a name that the batch lacks is none.
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
        """The model on a copy of the batch, which it may change; see `fresh` for pictures_last.

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
                f"{self._function}: forward of {type(model).__name__} takes none of the entries of a batch: "
                f"{', '.join(map(repr, inputs))}"
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
            f"{self._function}: a batch is {found}, but a tensor, a mapping, a packed sequence, or a tuple "
            "or list that starts with one is understood; otherwise pass forward=, a callable of (model, "
            "batch)"
        )

    def rows(self, batch: Any) -> int | None:
        """How many examples the batch holds; None where only a `forward` knows."""
        return None if self._forward is not None else _common_length(batch)

    def masks(self, batch: Any) -> Masks:
        """The attention masks (n, tokens)."""
        return masks_of(self._function, batch, self._mask)

    def check_mask_places(self, batches: Sequence[Any]) -> None:
        """Raises ValueError for the place of a mask that was given and that no model's batch has."""
        check_places(self._function, batches, self._mask)

    def check_masks(self, names: Sequence[str]) -> None:
        """Raises ValueError where a mask is for none of the layers."""
        if isinstance(self._mask, Mapping):
            check_patterns(self._function, "attention_mask", self._mask, names)

    def ids(self, batch: Any) -> list[Any] | None:
        """The sample ids, or None where none were asked for."""
        if self._ids is None:
            return None
        found = picked(batch, self._ids)
        if found is None:
            raise ValueError(f"{self._function}: a batch has no sample ids at {self._ids!r}")
        return list(found.tolist()) if isinstance(found, torch.Tensor) else list(found)

    def paired(self, loaders: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """(batch for a, batch for b) of one loader, or of two in step.

        Raises ValueError where two loaders differ in length, in the size of a batch or in sample ids.
        """
        if len(loaders) == 1:
            yield from ((batch, batch) for batch in loaders[0])
            return
        missing = object()
        for index, (a, b) in enumerate(zip_longest(*loaders, fillvalue=missing)):
            if a is missing or b is missing:
                which = "first" if a is missing else "second"
                raise ValueError(
                    f"{self._function}: the {which} dataloader ends after {index} batches, the other goes on"
                )
            self._check_rows(index, self.rows(a), self.rows(b))
            self._check_ids(index, self.ids(a), self.ids(b))
            yield a, b

    def check_loaders(self, loaders: Sequence[Any]) -> list[list[int] | None]:
        """The sizes of each loader's batches, where they are known before any is loaded.

        Raises TypeError where one is itself a batch, and ValueError where two differ in sizes, or may differ
        in the order of their examples.
        """
        for loader in loaders:
            if isinstance(loader, (torch.Tensor, np.ndarray, Mapping, PackedSequence)):
                what = "whose keys" if isinstance(loader, Mapping) else "whose rows"
                raise TypeError(
                    f"{self._function}: a dataloader yields batches but is a {type(loader).__name__}, {what} "
                    "would be taken for batches; pass [x] for one batch"
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
    """What the model gets of a batch."""
    several = isinstance(batch, (tuple, list)) and not isinstance(batch, PackedSequence) and len(batch) > 0
    return batch[0] if several else batch


def _reshape(rows_a: int | None, rows_b: int | None) -> str:
    """The hint if the rows of one dataloader may be tokens of the examples of the other."""
    found = tokens_for_each("first", rows_a or 0, "second", rows_b or 0)
    if found is None:
        return ""
    which, tokens, examples = found
    return (
        f"; if the {which} yields {tokens} tokens for each example, reshape its batches to "
        f"({examples}, {tokens}, features)"
    )


def length(loader: Any) -> int | None:
    """The number of batches, where a loader knows it."""
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a DataLoader over an iterable data set
        return None


def _common_length(batch: Any) -> int | None:
    """The length that most tensors of a batch have, the first of these; that of position ids, (1, tokens), is
    none where others are longer. Of a packed sequence, how many there are.
    """
    if isinstance(packed := _first(batch), PackedSequence):
        return int(packed.batch_sizes[0])
    lengths = [len(tensor) for tensor in entries_of(batch).values() if tensor.ndim > 0]
    several = [length for length in lengths if length != 1] or lengths
    return Counter(several).most_common(1)[0][0] if several else None


def _accepted(model: nn.Module, inputs: Mapping[str, Any], ids: Where) -> dict[str, Any]:
    """The entries of a mapping that the model's forward takes; sample ids only where it names them."""
    parameters = inspect.signature(model.forward).parameters.values()
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        named |= {name for name in inputs if name != ids}
    return {name: value for name, value in inputs.items() if name in named}
