"""A small network learns from a larger one's features: cross entropy + weight (1 - CKA), or without it.

CKA compares features of different widths without a projection between them, and is invariant to rotations:
the student's 32 features only need similarities between images like those of the teacher's 128. The student
is trained with the labels of few images, the teacher with all. The accuracies of both are printed for each
seed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from _fashion import Data, Encoder, accuracy, add_arguments, augment, classifier, fit, load, outputs
from _record import save_numbers
from gramless.torch import CKALoss
from torch import Tensor, nn
from torch.nn import functional as F

STUDENT, TEACHER = 8, 32  # widths
BATCH = 128
SMALLEST = 0.85  # side of the smallest crop, relative to the image


def learn(
    model: nn.Sequential, data: Data, rows: int, epochs: int, teacher: Encoder | None, weight: float
) -> None:
    """Cross entropy on the first rows; with a teacher, plus weight (1 - CKA) of the features of both."""
    encoder, linear = model
    dissimilarity = CKALoss()

    def loss_of_batch(indices: Tensor) -> Tensor:
        views = augment(data.train_images[indices], SMALLEST)
        features = encoder(views)
        loss = F.cross_entropy(linear(features), data.train_labels[indices])
        if teacher is None:
            return loss
        return loss + weight * dissimilarity(features, outputs(teacher, views))

    fit([model], loss_of_batch, rows=rows, epochs=epochs, batch=BATCH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, images=20_000, epochs=20)
    parser.add_argument("--labels", type=float, default=0.1, help="share of the images the student trains on")
    parser.add_argument("--teacher-epochs", type=int, default=3)
    parser.add_argument("--weight", type=float, default=1.0, help="weight of 1 - CKA")
    parser.add_argument("--runs", type=int, default=3, help="number of seeds for each kind of student")
    parser.add_argument("--out", type=Path, help="write the accuracies as JSON")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.epochs, arguments.teacher_epochs = min(arguments.images, 1500), 6, 3
        arguments.labels, arguments.runs = 0.5, 1

    data = load(arguments)
    rows = round(arguments.labels * len(data.train_images))
    started = time.perf_counter()
    torch.manual_seed(arguments.seed)
    teacher = classifier(TEACHER)
    learn(teacher, data, len(data.train_images), arguments.teacher_epochs, teacher=None, weight=0.0)
    share = accuracy(outputs(teacher, data.test_images), data.test_labels)
    print(f"{data.name}, {len(data.test_labels)} test images")
    print(f"teacher, {len(data.train_images)} images seen: {share:.2%}")

    ways: dict[str, Encoder | None] = {"cross entropy": None, "+ 1 - CKA": teacher[0]}
    print(f"students, {rows} images seen:\n{'seed':>4}" + "".join(f"{way:>16}" for way in ways))
    found = []
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        found.append([])
        for encoder in ways.values():
            torch.manual_seed(seed)
            student = classifier(STUDENT)
            learn(student, data, rows, arguments.epochs, encoder, arguments.weight)
            found[-1].append(accuracy(outputs(student, data.test_images), data.test_labels))
        print(f"{seed:>4}" + "".join(f"{share:>16.2%}" for share in found[-1]), flush=True)
    means = torch.tensor(found, dtype=torch.float64).mean(0)
    print("mean" + "".join(f"{share:>16.2%}" for share in means))
    print(f"{time.perf_counter() - started:.0f} s; with CKA {float(means[1] - means[0]) * 100:+.2f} points")
    if arguments.out:
        students = {way: [shares[i] for shares in found] for i, way in enumerate(ways)}
        save_numbers(arguments, {"data": data.name, "rows": rows, "teacher": share, "students": students})


if __name__ == "__main__":
    main()
