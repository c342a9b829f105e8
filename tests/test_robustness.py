"""Signals, forks, threads, failed allocations, leaks."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import gramless
import numpy as np
import pytest

SWEEP = """
import sys, time
import numpy as np
import gramless

generator = np.random.default_rng(0)
small = generator.standard_normal((300, 20))
expected = gramless.cka(small, small[:, :4], kernel="rbf")
{setup}
print("started", flush=True)
try:
    {work}
except KeyboardInterrupt:
    print("interrupted", flush=True)
assert gramless.cka(small, small[:, :4], kernel="rbf") == expected
print("usable", flush=True)
"""
LONG = {  # these take minutes each if they are not interrupted
    "sweep": (
        "xs = [generator.standard_normal((60_000, 256), dtype=np.float32)] * 6",
        "gramless.cka_matrix(xs, kernel='rbf')",
    ),
    "pair": (
        "x = generator.standard_normal((200_000, 64), dtype=np.float32)",
        "gramless.cka(x, x, kernel='rbf')",
    ),
    "median": (
        "x = generator.standard_normal((200_000, 64), dtype=np.float32)",
        "gramless.median_distance(x)",
    ),
    "hardest_negatives": (
        "x = generator.standard_normal((200_000, 64), dtype=np.float32)",
        "gramless.nt_xent(x, x, exclude_hardest=0.1)",
    ),
    "distillation": (
        "x = generator.standard_normal((200_000, 64), dtype=np.float32)",
        "gramless.similarity_distillation(x, x, x)",
    ),
    "one_tile_of_wide_layers": (
        "xs = [np.broadcast_to(generator.standard_normal((190, 1)), (190, 2_000_000))] * 40",
        "gramless.hsic_matrix(xs)",
    ),
    "features": (
        "x = np.broadcast_to(generator.standard_normal((1, 600)), (9_000_000, 600))",
        "gramless.cka(x, x)",
    ),
}


@pytest.mark.parametrize("long", LONG)
@pytest.mark.parametrize("wait", [0.2, pytest.param(1.0, marks=pytest.mark.slow)])
def test_interrupt_ends_a_long_call_within_a_second(long, wait, a_second):
    setup, work = LONG[long]
    source = SWEEP.format(setup=setup, work=work)
    command = [sys.executable, "-c", source]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "started\n"
            time.sleep(wait)
            assert process.poll() is None
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n"
            assert time.monotonic() - sent < a_second
            assert process.stdout.readline() == "usable\n"
            assert process.wait(10) == 0, process.stderr.read()
        finally:
            process.kill()


def test_an_error_in_the_progress_callable_ends_the_sweep():
    x = np.random.default_rng(0).standard_normal((3000, 600), dtype=np.float32)

    def fail(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        gramless.cka_matrix([x] * 8, kernel="rbf", progress=fail)
    assert gramless.cka(x[:50], x[:50]) == pytest.approx(1, rel=1e-6)


# Python warns that the child of a fork with threads may deadlock; from 3.15 on that can be an error.
ALLOW_FORK = """
import warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
"""
FORKED = """
import multiprocessing, threading
import numpy as np
import gramless

gramless.set_num_threads(2)
x = np.random.default_rng(0).standard_normal((900, 40), dtype=np.float32)

def work(_):
    return gramless.cka(x, x[:, :9], kernel="rbf")

expected = work(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map_async(work, range(6)).get(timeout=30) == [expected] * 6
assert work(0) == expected
print("same")
"""


def test_forked_workers_compute_the_same(run_script):
    assert run_script(ALLOW_FORK + FORKED) == "same\n"


FORK_WHILE_COMPUTING = """
import os, signal, threading
import numpy as np
import gramless

gramless.set_num_threads(3)
x = np.random.default_rng(0).standard_normal((900, 40), dtype=np.float32)

def work():
    return gramless.cka(x, x[:, :9], kernel="rbf")

expected, stop = work(), threading.Event()

def keep_computing():
    while not stop.is_set():
        assert work() == expected

busy = threading.Thread(target=keep_computing)
busy.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a deadlock ends the child, and so the test
        os._exit(0 if work() == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
busy.join()
print("same")
"""


def test_forking_while_another_thread_computes(run_script):
    assert run_script(ALLOW_FORK + FORK_WHILE_COMPUTING) == "same\n"


REFUSED = """
import resource
import numpy as np
import gramless

gramless.set_num_threads(2)
small = np.random.default_rng(0).standard_normal((600, 60))
expected = gramless.cka(small, small[:, :4], kernel="rbf")
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
rows = np.broadcast_to(np.float32(1), (40_000_000, 1))
columns = np.broadcast_to(np.float32(1), (4, 40_000_000))
for call in (
    lambda: gramless.hsic(rows, rows, estimator="biased"),
    lambda: gramless.median_distance(rows),
    lambda: gramless.hsic_matrix([columns, columns]),
):
    try:
        call()
        raise SystemExit("not refused")
    except MemoryError:
        assert gramless.cka(small, small[:, :4], kernel="rbf") == expected
print("went on")
"""


def test_refused_memory_is_a_memory_error_and_the_process_goes_on(run_script):
    assert run_script(REFUSED) == "went on\n"


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_ten_thousand_calls_leak_nothing():
    x = np.random.default_rng(0).standard_normal((40, 300))
    layers = [x, x[:, :5].astype(np.float16)]

    def call():
        gramless.cka(x, x, kernel="rbf")
        gramless.hsic_matrix(layers, layers)
        gramless.median_distance(x)
        with pytest.raises(ValueError, match="rows"):
            gramless.hsic(x, x[1:])

    for _ in range(200):
        call()
    gc.collect()
    before, references = resident_bytes(), [sys.getrefcount(a) for a in (x, layers[1])]
    for _ in range(2500):
        call()
    gc.collect()
    assert [sys.getrefcount(a) for a in (x, layers[1])] == references
    assert resident_bytes() - before < 2_000_000  # 200 bytes a call would be as much


def test_the_gil_is_free_while_computing():
    x = np.random.default_rng(0).standard_normal((6000, 300), dtype=np.float32)
    finished, ticks = threading.Event(), 0

    def compute():
        gramless.cka(x, x, kernel="rbf")
        finished.set()

    thread = threading.Thread(target=compute)
    thread.start()
    while not finished.wait(0.01):
        ticks += 1
    thread.join()
    assert ticks >= 3
