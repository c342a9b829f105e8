"""What the studies share that train networks: one thread, weights that are kept, activations.

A network that is trained again on another number of threads differs after some steps, for rounding grows. So
every study trains on one thread, and what it kept it reads again instead of computing it anew.
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
    """Training is then the same on every machine with the same versions and instructions, and so is what
    numpy's BLAS makes of activations; gramless itself does not depend on threads.
    """
    torch.set_num_threads(1)
    with suppress(ModuleNotFoundError):
        from threadpoolctl import threadpool_limits

        threadpool_limits(1, user_api="blas")


def kept_network(
    folder: Path | None, name: str, settings: Settings, model: nn.Module, train: Callable[[nn.Module], None]
) -> nn.Module:
    """The model, trained or as it was kept under this name with the same settings."""
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
    """What `make` returns, made and trained from settings["seed"], or as it was kept under this name."""
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
    """What these modules of the model, in evaluation mode, make of the images: (n, features) each, whole."""
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
    """The layers of a `_fashion.classifier`: eight convolutions after their ReLU, mean, outputs."""
    return [*(layer for layer in model.modules() if isinstance(layer, nn.ReLU)), model[0], model[1]]  # type: ignore[index]
