"""python -m benchmarks.gpu.small [--device cpu]: every CUDA operation, on shapes small enough for sanitizers.

Runs odd sizes, all dtypes and strided rows, forward and backward. Prints a line for each and exits with 1 if
one fails.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from typing import Any

import gramless as gl
import torch
from torch import Tensor

from .device import add_option, prepare

SHAPES = {
    "cuda": ((5, 3), (64, 64), (130, 72), (257, 129)),
    "cpu": ((5, 3), (130, 72)),
    "emulated": ((5, 3), (20, 72)),
}
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
CALLS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "hsic": lambda x, y: gl.hsic(x, y),
    "rbf cka": lambda x, y: gl.cka(x, y, kernel=gl.RBF(sigma=4.0)),
    "median cka": lambda x, y: gl.cka(x, y, kernel="rbf", estimator="biased"),
    "laplace cka": lambda x, y: gl.cka(x.detach(), y.detach(), kernel=gl.Laplace(sigma=4.0)),
    "median": lambda x, y: gl.median_distance(x.detach()),
    "matrix": lambda x, y: gl.cka_matrix([x, y, x]).sum(),
    "nt_xent": lambda x, y: gl.nt_xent(x, y),
    "dcl": lambda x, y: gl.dcl(x, y, normalize=False, reduction="none").sum(),
    "info_nce": lambda x, y: gl.info_nce(x, y, y.detach() + 1, symmetric=True),
    "exclude_above": lambda x, y: gl.nt_xent(x, y, exclude_above=0.1),
    "exclude_hardest": lambda x, y: gl.info_nce(x, y, y.detach() + 1, symmetric=True, exclude_hardest=0.2),
    "distillation": lambda x, y: gl.similarity_distillation(x, y, y + 1, x + 1, teacher_temperature=0.1),
    "sup_con": lambda x, y: gl.sup_con(x, torch.arange(len(x), device=x.device) // 3),
    "moco": lambda x, y: gl.moco(x, y, y.detach() + 1),
    "log_sum_exp": lambda x, y: gl.row_log_sum_exp(x, y).sum(),
}


def inputs(n: int, d: int, dtype: torch.dtype, where: str) -> list[Tensor]:
    """Contiguous rows, and unaligned columns of a wider matrix."""
    generator = torch.Generator().manual_seed(n)
    wide = torch.randn(2, n, 2 * d + 1, generator=generator).to(where, dtype)
    return [wide[0, :, :d].contiguous().requires_grad_(), wide[1, :, 1::2].requires_grad_()]


def run(call: Callable[[Tensor, Tensor], Any], x: Tensor, y: Tensor) -> bool:
    """Whether value and gradients are finite."""
    value = torch.as_tensor(call(x, y))
    found = [value]
    if value.requires_grad:
        found += [g for g in torch.autograd.grad(value, (x, y), allow_unused=True) if g is not None]
    return all(bool(torch.isfinite(part).all()) for part in found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.small", description=__doc__)
    add_option(parser)
    device = parser.parse_args().device
    where, failed = prepare(device), 0
    for (n, d), dtype, name in itertools.product(SHAPES[device], DTYPES, CALLS):
        try:
            outcome = "finite" if run(CALLS[name], *inputs(n, d, dtype, where)) else "NOT FINITE"
        except Exception as error:
            outcome = f"FAILED: {error}"
        failed += outcome != "finite"
        print(name, n, d, str(dtype).removeprefix("torch."), outcome, flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
