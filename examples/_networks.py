"""Shared by the studies that train networks: one thread, saved weights, activations.

Training with another number of threads gives another network after some steps, because rounding errors grow.
So every study trains on one thread, and reads what it saved instead of computing it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from _fashion import outputs
from _study import Settings, check_settings
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


def one_thread() -> None:
    """Uses one thread. Training, and numpy's BLAS on activations, then give the same result on every machine
    with the same versions and instructions; gramless itself does not depend on the number of threads.
    """
    torch.set_num_threads(1)
    with suppress(ModuleNotFoundError):
        from threadpoolctl import threadpool_limits

        threadpool_limits(1, user_api="blas")


def kept_network(
    folder: Path | None, name: str, settings: Settings, model: nn.Module, train: Callable[[nn.Module], None]
) -> nn.Module:
    """The model, trained or read from the file that was saved under this name with the same settings."""
    path = None if folder is None else folder / f"{name}.pt"
    if path is not None and path.exists():
        found = torch.load(path, weights_only=True)
        check_settings(path, found["settings"], settings)
        model.load_state_dict(found["weights"])
        return model.eval()
    train(model)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        torch.save({"settings": settings, "weights": model.state_dict()}, beside)
        beside.replace(path)
    return model.eval()


def from_seed(
    folder: Path | None,
    name: str,
    settings: Settings,
    make: Callable[[], Model],
    train: Callable[[Model], None],
) -> Model:
    """The model of `make`, created and trained from settings["seed"], or read from the file of this name."""
    model = make()

    def start(_: nn.Module) -> None:
        torch.manual_seed(settings["seed"])
        model.load_state_dict(make().state_dict())
        train(model)

    kept_network(folder, name, settings, model, start)
    return model


def activations_of(
    model: nn.Module, modules: Sequence[nn.Module], images: Tensor
) -> list[npt.NDArray[np.float32]]:
    """The outputs of these modules of the model, in evaluation mode, for the images: (n, features) each."""
    kept: list[list[Tensor]] = [[] for _ in modules]
    hooks = [
        module.register_forward_hook(lambda _m, _i, output, rows=rows: rows.append(output.flatten(1)))
        for module, rows in zip(modules, kept, strict=True)
    ]
    outputs(model, images)
    for hook in hooks:
        hook.remove()
    return [torch.cat(rows).numpy() for rows in kept]


def conv_layers(model: nn.Module) -> list[nn.Module]:
    """The layers of a `_fashion.classifier`: eight convolutions with their ReLU, mean, outputs."""
    return [*(layer for layer in model.modules() if isinstance(layer, nn.ReLU)), model[0], model[1]]  # type: ignore[index]
