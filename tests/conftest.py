"""Fixtures of all tests: backends, scripts in separate processes, settings that are restored."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

# Plain code of numpy and torch runs on one thread: its rounding errors, which decide what tests allow, then
# depend less on the machine, and processes of pytest-xdist do not wait for each other.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import devices  # noqa: E402
import gramless  # noqa: E402
import pytest  # noqa: E402
from gramless import _core  # noqa: E402

# A shell starts background processes with interrupts ignored, and Python does not change that.
if (
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    and threading.current_thread() is threading.main_thread()
):
    signal.signal(signal.SIGINT, signal.default_int_handler)

BACKENDS = [backend.name for backend in gramless.backends() if backend.supported]

if importlib.util.find_spec("hypothesis") is not None:  # a machine with a GPU may have only torch and pytest
    from hypothesis import settings

    settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=25, database=None)
    settings.load_profile("repeatable")


def pytest_addoption(parser):
    choices = list(devices.MODULES)
    parser.addoption(
        "--tensors-on", choices=choices, help="a device that torch's tests run on instead of the CPU"
    )
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers():
    """The processes of `-n auto`: one for each core and each 3 GB of memory, at most four.

    Some tests use several cores, and what tests compare with stays in memory until the end.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")  # of a container
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        memory = min(memory, int(text))
    return max(1, min(cores, int(memory // 3e9), 4))


def pytest_configure(config):
    config.addinivalue_line("markers", "cuda: needs a GPU")
    config.addinivalue_line("markers", "slow: takes longer than all others together; runs with --slow")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="runs with --slow"))


@pytest.fixture(autouse=True)
def _default_settings():
    yield
    gramless.set_num_threads(None)
    _core.set_backend("")


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Every instruction set this machine can run, each in turn."""
    _core.set_backend(request.param)
    return request.param


@pytest.fixture(autouse=True)
def _tensors_on_device(request, monkeypatch):
    kind = request.config.getoption("--tensors-on")
    if kind is not None:
        devices.device(kind, monkeypatch)


@pytest.fixture(params=devices.present())
def device(request, monkeypatch):
    """Every available device in turn: a GPU, and the stand-ins for one that .ci/cuda_tests.sh builds."""
    return devices.device(request.param, monkeypatch)


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    if "matplotlib.pyplot" in sys.modules and sys.modules["matplotlib.pyplot"] is not None:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def a_second():
    """How long an interrupt may take: a second, or more if xdist runs other tests at the same time."""
    return 5 if "PYTEST_XDIST_WORKER" in os.environ else 1


@pytest.fixture
def run_script():
    """Runs Python source in a separate process, which must succeed in time; returns its output."""

    def run(source, *arguments, timeout=60, **environment):
        command = [sys.executable, "-W", "error", "-c", source, *map(str, arguments)]
        env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} | environment
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def run_with_torch(tmp_path_factory):
    """As run_script, forked from a process that has imported torch and gramless.torch."""
    processes = pytest.importorskip("processes")

    def run(source, *arguments, timeout=60):
        return processes.run_source(source, arguments, tmp_path_factory.mktemp("program"), timeout)

    return run


@pytest.fixture(scope="session")
def loopback():
    """For tests with several processes of torch.distributed; a sandbox may have no loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        try:
            socket.create_connection(server.getsockname(), timeout=5).close()
        except OSError as down:
            pytest.skip(f"processes cannot meet: the loopback interface is down ({down})")


@pytest.fixture
def lightly_loss():
    """A loss class of lightly, imported from its file without the packages that import all of lightly."""
    if importlib.util.find_spec("lightly") is None:
        pytest.skip("lightly is not installed")
    lightly_part = pytest.importorskip("benchmarks.parts").lightly_part
    before = set(sys.modules)
    yield lambda file, name: getattr(lightly_part(file), name)
    for name in set(sys.modules) - before:
        if name.split(".")[0] == "lightly":
            del sys.modules[name]
