"""What a dataloader yields, taken apart: inputs, mask, sample ids. Knows nothing of layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from itertools import zip_longest
from typing import Any, TypeAlias

import torch
from torch import nn

Where: TypeAlias = "str | int | Callable[[Any], Any] | None"
Forward: TypeAlias = "Callable[[nn.Module, Any], Any] | None"

_LABELS = ("labels", "label", "targets", "target")


class BatchReader:
    """How the batches of a loader are read; errors name `function`.

    forward: calls the model on a batch; None passes a tensor, the first entry of a tuple or list, or the
        entries of a mapping that the model's forward takes, labels aside, as keywords.
    attention_mask, sample_ids: the key or index of these in a batch, or a callable of the batch. A mask
        under a name that the batch does not have is none.
    """

    def __init__(self, function: str, forward: Forward, attention_mask: Where, sample_ids: Where) -> None:
        self._function, self._forward = function, forward
        self._mask, self._ids = attention_mask, sample_ids

    def run(self, model: nn.Module, batch: Any) -> Any:
        """The model on the batch."""
        if self._forward is not None:
            return self._forward(model, batch)
        inputs = self._inputs(batch)
        if not isinstance(inputs, Mapping):
            return model(inputs)
        accepted = _accepted(model, inputs, self._ids)
        if not accepted:
            raise TypeError(
                f"{self._function}: forward of {type(model).__name__} takes none of the entries of a batch: "
                f"{', '.join(map(repr, inputs))}"
            )
        return model(**accepted)

    def _inputs(self, batch: Any) -> Any:
        inputs = batch[0] if isinstance(batch, (tuple, list)) and len(batch) > 0 else batch
        if isinstance(inputs, (torch.Tensor, Mapping)):
            return inputs
        found = type(batch).__name__
        if inputs is not batch:
            found += f" starting with {type(inputs).__name__}"
        raise TypeError(
            f"{self._function}: a batch is {found}, but a tensor, a mapping, or a tuple or list that starts "
            "with one is understood; otherwise pass forward=, a callable of (model, batch)"
        )

    def rows(self, batch: Any) -> int | None:
        """How many examples the batch holds; None where only a `forward` knows."""
        tensor = _first_tensor(batch)
        return None if tensor is None or self._forward is not None else len(tensor)

    def mask(self, batch: Any) -> torch.Tensor | None:
        """The attention mask (n, tokens), or None."""
        if self._mask is None:
            return None
        found = _pick(batch, self._mask)
        if found is None:
            return None
        mask = torch.as_tensor(found)
        if mask.ndim != 2:
            raise ValueError(
                f"{self._function}: the attention mask must be (examples, tokens) but is {tuple(mask.shape)}"
            )
        return mask

    def ids(self, batch: Any) -> list[Any] | None:
        """The sample ids, or None where none were asked for."""
        if self._ids is None:
            return None
        found = _pick(batch, self._ids)
        if found is None:
            raise ValueError(f"{self._function}: a batch has no sample ids at {self._ids!r}")
        return list(found.tolist()) if isinstance(found, torch.Tensor) else list(found)

    def paired(self, loaders: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """(batch for a, batch for b) of one loader, or of two in step.

        Raises ValueError where two loaders differ in length, in the size of a batch or in sample ids, and
        where both shuffle and no sample ids could tell.
        """
        if len(loaders) == 1:
            yield from ((batch, batch) for batch in loaders[0])
            return
        self._check_pair(*loaders)
        missing = object()
        for index, (a, b) in enumerate(zip_longest(*loaders, fillvalue=missing)):
            if a is missing or b is missing:
                which = "first" if a is missing else "second"
                raise ValueError(
                    f"{self._function}: the {which} dataloader ends after {index} batches, the other goes on"
                )
            rows_a, rows_b = self.rows(a), self.rows(b)
            if rows_a != rows_b:
                raise ValueError(
                    f"{self._function}: batch {index} has {rows_a} examples in the first dataloader but "
                    f"{rows_b} in the second"
                )
            self._check_ids(index, self.ids(a), self.ids(b))
            yield a, b

    def _check_pair(self, a: Any, b: Any) -> None:
        lengths = [length(loader) for loader in (a, b)]
        if None not in lengths and lengths[0] != lengths[1]:
            raise ValueError(
                f"{self._function}: the first dataloader has {lengths[0]} batches but the second {lengths[1]}"
            )
        samplers = [getattr(loader, "sampler", None) for loader in (a, b)]
        if self._ids is None and any(isinstance(s, torch.utils.data.RandomSampler) for s in samplers):
            raise ValueError(
                f"{self._function}: a dataloader of two shuffles, so rows may belong to different examples; "
                "use shuffle=False, or sample_ids= to have them compared"
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


def length(loader: Any) -> int | None:
    """The number of batches, where a loader knows it."""
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a DataLoader over an iterable data set
        return None


def moved(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on the device; containers keep their kind where that is easy.

    >>> moved({"x": torch.zeros(2), "name": "a"}, torch.device("cpu"))["name"]
    'a'
    """
    return _with_tensors(batch, lambda tensor: tensor.to(device))


def channels_last(batch: Any) -> Any:
    """The batch with its pictures (n, channels, height, width) in that order of memory, on CPUs.

    >>> channels_last([torch.zeros(2, 3, 4, 4)])[0].stride()
    (48, 1, 12, 3)
    """

    def changed(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim != 4 or tensor.device.type != "cpu" or not tensor.is_floating_point():
            return tensor
        return tensor.contiguous(memory_format=torch.channels_last)

    return _with_tensors(batch, changed)


def _with_tensors(batch: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(batch, torch.Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {name: _with_tensors(value, change) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_with_tensors(value, change) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)([_with_tensors(value, change) for value in batch])
    return batch


def _pick(batch: Any, where: Where) -> Any:
    if callable(where):
        return where(batch)
    if isinstance(batch, (tuple, list)):
        if isinstance(where, int):
            return batch[where] if -len(batch) <= where < len(batch) else None
        batch = next((entry for entry in batch if isinstance(entry, Mapping)), {})
    return batch.get(where) if isinstance(batch, Mapping) else None


def _first_tensor(batch: Any) -> torch.Tensor | None:
    if isinstance(batch, torch.Tensor):
        return batch if batch.ndim > 0 else None
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, (tuple, list)):
        return next((found for found in map(_first_tensor, batch) if found is not None), None)
    return None


def _accepted(model: nn.Module, inputs: Mapping[str, Any], ids: Where) -> dict[str, Any]:
    """The entries of a mapping that the model's forward takes, without labels and sample ids."""
    kept = {name: value for name, value in inputs.items() if name not in _LABELS and name != ids}
    parameters = inspect.signature(model.forward).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return kept
    names = {parameter.name for parameter in parameters}
    return {name: value for name, value in kept.items() if name in names}
