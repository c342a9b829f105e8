"""SimCLRv2 in small: pre-train large without labels, fine-tune on a few, distil into small; and other orders.

Chen et al. 2020, arXiv:2006.10029. A large network is trained with NT-Xent on all images; it is fine-tuned,
from the first layer of its projection head, on a few labels; then a small network is trained on the class
probabilities that the large one gives for all images. In another order the small network first learns the
similarities of images in the pre-trained large one (SEED, Fang et al. 2021) and is then fine-tuned. For
comparison there are a small network that is pre-trained itself, and networks that are trained on labels only.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gramless as gl
import matplotlib
import torch
from _contrastive import Contrastive, pretrain
from _fashion import (
    CLASSES,
    Data,
    accuracy,
    add_arguments,
    augment,
    classifier,
    fit,
    fit_classifier,
    load,
    outputs,
    tested_on,
)
from _figures import draw_means, seeds
from _networks import Model, from_seed, one_thread
from _study import add_study_arguments, kept_numbers, run_study
from gramless.plot import save_figure
from gramless.torch import NTXentLoss
from torch import Tensor, nn
from torch.nn import functional as F

matplotlib.use("agg")
SMALL, LARGE = 8, 16  # channels
DIMENSIONS, HIDDEN = 128, 2  # of the projections, layers of the head before its last
BATCH, LABELLED_BATCH, QUEUE = 64, 64, 2048
TEMPERATURE, TEACHER_TEMPERATURE = 0.2, 0.05
LABELLED_VIEW = partial(augment, smallest=0.85)  # with labels; pre-training needs stronger ones
COLOURS = {
    "large, pre-trained, fine-tuned": "#4c72b0",
    "small, classes of the large one distilled": "#0b3d35",
    "small, similarities of the large one distilled, fine-tuned": "#12857a",
    "small, pre-trained itself, fine-tuned": "#5fb8a8",
    "small, few labels alone": "0.6",
    "large, few labels alone": "0.6",
    "small, all labels": "0.3",
}


def contrastive(width: int) -> Contrastive:
    return Contrastive(width, DIMENSIONS, hidden=HIDDEN)


def tunable(model: Contrastive) -> nn.Sequential:
    """A copy of the encoder and of the first layer of its head, with a layer for classes."""
    classes = nn.Linear(model.encoder.features, CLASSES)
    return nn.Sequential(deepcopy(model.encoder), deepcopy(model.head[:3]), classes)


def distil_classes(teacher: nn.Module, student: nn.Module, data: Data, epochs: int) -> None:
    """Cross entropy with the teacher's probabilities as labels, on all images."""
    probabilities = outputs(teacher, data.train_images).softmax(1)  # (n, classes)

    def loss_of_batch(indices: Tensor) -> Tensor:
        return F.cross_entropy(student(LABELLED_VIEW(data.train_images[indices])), probabilities[indices])

    fit([student], loss_of_batch, rows=len(data.train_images), epochs=epochs, batch=BATCH)


def distil_similarities(teacher: nn.Module, student: nn.Module, data: Data, epochs: int) -> None:
    """Cross entropy of the student's similarities to a queue of the teacher's projections with its own."""
    queue = torch.zeros(0, DIMENSIONS)

    def loss_of_batch(indices: Tensor) -> Tensor:
        nonlocal queue
        views = augment(data.train_images[indices])
        target = F.normalize(outputs(teacher, views))
        queue = torch.cat([target, queue])[:QUEUE]
        return gl.similarity_distillation(
            student(views), target, queue, temperature=TEMPERATURE, teacher_temperature=TEACHER_TEMPERATURE
        )

    fit([student], loss_of_batch, rows=len(data.train_images), epochs=epochs, batch=BATCH)


def settings_of(data: Data, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    names = "labels", "epochs", "small_epochs", "fine_tune_epochs"
    chosen = {name: getattr(arguments, name) for name in names}
    return {"data": data.name, "images": len(data.train_images), "seed": seed} | chosen


@dataclass
class Trainer:
    """Trains networks from one seed, or reads them from their files."""

    data: Data
    seed: int
    arguments: argparse.Namespace

    def kept(self, name: str, make: Callable[[], Model], train: Callable[[Model], None]) -> Model:
        settings = settings_of(self.data, self.seed, self.arguments) | {"network": name}
        return from_seed(self.arguments.keep, f"{name}-{self.seed}", settings, make, train)

    def pretrained(self, name: str, width: int, epochs: int) -> Contrastive:
        loss, images = NTXentLoss(temperature=TEMPERATURE), self.data.train_images
        return self.kept(
            name,
            lambda: contrastive(width),
            lambda model: pretrain(model, images, loss, epochs=epochs, batch=BATCH),
        )

    def tuned(self, name: str, model: Contrastive) -> nn.Module:
        """The network after fine-tuning on the few labels."""
        return self.kept(name, lambda: tunable(model), partial(self.learn_few, learning_rate=1e-3))

    def few(self, name: str, width: int) -> nn.Module:
        return self.kept(name, lambda: classifier(width), self.learn_few)

    def learn_few(self, model: nn.Module, learning_rate: float = 3e-3) -> None:
        fit_classifier(
            model,
            self.data,
            images=self.arguments.labels,
            epochs=self.arguments.fine_tune_epochs,
            batch=LABELLED_BATCH,
            learning_rate=learning_rate,
            view=LABELLED_VIEW,
        )


def networks(trainer: Trainer) -> Iterator[nn.Module]:
    """The networks of COLOURS in this order; each is trained when the iterator reaches it."""
    data, arguments = trainer.data, trainer.arguments
    epochs = arguments.small_epochs
    large = trainer.pretrained("large", LARGE, arguments.epochs)
    teacher = trainer.tuned("large tuned", large)
    yield teacher
    learn = partial(distil_classes, teacher, data=data, epochs=epochs)
    yield trainer.kept("classes", lambda: classifier(SMALL), learn)
    learn = partial(distil_similarities, large, data=data, epochs=epochs)
    student = trainer.kept("similarities", lambda: contrastive(SMALL), learn)
    yield trainer.tuned("similarities tuned", student)
    yield trainer.tuned("small tuned", trainer.pretrained("small", SMALL, epochs))
    yield trainer.few("small few", SMALL)
    yield trainer.few("large few", LARGE)
    learn = partial(fit_classifier, data=data, epochs=epochs, view=LABELLED_VIEW)
    yield trainer.kept("small all", lambda: classifier(SMALL), learn)


def of_seed(data: Data, seed: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Test accuracy of every network."""
    found, started = {}, time.process_time()
    for name, network in zip(COLOURS, networks(Trainer(data, seed, arguments)), strict=True):
        found[name] = accuracy(outputs(network, data.test_images), data.test_labels)
        print(
            f"seed {seed}, {name}: {found[name]:.2%}, {time.process_time() - started:.0f} CPU s", flush=True
        )
    return found


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    one_thread()
    data, found = tested_on(load(arguments), arguments.tested), {}
    images = len(data.train_images)
    print(
        f"{data.name}: {images} images, {arguments.labels} with a label, {len(data.test_labels)} to test on"
    )
    for seed in arguments.seeds:
        settings = settings_of(data, seed, arguments) | {"tested": len(data.test_labels)}
        found[str(seed)] = kept_numbers(
            arguments.keep, f"seed-{seed}", settings, lambda seed=seed: of_seed(data, seed, arguments)
        )
    return {"data": data.name, "images": images, "labelled": arguments.labels, "seeds": found}


def draw(numbers: dict[str, Any], out: Path) -> None:
    """The accuracy for each order of the steps, with a point for each seed."""
    from matplotlib import pyplot

    figure, ax = pyplot.subplots(figsize=(10, 4), layout="constrained")
    runs = list(numbers["seeds"].values())
    draw_means(ax, [*COLOURS], [[run[name] for run in runs] for name in COLOURS], [*COLOURS.values()])
    ax.set(
        xlabel="accuracy, % of test images",
        title=f"{numbers['data']}, {numbers['images']} images, {numbers['labelled']} with a label; "
        f"{seeds(len(runs))}",
    )
    save_figure(figure, out, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, images=2500, epochs=6)
    add_study_arguments(parser, "of the networks; one, and with --full three")
    parser.add_argument("--labels", type=int, default=250, help="number of images with a label")
    parser.add_argument(
        "--fine-tune-epochs",
        type=int,
        default=30,
        help="epochs on the labelled images, with or without pre-training",
    )
    parser.add_argument(
        "--small-epochs", type=int, default=8, help="epochs of the small network on all images"
    )
    parser.add_argument("--tested", type=int, default=3000, help="number of test images for accuracies")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.epochs, arguments.small_epochs = min(arguments.images, 1200), 2, 4
        arguments.fine_tune_epochs = 8
    arguments.seeds = arguments.seeds or [arguments.seed + i for i in range(3 if arguments.full else 1)]
    run_study(arguments, measured, draw)


if __name__ == "__main__":
    main()
