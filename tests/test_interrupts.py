"""Ctrl-C soon ends a call at any width, and the interpreter's end aborts no thread within a call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import gramless
import numpy as np
import pytest

LEAVING = """
import sys, threading, time, warnings
import numpy as np
import gramless

warnings.simplefilter("ignore")  # constant rows have no CKA
x = np.random.default_rng(0).standard_normal((1500, 64)).astype(np.float32)

def short():
    while True:
        gramless.cka(x, x, kernel="rbf")

def contrast():
    while True:
        gramless.value_and_grad(gramless.nt_xent)(x, x)

def long():
    gramless.cka(*[np.broadcast_to(np.float32(1), (100_000, 256))] * 2, kernel="rbf")

def reports():
    layers = [np.broadcast_to(np.float32(1), (100_000, 256))]
    gramless.cka_matrix(layers, progress=lambda *_: time.sleep(0.01))

daemon = sys.argv[1] == "daemon"
threads = [threading.Thread(target=f, daemon=daemon) for f in (short, contrast, long, reports)]
for thread in threads:
    thread.start()
print("started", flush=True)
time.sleep(0.5)
if not daemon:
    threads[0].join()
"""


def test_the_interpreter_ends_while_daemon_threads_are_in_calls():
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", LEAVING, "daemon"], capture_output=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, b"")


def test_interrupts_in_join_end_the_interpreter_without_an_abort():
    """The second interrupt ends the wait for threads that the interpreter would do."""
    command = [sys.executable, "-c", LEAVING, "join"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"started\n"
            time.sleep(1)
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                time.sleep(0.5)
            assert process.returncode != -signal.SIGABRT
            assert b"FATAL" not in process.stderr.read()
        finally:
            process.kill()


IN_THE_BACKGROUND = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def test_interrupts_reach_tests_that_a_shell_runs_in_the_background():
    test = f"{__file__}::test_an_interrupt_ends_a_call_within_half_a_second[lengths of a few rows-0.3]"
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    command = [sys.executable, "-c", IN_THE_BACKGROUND, test]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout


def wide(rows, columns, dtype=np.float32):
    """A view without memory of its own."""
    return np.broadcast_to(dtype(1), (rows, columns))


MILLIONS = 3_000_000
CALLS = {
    "statistics of many columns": lambda: gramless.hsic(wide(30_000, 500_000), wide(30_000, 2)),
    "tiles of rows": lambda: gramless.cka(*[wide(1024, MILLIONS)] * 2, kernel=gramless.RBF(sigma=1.0)),
    "tiles in float64": lambda: gramless.hsic(wide(1024, MILLIONS, np.float64), wide(1024, 2), kernel="rbf"),
    "median": lambda: gramless.median_distance(wide(1024, MILLIONS)),
    "centres": lambda: gramless.cka(*[wide(8, 10 * MILLIONS)] * 2, kernel=gramless.RBF(sigma=1.0)),
    "norms": lambda: gramless.median_distance(wide(20_000, 10**6)),
    "lengths of a few rows": lambda: gramless.cka(*[wide(64, 10 * MILLIONS)] * 2),
    "rows near each other": lambda: gramless.hsic(
        wide(64, 10 * MILLIONS), wide(64, 2), kernel=gramless.Laplace(1.0)
    ),
}


@pytest.mark.parametrize("delay", [0.3, 1.0, pytest.param(2.2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_ends_a_call_within_half_a_second(name, delay, a_second):
    """Measured in processor time of this process, since other processes may run at the same time."""
    sent = []

    def interrupt():
        sent.append((time.monotonic(), time.process_time()))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(delay, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        CALLS[name]()
    assert (time.process_time() - sent[0][1]) / gramless.get_num_threads() < 0.5
    assert time.monotonic() - sent[0][0] < 3 * a_second


def test_an_interrupt_ends_gradients_of_wide_rows(a_second):
    torch = pytest.importorskip("torch")
    x = torch.linspace(0, 1, 256)[:, None].expand(256, 300_000).clone().requires_grad_()
    value = gramless.hsic(x, x.detach()[:, :2], kernel="rbf")

    def differentiate():
        value.backward()
        time.sleep(0)  # where Python handles a signal that came during torch's call

    started = time.monotonic()
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        differentiate()
    assert time.monotonic() - started < 0.2 + 3 * a_second
