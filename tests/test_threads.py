"""Python threads that call at once: with a GIL, and in an interpreter without one."""

from __future__ import annotations

import threading
import warnings

import gramless
import numpy as np
import pytest
import test_fuzz
import test_fuzz_losses
from fuzzing import DOCUMENTED

CALLS = 150
THREADS = 6


def bits(outcome):
    """A value that is equal for bitwise-identical results, and for errors with the same message."""
    if isinstance(outcome, tuple):
        return tuple(map(bits, outcome))
    return str(outcome) if isinstance(outcome, Exception) else np.asarray(outcome, dtype=float).tobytes()


def outcome_of(case):
    try:
        return case.call(gramless)
    except DOCUMENTED as error:
        return error


def test_bits_tells_apart_what_differs():
    assert bits((1.0, np.ones(2))) == bits((1.0, np.ones(2))) != bits((1.0, np.array([1.0, 1.5])))
    assert bits(ValueError("one")) != bits(ValueError("another"))


@pytest.mark.parametrize("kind", [test_fuzz, test_fuzz_losses], ids=["similarities", "losses"])
def test_any_calls_at_once_give_the_bits_they_give_alone(kind):
    """Valid and invalid calls on the same arrays, while another thread changes the number of threads."""
    cases = [kind.Case(np.random.default_rng(seed)) for seed in range(CALLS)]
    found: list[list[object]] = []
    ended = threading.Event()
    start = threading.Barrier(THREADS + 1)

    def call_all(first):
        outcomes: list[object] = [None] * CALLS
        start.wait()
        for i in range(CALLS):
            position = (i + first * CALLS // THREADS) % CALLS  # at any moment every thread makes another call
            outcomes[position] = bits(outcome_of(cases[position]))
        found.append(outcomes)

    def change_threads():
        start.wait()
        while not ended.wait(0.001):
            for count in (1, 3, 2):
                gramless.set_num_threads(count)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = [bits(outcome_of(case)) for case in cases]
        changing = threading.Thread(target=change_threads)
        calling = [threading.Thread(target=call_all, args=(first,)) for first in range(THREADS)]
        for thread in (changing, *calling):
            thread.start()
        for thread in calling:
            thread.join()
        ended.set()
        changing.join()
    assert len(found) == THREADS
    assert all(outcomes == expected for outcomes in found)


def test_the_default_is_the_cpus_of_now(run_script):
    script = """
import os, gramless
before = gramless.get_num_threads()
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
assert gramless.get_num_threads() == before
gramless.set_num_threads(None)
print(gramless.get_num_threads())
"""
    assert run_script(script, GRAMLESS_NUM_THREADS="") == "1\n"
    assert run_script(script, GRAMLESS_NUM_THREADS="3") == "3\n"
