"""Shared by the torch examples: Fashion-MNIST, an encoder, augmentations, a training loop, a linear probe.

Nothing here depends on the losses that the examples compare.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
FILES = "{}-images-idx3-ubyte.gz", "{}-labels-idx1-ubyte.gz"
MEAN, STD = 0.286, 0.353  # of the pixels of Fashion-MNIST
CLASSES = 10


class Data(NamedTuple):
    """Images in [0, 1] and their classes."""

    name: str
    train_images: Tensor  # (n, 1, 28, 28)
    train_labels: Tensor  # (n,)
    test_images: Tensor  # (m, 1, 28, 28)
    test_labels: Tensor  # (m,)


def add_arguments(parser: argparse.ArgumentParser, *, images: int, epochs: int) -> None:
    """Adds the options of all these examples."""
    parser.add_argument("--data", type=Path, default=FOLDER, help="folder of Fashion-MNIST's four .gz files")
    parser.add_argument(
        "--quick", action="store_true", help="run for less than a minute, on digits if --data is missing"
    )
    parser.add_argument("--images", type=int, default=images, help="number of training images, of 60,000")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--seed", type=int, default=0)


def load(arguments: argparse.Namespace) -> Data:
    """Fashion-MNIST; if it is missing, scikit-learn's digits with --quick, otherwise raises SystemExit."""
    files = [arguments.data / file.format(part) for part in ("train", "t10k") for file in FILES]
    if all(file.is_file() for file in files):
        name, arrays = "Fashion-MNIST", [read_idx(file) for file in files]
    elif arguments.quick:
        name, arrays = "scikit-learn's digits", digits()
    else:
        raise SystemExit(
            f"no Fashion-MNIST in {arguments.data}: install Debian's package dataset-fashion-mnist, or give "
            "with --data a folder that has the four .gz files of github.com/zalandoresearch/fashion-mnist"
        )
    x, labels, x_test, labels_test = arrays
    train, test = slice(arguments.images), slice(2000 if arguments.quick else None)
    return Data(
        name, pictures(x[train]), classes(labels[train]), pictures(x_test[test]), classes(labels_test[test])
    )


def tested_on(data: Data, count: int) -> Data:
    """The data with its first `count` test images."""
    return data._replace(test_images=data.test_images[:count], test_labels=data.test_labels[:count])


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in a gzipped IDX file: 2 zeros, type, number of axes, big-endian sizes, data."""
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def digits() -> list[np.ndarray]:
    """1797 digits of 8 x 8 pixels: images and labels for training, then those for testing."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels, order = (found.images * (255 / 16)).astype(np.uint8), np.random.default_rng(0).permutation(1797)
    return [values[part] for part in (order[:1400], order[1400:]) for values in (pixels, found.target)]


def pictures(pixels: np.ndarray) -> Tensor:
    """uint8 (n, h, w) as float32 in [0, 1], (n, 1, 28, 28)."""
    as_float = torch.tensor(pixels, dtype=torch.float32)[:, None] / 255
    return as_float if as_float.shape[-1] == 28 else F.interpolate(as_float, 28, mode="bilinear")


def classes(labels: np.ndarray) -> Tensor:
    return torch.tensor(labels, dtype=torch.int64)


class Encoder(nn.Module):
    """8 conv-BN-ReLU, mean over pixels: (n, inputs, 28, 28) to (n, 4 width); 118 k parameters at width 16."""

    def __init__(self, width: int = 16, inputs: int = 1) -> None:
        super().__init__()
        channels = inputs, width, width, 2 * width, 2 * width, 2 * width, 4 * width, 4 * width, 4 * width
        strides = 1, 2, 1, 2, 1, 1, 2, 1
        layers: list[nn.Module] = []
        for inputs, outputs, stride in zip(channels[:-1], channels[1:], strides, strict=True):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.features = channels[-1]

    def forward(self, images: Tensor) -> Tensor:
        normalised = ((images - MEAN) / STD).contiguous(memory_format=torch.channels_last)
        return self.layers(normalised).mean(dim=(2, 3))


def classifier(width: int) -> nn.Sequential:
    """An encoder with a linear layer on its features."""
    encoder = Encoder(width)
    return nn.Sequential(encoder, nn.Linear(encoder.features, CLASSES))


def crop(images: Tensor, smallest: float, *, flip: bool) -> Tensor:
    """A random crop of each image (n, c, h, w), resized to the image, and half of them flipped if `flip`.

    smallest: the side of the smallest crop divided by that of the image.
    """
    n = len(images)
    side = torch.empty(n, 2).uniform_(smallest, 1)  # x, y
    offset = torch.empty(n, 2).uniform_(-1, 1) * (1 - side)
    transform = torch.zeros(n, 2, 3)
    transform[:, 0, 0], transform[:, 1, 1] = side[:, 0], side[:, 1]
    if flip:
        transform[:, 0, 0] *= torch.randint(0, 2, (n,)) * 2 - 1
    transform[:, :, 2] = offset
    return F.grid_sample(images, F.affine_grid(transform, list(images.shape), False), align_corners=False)


def augment(images: Tensor, smallest: float = 0.6) -> Tensor:
    """A random view of each image (n, 1, h, w): crop, flip, brightness, one erased rectangle.

    smallest: the side of the smallest crop divided by that of the image.
    """
    n, _, height, width = images.shape
    views = crop(images, smallest, flip=True)
    views = views * torch.empty(n, 1, 1, 1).uniform_(0.6, 1.4)

    centre, half = torch.rand(n, 2, 1), torch.empty(n, 2, 1).uniform_(0.05, 0.2)
    inside_y = ((torch.arange(height) + 0.5) / height - centre[:, 1]).abs() < half[:, 1]  # (n, h)
    inside_x = ((torch.arange(width) + 0.5) / width - centre[:, 0]).abs() < half[:, 0]  # (n, w)
    erased = (inside_y[:, :, None] & inside_x[:, None, :])[:, None]
    return views.masked_fill(erased, 0.0)


def fit(
    modules: Iterable[nn.Module],
    loss_of_batch: Callable[[Tensor], Tensor],
    *,
    rows: int,
    epochs: int,
    batch: int,
    learning_rate: float = 3e-3,
) -> list[float]:
    """Trains on `loss_of_batch(indices)` with AdamW and a one-cycle learning rate; returns all losses."""
    modules = list(modules)
    parameters = [parameter for module in modules for parameter in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, weight_decay=1e-3)
    batch = min(batch, rows)
    steps = epochs * (rows // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    losses = []
    for module in modules:
        module.train()
    for _ in range(epochs):
        for indices in torch.randperm(rows)[: rows // batch * batch].split(batch):
            loss = loss_of_batch(indices)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    return losses


def fit_classifier(
    model: nn.Module,
    data: Data,
    *,
    epochs: int,
    batch: int = 128,
    learning_rate: float = 3e-3,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    view: Callable[[Tensor], Tensor] | None = None,
    images: int | None = None,
) -> None:
    """Trains on the classes of the first `images` (None: all), each changed by `view` (None: unchanged)."""
    rows = len(data.train_images[:images])

    def loss_of_batch(indices: Tensor) -> Tensor:
        chosen = data.train_images[indices]
        return loss(model(chosen if view is None else view(chosen)), data.train_labels[indices])

    fit([model], loss_of_batch, rows=rows, epochs=epochs, batch=batch, learning_rate=learning_rate)


@torch.no_grad()
def outputs(model: nn.Module, images: Tensor) -> Tensor:
    """The outputs of the model, in evaluation mode, for all images."""
    model.eval()
    return torch.cat([model(part) for part in images.split(500)])


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """The share of rows whose largest score is at their class."""
    return float((scores.argmax(1) == labels).double().mean())


def linear_probe(encoder: nn.Module, data: Data) -> float:
    """Test accuracy of a logistic regression on the frozen encoder's standardised features."""
    x, x_test = outputs(encoder, data.train_images), outputs(encoder, data.test_images)
    mean, std = x.mean(0), x.std(0) + 1e-6
    x, x_test = (x - mean) / std, (x_test - mean) / std
    probe = nn.Linear(x.shape[1], CLASSES)
    optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(probe(x), data.train_labels) + 1e-4 * probe.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return accuracy(probe(x_test), data.test_labels)
