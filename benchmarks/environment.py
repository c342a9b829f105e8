"""What a measurement depends on: machine, versions, the environment of a process, other programs."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
QUIET = 0.15  # the share of the cores that other programs may use when a round starts
PACKAGES = (
    "gramless",
    "numpy",
    "torch",
    "scipy",
    "pytorch-cka",
    "torch-cka",
    "ckatorch",
    "repsim",
    "hyppo",
    "thingsvision",
    "scikit-learn",
    "pykeops",
    "lightly",
    "infonce",
    "pytorch-metric-learning",
    "optax",
    "jax",
    "info-nce-pytorch",
)
# Variables that choose kernels, threads or allocators of a library.
CHOOSES = re.compile(
    r"(OPENBLAS|GOTO|BLIS|MKL|NVPL|OMP|GOMP|KMP|VECLIB|NUMEXPR|GRAMLESS|ATEN|DNNL|ONEDNN|XLA|JAX|NPY|MALLOC)_"
    r"|(LD_PRELOAD|GLIBC_TUNABLES|PYTORCH_.*|TORCH_.*|TORCHINDUCTOR_(?!CACHE_DIR).*)$"
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "GRAMLESS_NUM_THREADS")


def clean_environment(threads: str = "default") -> dict[str, str]:
    """This environment without variables that change a library, and with a number of threads if given."""
    kept = {name: value for name, value in os.environ.items() if not CHOOSES.match(name)}
    return kept if threads == "default" else kept | dict.fromkeys(THREADS, threads)


def cpu_count() -> int:
    return len(os.sched_getaffinity(0))


def version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    field = {line.split(":")[0].strip(): line.split(":")[1].strip() for line in lines[:30] if ":" in line}
    if "model name" not in field:
        return "unknown"
    generation = f" (family {field['cpu family']}, model {field['model']})" if "cpu family" in field else ""
    return field["model name"] + generation


def commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def conditions() -> dict[str, Any]:
    """The conditions of a measurement: machine, versions, commit, date, but no host name and no path."""
    from .peak import active_isa

    machine = {"cpu": _cpu_model(), "cores": cpu_count(), "isa": active_isa(), "system": platform.system()}
    return {
        "machine": machine,
        "python": platform.python_version(),
        "versions": {package: version_of(package) for package in PACKAGES},
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def torch_kernels() -> str:
    """The instructions that the BLAS of torch reports; threadpoolctl cannot read them."""
    code = "import torch; a = torch.ones(64, 64); a @ a"
    environment = clean_environment() | {"MKL_VERBOSE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    found = re.search(r"oneMKL (.*?) Product build \S+ for (.*?), ", done.stdout)
    return f"oneMKL {found[1]} for {found[2]}" if found else "unknown"


def _busy_seconds() -> float | None:
    """CPU seconds of all processes of this machine since it started."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return None
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def process_seconds(pid: int) -> float:
    """CPU seconds of a process and of its ended children; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """CPU seconds of this process and of its ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime


class OthersLoad:
    """The share of all cores that processes other than these used since the object was created."""

    def __init__(self, pids: tuple[int, ...] = ()) -> None:
        self._pids = pids
        self._start = (time.perf_counter(), _busy_seconds(), self._own())

    def _own(self) -> float:
        return _own_seconds() + sum(map(process_seconds, self._pids))

    def share(self) -> float | None:
        start, busy_then, own_then = self._start
        busy_now = _busy_seconds()
        if busy_then is None or busy_now is None:
            return None
        foreign = busy_now - busy_then - (self._own() - own_then)
        return max(0.0, foreign / (time.perf_counter() - start) / cpu_count())


def wait_for_quiet(seconds: float) -> None:
    """Returns once other processes use less than QUIET of the cores, or after this time."""
    give_up = time.perf_counter() + seconds
    while time.perf_counter() < give_up:
        load = OthersLoad()
        time.sleep(0.1)
        if (load.share() or 0.0) < QUIET:
            return
