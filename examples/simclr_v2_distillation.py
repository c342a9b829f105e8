"""SimCLRv2 in small: pre-train large without labels, fine-tune on a few, distil into small on all images.

Chen et al. 2020, arXiv:2006.10029. The larger network learns with NT-Xent from all images; it is fine-tuned,
from the first layer of its projection head, on 10 % of the labels; then a smaller one learns the class
probabilities that the larger one gives to all images. Beside them both are trained on the same 10 % alone.
"""

from __future__ import annotations

import argparse
import time
from copy import deepcopy
from pathlib import Path

import torch
from _fashion import CLASSES, Data, Encoder, accuracy, add_arguments, augment, classifier, fit, load, outputs
from _record import save_numbers
from gramless.torch import NTXentLoss
from torch import Tensor, nn
from torch.nn import functional as F

SMALL, LARGE = 16, 32  # widths
BATCH, LABELLED_BATCH = 256, 64
SMALLEST = 0.85  # side of the smallest crop wherever there are labels; pre-training wants harder views


def pretrain(data: Data, arguments: argparse.Namespace) -> tuple[Encoder, nn.Sequential]:
    """The larger encoder, and its three-layer projection head, trained with NT-Xent and no label."""
    torch.manual_seed(arguments.seed)
    encoder, loss = Encoder(LARGE), NTXentLoss(temperature=arguments.temperature)
    wide = encoder.features
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.Linear(wide, wide, bias=False), nn.BatchNorm1d(wide), nn.ReLU()]
    head = nn.Sequential(*layers, nn.Linear(wide, 128))

    def loss_of_batch(indices: Tensor) -> Tensor:
        images = data.train_images[indices]
        return loss(*head(encoder(torch.cat([augment(images), augment(images)]))).chunk(2))

    rows = len(data.train_images)
    losses = fit([encoder, head], loss_of_batch, rows=rows, epochs=arguments.epochs, batch=BATCH)
    print(
        f"pre-training: NT-Xent {losses[0]:.3f} at first, {losses[-1]:.3f} at the end of {len(losses)} steps"
    )
    return encoder, head


def learn_labels(model: nn.Module, data: Data, labelled: int, epochs: int, learning_rate: float) -> nn.Module:
    """Cross entropy on the first `labelled` images."""

    def loss_of_batch(indices: Tensor) -> Tensor:
        views = augment(data.train_images[indices], SMALLEST)
        return F.cross_entropy(model(views), data.train_labels[indices])

    fit(
        [model],
        loss_of_batch,
        rows=labelled,
        epochs=epochs,
        batch=LABELLED_BATCH,
        learning_rate=learning_rate,
    )
    return model


def distil(teacher: nn.Module, student: nn.Module, data: Data, epochs: int) -> nn.Module:
    """Cross entropy with the teacher's probabilities as labels, on all images."""
    probabilities = outputs(teacher, data.train_images).softmax(1)  # (n, classes)

    def loss_of_batch(indices: Tensor) -> Tensor:
        views = augment(data.train_images[indices], SMALLEST)
        return F.cross_entropy(student(views), probabilities[indices])

    fit([student], loss_of_batch, rows=len(data.train_images), epochs=epochs, batch=BATCH)
    return student


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, images=20_000, epochs=3)
    parser.add_argument("--labels", type=float, default=0.1, help="share of the images whose label is used")
    parser.add_argument("--fine-tune-epochs", type=int, default=15, help="also of the supervised baselines")
    parser.add_argument("--distillation-epochs", type=int, default=4)
    parser.add_argument("--temperature", type=float, default=0.2, help="of NT-Xent")
    parser.add_argument("--out", type=Path, help="write the accuracies as JSON")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.epochs = min(arguments.images, 1500), 1
        arguments.labels, arguments.fine_tune_epochs, arguments.distillation_epochs = 0.4, 8, 4

    data = load(arguments)
    labelled = max(CLASSES, round(arguments.labels * len(data.train_images)))
    print(f"{data.name}: {len(data.train_images)} images, {labelled} of them with a label")
    started = time.perf_counter()
    found = {}

    def report(what: str, model: nn.Module) -> None:
        share = found[what] = accuracy(outputs(model, data.test_images), data.test_labels)
        print(f"{what:<58}{share:>8.2%}{time.perf_counter() - started:>7.0f} s", flush=True)

    encoder, head = pretrain(data, arguments)
    epochs = arguments.fine_tune_epochs
    first_layer = head[:3]
    large = nn.Sequential(encoder, first_layer, nn.Linear(encoder.features, CLASSES))
    large = learn_labels(deepcopy(large), data, labelled, epochs, learning_rate=1e-3)
    print(f"\n{'accuracy on ' + str(len(data.test_labels)) + ' test images':<58}{'':>8}{'since start':>9}")
    report("large, pre-trained, fine-tuned on the labelled images", large)
    torch.manual_seed(arguments.seed)
    small = distil(large, classifier(SMALL), data, arguments.distillation_epochs)
    report("small, distilled from it on all images", small)
    for name, width in (("large", LARGE), ("small", SMALL)):
        torch.manual_seed(arguments.seed)
        baseline = learn_labels(classifier(width), data, labelled, epochs, learning_rate=3e-3)
        report(f"{name}, supervised, on the labelled images alone", baseline)
    if arguments.out:
        save_numbers(arguments, {"data": data.name, "labelled": labelled, "accuracy": found})


if __name__ == "__main__":
    main()
