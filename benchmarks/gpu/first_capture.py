"""python -m benchmarks.gpu.first_capture [--device cpu]: captures the first call of a process in a graph.

A training loop may capture its step without an earlier call. Each function runs in its own process, in which
nothing of gramless has run before; the result of the graph must be bitwise identical to that of a later call.
On a CPU, only the calls run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gramless as gl
import torch
from torch import Tensor

from .device import add_option, prepare, synchronize

CALLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "nt_xent": lambda x, y: gl.nt_xent(x, y, temperature=0.1),
    "cka": lambda x, y: gl.cka(x, y, kernel=gl.RBF(sigma=8.0)),
    "cka_matrix": lambda x, y: gl.cka_matrix([x, y], kernel=gl.RBF(sigma=8.0)).sum(),
}


def step(name: str, xs: list[Tensor]) -> list[Tensor]:
    value = CALLS[name](*xs)
    return [value.detach(), *torch.autograd.grad(value, xs)]


def capture(name: str, where: str) -> None:
    """Raises RuntimeError if the capture fails, and AssertionError if its result differs."""
    xs = [torch.randn(200, 72, device=where).to(torch.bfloat16).requires_grad_() for _ in range(2)]
    synchronize(where)
    if where != "cuda":
        step(name, xs)
        return
    graph: Any = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(name, xs)
    graph.replay()
    synchronize(where)
    later = step(name, xs)
    assert all(torch.equal(a, b) for a, b in zip(captured, later, strict=True)), f"{name}: other bits"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.first_capture", description=__doc__)
    add_option(parser)
    parser.add_argument("--only", choices=CALLS, help="run one function in this process")
    arguments = parser.parse_args()
    if arguments.only:
        capture(arguments.only, prepare(arguments.device))
        return
    failed = 0
    for name in CALLS:
        command = [sys.executable, "-m", __spec__.name, "--device", arguments.device, "--only", name]
        done = subprocess.run(command, capture_output=True, text=True)
        last = (done.stderr.strip().splitlines() or ["no error was printed"])[-1]
        print(name, "ok" if done.returncode == 0 else f"FAILED: {last}", flush=True)
        failed += done.returncode != 0
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
