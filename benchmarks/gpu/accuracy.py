"""python -m benchmarks.gpu.accuracy --out FILE [--device cpu] [--seconds S]: results against float64.

Values and gradients of every function, dtype and kind of tiles, at sizes of many tiles, computed twice to
compare bits. Writes a line of JSON for each, with the kernels that ran, so that a silent fallback is visible.
Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .cases import Case, cases, low_of
from .device import add_option, prepare, synchronize, use_hopper_tiles
from .recording import record_kernels
from .wrong import wrong

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
# The last size has 128 tiles for each block of rows, so that every stage of a ring is reused many times.
SIZES = {
    "cuda": [(500, 72), (8192, 128), (2049, 100), (1024, 512)],
    "cpu": [(40, 72), (130, 129)],
    "emulated": [(24, 72)],
}
# Relative errors of values and of gradients: error(ours) <= 2 * error(plain code in the same dtype) + floor.
FLOORS = {
    "float64": (1e-12, 1e-10),
    "float32": (2e-6, 2e-5),
    "float16": (2e-4, 2e-3),
    "bfloat16": (1e-3, 1e-2),
}


def error(found: Tensor, truth: Tensor) -> float:
    """The relative error of all numbers together; NaN stays NaN, which exceeds every bound."""
    return float((found.double() - truth).norm() / truth.norm()) if truth.numel() else 0.0


def run(function: Any, xs: Sequence[Tensor], trained: tuple[int, ...], *more: Any) -> tuple[Tensor, Tensor]:
    """The value, and all gradients in one vector."""
    leaves = [x.detach().requires_grad_(i in trained) for i, x in enumerate(xs)]
    value = torch.as_tensor(function(*leaves, *more))
    if not trained:
        return value.detach(), value.new_zeros(0)
    grads = torch.autograd.grad(value, [leaves[i] for i in trained])
    return value.detach(), torch.cat([grad.flatten().double() for grad in grads])


class Checked:
    """One function on inputs of one size and dtype, and the values that it is compared with."""

    def __init__(self, case: Case, n: int, d: int, dtype: str, where: str) -> None:
        self.case, self.n, self.d, self.dtype, self.where = case, n, d, dtype, where
        base = torch.randn(n, d, device=where)
        made = [base + 0.5 * torch.randn_like(base) for _ in range(case.arrays)]
        self.xs = [x.to(DTYPES[dtype]) for x in made]
        compute = torch.float64 if dtype == "float64" else torch.float32
        self.truth = run(case.plain, [x.double() for x in self.xs], case.trained, lambda x: x)
        rounded = [x.to(compute) for x in self.xs]
        low = low_of(DTYPES[dtype])
        self.naive = self._errors(*run(case.plain, rounded, case.trained, low))

    def _errors(self, value: Tensor, grad: Tensor) -> tuple[float, float]:
        return (
            error(value.to(self.truth[0].device), self.truth[0]),
            error(grad.to(self.truth[1].device), self.truth[1]),
        )

    def entry(self, hopper: bool) -> dict[str, Any]:
        """One line of the results."""
        started = time.perf_counter()
        use_hopper_tiles(hopper)
        expected = self.case.hopper_kernels(DTYPES[self.dtype], self.d) if hopper else []
        found: dict[str, Any] = {
            "case": self.case.name, "n": self.n, "d": self.d, "dtype": self.dtype, "hopper": hopper,
            "expected": expected,
        }  # fmt: skip
        try:
            with record_kernels(self.where) as kernels:
                first = run(self.case.ours, self.xs, self.case.trained)
                synchronize(self.where)
            again = run(self.case.ours, self.xs, self.case.trained)
        except Exception as failure:
            return found | {"failed": f"{type(failure).__name__}: {str(failure).splitlines()[0][:200]}"}
        errors = self._errors(*first)
        bounds = [
            2 * naive + self.case.looser * floor
            for naive, floor in zip(self.naive, FLOORS[self.dtype], strict=True)
        ]
        same = all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        seen = None if kernels is None else sorted(kernels)
        return found | {
            "errors": errors, "plain_errors": self.naive, "bounds": bounds, "same_bits": same,
            "kernels": seen,
            "fallback": seen is not None and not set(expected) <= set(seen),
            "seconds": time.perf_counter() - started,
        }  # fmt: skip


def entries(device: str, where: str, give_up: float) -> Iterator[dict[str, Any]]:
    """Every line of the results until the time is over, then the number of missing ones."""
    planned = [(n, d, case, dtype) for n, d in SIZES[device] for case in cases() for dtype in DTYPES]
    for done, (n, d, case, dtype) in enumerate(planned):
        if time.perf_counter() > give_up:
            yield {"not_reached": len(planned) - done, "planned": len(planned)}
            return
        checked = Checked(case, n, d, dtype, where)
        for hopper in (False, True):
            if not hopper or case.hopper_kernels(DTYPES[dtype], d):
                yield checked.entry(hopper)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.accuracy", description=__doc__)
    add_option(parser)
    parser.add_argument("--seconds", type=float, default=100, help="start no case later")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args()
    give_up = time.perf_counter() + (arguments.seconds if arguments.device == "cuda" else float("inf"))
    where = prepare(arguments.device)
    bad = count = 0
    with arguments.out.open("w") as out:
        for entry in entries(arguments.device, where, give_up):
            print(json.dumps(entry), file=out, flush=True)
            if "not_reached" in entry:
                print(f"time is over: {entry['not_reached']} of {entry['planned']} were not begun")
                continue
            count += 1
            complaints = wrong(entry)
            if complaints:
                bad += 1
                name = f"{entry['case']} {entry['n']} x {entry['d']} {entry['dtype']}"
                print(f"WRONG: {name}, hopper={entry['hopper']:d}: {'; '.join(complaints)}", flush=True)
    print(f"{count} cases, {bad} of them wrong")
    sys.exit(1 if bad or not count else 0)


if __name__ == "__main__":
    main()
