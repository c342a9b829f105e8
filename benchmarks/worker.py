"""The process of one contender: python -m benchmarks.worker MODULE:FUNCTION INPUTS.

Requests on stdin and replies on stdout are lines of JSON. It imports numpy and what its contender imports.
"""

from __future__ import annotations

import gc
import json
import math
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .contenders import LIBRARIES, Contender
from .problems import Problem, from_json

SAMPLE_SECONDS = 2e-3  # short calls are repeated until a sample takes this long
WARM_SECONDS = 0.03  # of calls before the clock starts, after every pause
LONG_SECONDS = 0.3  # calls that take longer are warmed up once, not after every pause
MOST_SAMPLES = 100
COPIES_BYTES = 128e6  # memory for copies of the inputs, so that each call has another copy than the last
TWICE_BYTES = 1e9  # smaller inputs have at least two copies


def _tensors(problem: Problem, arrays: Sequence[Any]) -> list[Any]:
    import torch

    dtype = getattr(torch, problem.dtype)
    return [torch.from_numpy(np.ascontiguousarray(x)).to(dtype) for x in arrays]


def prepared(problem: Problem, inputs: str, arrays: Sequence[Any]) -> list[Any]:
    """The inputs in the best form for the contender; not timed."""
    if inputs == "arrays":
        return list(arrays)
    tensors = _tensors(problem, arrays)
    return [x.requires_grad_() for x in tensors] if inputs == "leaves" else tensors


def _copies(problem: Problem, arrays: Sequence[Any], most: int) -> list[list[Any]]:
    """Copies of the inputs with rows in other orders, which have the same answers."""
    size = sum(x.nbytes for x in arrays)
    least = 2 if size < TWICE_BYTES else 1
    count = min(most, max(least, int(COPIES_BYTES // size)))
    if problem.kind in ("step", "models"):
        count = 1
    return [
        [np.roll(x, i * (len(x) // 5), axis=0) if i else np.array(x) for x in arrays] for i in range(count)
    ]


def _torch_pool() -> Callable[[], Any]:
    import torch

    a = torch.ones(512, 512)
    return lambda: (a @ a).exp()


def _numpy_pool() -> Callable[[], Any]:
    a = np.ones((512, 512), np.float32)
    return lambda: a @ a


def _gramless_pool() -> Callable[[], Any]:
    import gramless as gl

    a = np.random.default_rng(0).standard_normal((1024, 64), dtype=np.float32)
    return lambda: gl.cka(a, a, kernel=gl.RBF(sigma=8.0))


POOLS = {"torch": _torch_pool, "numpy": _numpy_pool, "gramless": _gramless_pool}


class Worker:
    """One contender with the inputs that it loaded last."""

    def __init__(self, code: str, inputs: str) -> None:
        self._run = Contender("", "", code, lambda problem: True).load()
        self._inputs = inputs
        self._last = 0.0  # seconds of the last call

    def load(self, problem: dict[str, Any], files: list[str], copies: int = 4) -> dict[str, Any]:
        self._sets: list[Any] = []
        gc.collect()
        self._problem = from_json(problem)
        arrays = [np.load(file) for file in files]
        self._sets = [
            prepared(self._problem, self._inputs, x) for x in _copies(self._problem, arrays, copies)
        ]
        self._calls, self._last = 0, 0.0
        self._disturb = POOLS[self._problem.beside]() if self._problem.beside else None
        return {}

    def _call(self) -> Any:
        self._calls += 1
        return self._run(self._problem, self._sets[self._calls % len(self._sets)])

    def answer(self, out: str) -> dict[str, Any]:
        np.save(out, np.asarray(self._run(self._problem, self._sets[0]), dtype=np.float64))
        return {}

    def _warm(self, least: int) -> None:
        started, done, best = time.perf_counter(), 0, math.inf
        while done < least or (self._last < LONG_SECONDS and time.perf_counter() - started < WARM_SECONDS):
            before = time.perf_counter()
            self._call()
            self._last = best = min(best if done >= least else math.inf, time.perf_counter() - before)
            done += 1

    def time(self, seconds: float, warm: int = 0) -> dict[str, Any]:
        """Samples of milliseconds of a call, of the clock and of all threads' CPU time, and the loss's part.

        At least `warm` calls are made before the clock starts.
        """
        self._warm(warm)
        calls = 1 if self._disturb else max(1, math.ceil(SAMPLE_SECONDS / self._last))
        samples: dict[str, list[float]] = {"wall_ms": [], "cpu_ms": [], "share": []}
        gc.collect()
        gc.disable()
        started = time.perf_counter()
        while len(samples["wall_ms"]) < MOST_SAMPLES:
            if self._disturb:
                self._disturb()
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(calls):
                answer = self._call()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            samples["wall_ms"].append(wall * 1e3 / calls)
            samples["cpu_ms"].append(cpu * 1e3 / calls)
            if hasattr(answer, "share"):
                samples["share"].append(answer.share)
            self._last = wall / calls
            if time.perf_counter() - started > seconds:
                break
        gc.enable()
        return {"calls": calls, **samples}

    def peak(self) -> dict[str, Any]:
        """The peak memory of a call in bytes, above that before the call, and its time."""
        started = time.perf_counter()
        peak_bytes = peak_while(self._call)
        return {"peak_bytes": peak_bytes, "wall_ms": [(time.perf_counter() - started) * 1e3]}

    def describe(self) -> dict[str, Any]:
        """The libraries that this process has imported, and the kernels and threads that their BLAS chose."""
        loaded = [name for name in LIBRARIES if name in sys.modules]
        return {"libraries": loaded, "pools": _pools(), "threads": _threads()}


def _pools() -> list[dict[str, Any]]:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    wanted = ("internal_api", "num_threads", "version", "architecture")
    return [{name: pool.get(name) for name in wanted} for pool in threadpool_info()]


def _threads() -> dict[str, int]:
    """The numbers of threads that libraries report."""
    found = {}
    if "torch" in sys.modules:
        found["torch"] = sys.modules["torch"].get_num_threads()
    if "gramless" in sys.modules:
        found["gramless"] = sys.modules["gramless"].get_num_threads()
    return found


def _resident_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in the status of this process")


def peak_while(run: Callable[[], Any]) -> int:
    """The peak memory of `run` in bytes, above that before it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak of the memory
        before = _resident_bytes("VmRSS")
        run()
        return max(0, _resident_bytes("VmHWM") - before)
    except OSError:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        run()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def main() -> None:
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of libraries must not be mixed with replies
    warnings.filterwarnings("ignore")
    try:
        worker = Worker(sys.argv[1], sys.argv[2])
        out.write(json.dumps({"ready": True}) + "\n")
    except Exception as failure:
        out.write(json.dumps({"failed": _why(failure)}) + "\n")
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(worker, request.pop("do"))(**request)
        except Exception as failure:
            reply = {"failed": _why(failure)}
        out.write(json.dumps(reply) + "\n")


def _why(failure: Exception) -> str:
    return f"{type(failure).__name__}: {(str(failure).splitlines() or [''])[0][:200]}"


if __name__ == "__main__":
    main()
