"""python -m benchmarks.gpu.timing --out FILE [--device cpu] [--seconds S]: times beside measured ceilings.

Every contender runs in its own process, on problems in order of importance until its time is over: first the
answer at a small size, then replays of a captured graph on random data. The process first measures the speed
of a product of random matrices and of copies within L2 and outside. It writes a line of JSON for each.

--once: runs each of the most expensive kernels once, for a profiler; GRAMLESS_HOPPER chooses their tiles.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .contenders import CONTENDERS, OURS, Contender, eager_run, gramless_run
from .device import add_option, prepare, synchronize
from .problems import Problem, once, problems

FAR = {"float32": 1e-3, "bfloat16": 0.03}  # an answer whose error at a small size is larger counts as wrong
REPEATS, PROBLEM_SECONDS = (5, 40), 1.0


def replays(run: Callable[[], Any], where: str) -> tuple[list[float], bool]:
    """Milliseconds of repeated calls, and whether a captured graph was replayed."""
    if where != "cuda":
        started = time.perf_counter()
        run()
        return [(time.perf_counter() - started) * 1e3] * 3, False
    side: Any = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(2):
            run()
    torch.cuda.synchronize()
    call, graph = run, False
    try:
        captured: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            kept = run()  # the memory that replays write to
        call, graph = captured.replay, True
    except RuntimeError:  # without a capture, launches are included in the time
        kept = None
    found: list[float] = []
    started = time.perf_counter()
    while len(found) < REPEATS[0] or (
        time.perf_counter() - started < PROBLEM_SECONDS and len(found) < REPEATS[1]
    ):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        call()
        last.record()
        last.synchronize()
        found.append(first.elapsed_time(last))
    del kept
    return found, graph


def peak_bytes(run: Callable[[], Any], where: str) -> int | None:
    """The peak memory of a call above its inputs, including its result."""
    if where != "cuda":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)


def ceilings(where: str) -> dict[str, float]:
    """TFLOP/s of a product of random bfloat16 matrices, TB/s of copies that fit into L2 and that do not."""
    n, sizes = (8192, (16, 4096)) if where == "cuda" else (128, (1, 2))
    a, b = (torch.randn(n, n, device=where).to(torch.bfloat16) for _ in range(2))
    found = {"product_tflops": 2e-9 * n**3 / statistics.median(replays(lambda: a @ b, where)[0])}
    for name, mib in zip(("copy_in_l2_tb_s", "copy_tb_s"), sizes, strict=True):
        x = torch.randn(mib << 18, device=where)
        target, times = torch.empty_like(x), 50 if name == "copy_in_l2_tb_s" else 1

        def copy(target: Any = target, x: Any = x, times: int = times) -> None:
            for _ in range(times):
                target.copy_(x)

        found[name] = 2e-9 * times * mib * 2**20 / statistics.median(replays(copy, where)[0])
    return found


def small_error(contender: Contender, problem: Problem, where: str) -> float:
    """The error of value and gradients at a small size against float64, relative to the largest number."""
    small = problem.small() if where == "cuda" else problem.tiny()
    xs = small.inputs(where)
    found = contender.run(small, xs)
    truth = eager_run(small, [x.double() for x in xs])
    errors = [
        float((a.double() - b.double()).abs().max() / b.double().abs().max())
        for a, b in zip(found, truth, strict=True)
    ]
    return max(errors)


def measure(contender: Contender, problem: Problem, where: str) -> dict[str, Any]:
    """One line of the results."""
    entry = {
        "contender": contender.name, "problem": problem.name, "kind": problem.kind, "n": problem.n,
        "d": problem.d, "dtype": problem.dtype, "layers": problem.layers, "flops": problem.flops,
    }  # fmt: skip
    try:
        error = small_error(contender, problem, where)
        sized = problem if where == "cuda" else problem.tiny()
        xs = sized.inputs(where)
        run = lambda: contender.run(sized, xs)  # noqa: E731
        run()
        bytes_needed = peak_bytes(run, where)
        samples, graph = replays(run, where)
    except Exception as failure:  # out of memory, or a compiler that is missing
        return entry | {"failed": f"{type(failure).__name__}: {(str(failure).splitlines() or [''])[0][:200]}"}
    median = statistics.median(samples)
    return entry | {
        "error_small": error, "wrong": not error <= FAR[problem.dtype], "ms": median, "samples_ms": samples,
        "graph": graph, "peak_bytes": bytes_needed, "tflops": problem.flops / median * 1e-9,
    }  # fmt: skip


def measure_contender(name: str, device: str, seconds: float, out: Path) -> None:
    """Measures one contender in this process."""
    give_up = time.perf_counter() + seconds
    where = prepare(device)
    contender = next(one for one in CONTENDERS if one.name == name)
    with out.open("a") as file:
        print(json.dumps({"contender": name, "ceilings": ceilings(where)}), file=file, flush=True)
        for problem in filter(contender.can, problems()):
            if time.perf_counter() > give_up:
                entry: dict[str, Any] = {"contender": name, "problem": problem.name, "not_reached": True}
            else:
                entry = measure(contender, problem, where)
            print(json.dumps(entry), file=file, flush=True)
            shown = entry.get("failed") or entry.get("ms", "not reached")
            print(name, problem.name, shown, "WRONG" if entry.get("wrong") else "", flush=True)
            torch.cuda.empty_cache()


def run_once(device: str) -> None:
    where = prepare(device)
    for problem in once():
        sized = problem if where == "cuda" else problem.tiny()
        gramless_run(sized, sized.inputs(where))
        synchronize(where)
        print(sized.name, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.timing", description=__doc__)
    add_option(parser)
    parser.add_argument("--seconds", type=float, default=120, help="for all contenders together")
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--contender", choices=[one.name for one in CONTENDERS], help="run it here")
    parser.add_argument("--once", action="store_true")
    arguments = parser.parse_args()
    if arguments.once:
        return run_once(arguments.device)
    if arguments.out is None:
        parser.error("--out is needed")
    if arguments.contender:
        return measure_contender(arguments.contender, arguments.device, arguments.seconds, arguments.out)
    arguments.out.write_text("")
    give_up, failed = time.perf_counter() + arguments.seconds, 0
    contenders = CONTENDERS[:OURS] if arguments.device == "emulated" else CONTENDERS  # others ran on the CPU
    for number, contender in enumerate(contenders):
        left = give_up - time.perf_counter()
        share = left / (len(contenders) - number) if arguments.device == "cuda" else 1e6
        if number < OURS:  # ours have most of the problems
            share *= 1.5
        command = [sys.executable, "-m", __spec__.name, "--device", arguments.device, "--out", arguments.out]
        command += ["--contender", contender.name, "--seconds", str(share)]
        try:  # a problem that has started may take longer
            failed += subprocess.run(command, timeout=share + 20).returncode != 0
        except subprocess.TimeoutExpired:
            failed += 1
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
