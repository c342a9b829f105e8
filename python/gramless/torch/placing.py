"""Moves models to one device while they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn


@contextmanager
def placed(
    function: str, models: Sequence[nn.Module], device: torch.device | str | None
) -> Iterator[torch.device]:
    """A context in which all models are on one device, which it returns; on exit they are moved back.

    Raises ValueError if they are on several devices and none is given, or a model cannot be moved back.
    """
    places = [_devices(model) for model in models]
    together = sorted({str(place) for found in places for place in found})
    if device is None:
        if len(together) > 1:
            where = "; ".join(
                f"model_{'ab'[i]}: {', '.join(map(str, found))}" for i, found in enumerate(places)
            )
            raise ValueError(f"{function}: the models are on different devices ({where}); pass device=")
        yield torch.device(together[0] if together else "cpu")
        return
    try:
        target = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"{function}: device must be a torch device but is {device!r}") from None
    with ExitStack() as undo:
        for model, found in zip(models, places, strict=True):
            if len(found) > 1:
                raise ValueError(
                    f"{function}: {type(model).__name__} is on several devices "
                    f"({', '.join(map(str, found))}), so that it cannot be moved to {target} and back; omit "
                    "device="
                )
            if found and found[0] != target:
                model.to(target)
                undo.callback(model.to, found[0])
        yield target


def _devices(model: nn.Module) -> list[torch.device]:
    return list(dict.fromkeys(t.device for t in (*model.parameters(), *model.buffers())))
