"""python -m benchmarks.gpu --out FILE [--device cpu] [--quick]: ours and alternatives on a GPU.

Interleaved in one process; milliseconds by CUDA events, the product of two 8192 x 8192 matrices beside every
round as the machine's own peak. On a CPU it shows that all of it runs and that the answers are right.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gramless as gl
import numpy as np
import torch
from torch import Tensor

from .check import FAR, given
from .contenders import ours_torch
from .environment import conditions
from .gpu_contenders import GPU_CONTENDERS, Answer, GpuContender
from .problems import Problem, quick

WARM_UP = 3
SAMPLE_MS = 5.0


def _problems() -> list[tuple[Problem, str]]:
    """What is measured, and in which dtype."""
    losses = [Problem(f"nt-xent-{n}-{d}", "nt_xent", n, d) for n in (8192, 65_536) for d in (128, 512)]
    ours = ("gramless",)
    hopper = (*ours, "gramless, Hopper tiles")
    return [
        *((problem, "bfloat16") for problem in losses),
        (losses[0], "float32"),
        (Problem("nt-xent-262144-128", "nt_xent", 262_144, 128, only=hopper), "bfloat16"),
        (Problem("rbf-8192-512", "pair", 8192, 512), "bfloat16"),
        (Problem("rbf-8192-512", "pair", 8192, 512), "float32"),
        (Problem("rbf-32768-128", "pair", 32_768, 128, only=hopper), "bfloat16"),
        (Problem("linear-8192-512", "pair", 8192, 512, kernel="linear"), "float32"),
        (Problem("median-8192-512", "median", 8192, 512), "float32"),
        (Problem("cka-grad-8192-512", "cka_grad", 8192, 512), "float32"),
        (Problem("sweep-linear", "sweep", 4000, 512, kernel="linear", layers=20, only=ours), "float32"),
        (Problem("sweep-rbf", "sweep", 10_000, 1024, layers=50, only=ours), "float32"),
    ]


def _given(problem: Problem, dtype: str, device: str) -> tuple[Problem, list[Tensor]]:
    """The problem with the bandwidth of its inputs, and these."""
    told, files = given(problem, problem.data)
    return told, [torch.from_numpy(np.load(file)).to(device, getattr(torch, dtype)) for file in files]


def _flat(problem: Problem, answer: Answer) -> np.ndarray[Any, Any]:
    """Value and gradients as one vector; gradients times the rows, which makes them about 1."""
    value, *grads = (x.double().cpu().numpy().ravel() for x in answer)
    return np.concatenate([value, *(problem.n * grad for grad in grads)])


def _truth(problem: Problem, arrays: list[Tensor]) -> np.ndarray[Any, Any]:
    inputs = [x.double().cpu() for x in arrays]
    return np.ravel(np.asarray(ours_torch.reference_run(problem, inputs), np.float64))


def check(contender: GpuContender, problem: Problem, dtype: str, device: str) -> dict[str, Any]:
    """The error at a small size against the float64 reference, relative to its largest number."""
    small, arrays = _given(problem.small(), dtype, device)
    truth = _truth(small, arrays)
    try:
        answer = _flat(small, contender.run(small, arrays))
        error = np.max(np.abs(answer - truth)) / max(1, np.max(np.abs(truth)))
    except Exception as failure:
        return {"failed": f"{type(failure).__name__}: {str(failure).splitlines()[0][:200]}"}
    bound = 0.03 if dtype == "bfloat16" else FAR
    return {"error_small": float(error), "wrong": not error <= bound}


def _milliseconds(run: Callable[[], Any], calls: int, device: str) -> float:
    if device == "cpu":
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - start) * 1e3 / calls
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(calls):
        run()
    last.record()
    last.synchronize()
    return float(first.elapsed_time(last)) / calls


def _peak_bytes(run: Callable[[], Any], device: str) -> int | None:
    """What a run needs above its inputs, its answer included."""
    if device == "cpu":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)


def _matmul_tflops(device: str) -> float:
    n = 512 if device == "cpu" else 8192
    a = torch.ones(n, n, dtype=torch.bfloat16, device=device)
    return 2e-9 * n**3 / _milliseconds(lambda: a @ a, 3, device)


def measure(problem: Problem, dtype: str, device: str, rounds: int, budget_s: float) -> dict[str, Any]:
    """Everything about one problem, as it goes into the JSON."""
    contenders = [
        r for r in GPU_CONTENDERS if r.can(problem) and (not problem.only or r.name in problem.only)
    ]
    found = {contender.name: check(contender, problem, dtype, device) for contender in contenders}
    told, arrays = _given(problem, dtype, device)
    runs: dict[str, Callable[[], Any]] = {}
    calls: dict[str, int] = {}
    for contender in contenders:
        if "failed" in found[contender.name]:
            continue
        run = lambda contender=contender: contender.run(told, arrays)  # noqa: E731
        try:
            for _ in range(WARM_UP):
                run()
            found[contender.name]["peak_bytes"] = _peak_bytes(run, device)
            calls[contender.name] = max(1, round(SAMPLE_MS / max(_milliseconds(run, 1, device), 1e-3)))
        except RuntimeError as failure:  # out of memory
            found[contender.name]["failed"] = str(failure).splitlines()[0][:200]
            continue
        runs[contender.name] = run
    samples: dict[str, list[float]] = {name: [] for name in runs}
    peak, start = [], time.perf_counter()
    for done in range(rounds):
        if done >= 3 and time.perf_counter() - start > budget_s:
            break
        peak.append(_matmul_tflops(device))
        for name, run in runs.items():
            samples[name].append(_milliseconds(run, calls[name], device))
    for name, values in samples.items():
        low, median, high = np.percentile(values, [20, 50, 80])
        found[name] |= {"median_ms": float(median), "p20_ms": float(low), "p80_ms": float(high)}
        found[name] |= {"samples_ms": values, "tflops": problem.flops / float(median) * 1e-9}
    described = {name: getattr(problem, name) for name in ("name", "kind", "n", "d", "layers", "kernel")}
    return {**described, "dtype": dtype, "flops": problem.flops, "matmul_tflops": peak, "contenders": found}


def gpu_facts(device: str) -> dict[str, Any]:
    """The GPU, its driver and clocks; nothing on a CPU."""
    if device == "cpu":
        return {"gpu": None}
    fields = "name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    values = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    status = gl.cuda_status()
    gpu = dict(zip(fields.split(","), values.split(", "), strict=True))
    return {"gpu": gpu | {"cuda_toolkit": status.toolkit, "cuda_driver": status.driver}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    parser.add_argument("--only", action="append", metavar="NAME", help="a problem")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--budget", type=float, default=6.0, metavar="S", help="seconds a problem may repeat")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args()
    found = conditions() | gpu_facts(arguments.device) | {"problems": []}
    for problem, dtype in _problems():
        if arguments.only and problem.name not in arguments.only:
            continue
        problem = quick(problem) if arguments.quick else problem
        entry = measure(problem, dtype, arguments.device, arguments.rounds, arguments.budget)
        found["problems"].append(entry)
        measured = entry["contenders"]
        times = {name: one.get("median_ms", one.get("failed")) for name, one in measured.items()}
        wrong = [name for name, one in measured.items() if one.get("wrong")]
        print(problem.name, dtype, times, f"WRONG: {wrong}" if wrong else "", flush=True)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
