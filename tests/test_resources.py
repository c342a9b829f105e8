"""Resources of calls: allocations that fail at any point, memory that must not grow, new processes."""

from __future__ import annotations

import gc
import os
import sys

import gramless
import numpy as np
import pytest

EXHAUSTED = """
import resource, sys
import numpy as np
import gramless

gramless.set_num_threads(2)
generator = np.random.default_rng(0)
x = generator.standard_normal((500, 100), dtype=np.float32)
y = generator.standard_normal((500, 100), dtype=np.float32)
calls = [
    lambda: gramless.cka(x, y, kernel="rbf"),
    lambda: gramless.cka_matrix([x, y, x[:, :90], y[:, :30]], kernel="rbf").tolist(),
    lambda: gramless.hsic(x[:, :20], y[:, :20]),
    lambda: gramless.median_distance(x),
    lambda: gramless.value_and_grad(gramless.nt_xent)(x, y)[0],
    lambda: gramless.nt_xent(x, y, temperature=0.001),
    lambda: gramless.value_and_grad(gramless.info_nce)(x, y, x, symmetric=True)[0],
    lambda: gramless.sup_con(x, np.arange(500) % 7, exclude_above=0.1),
    lambda: gramless.value_and_grad(gramless.nt_xent)(x, y, exclude_hardest=0.1)[0],
    lambda: gramless.info_nce(x, y, x, exclude_hardest=0.1, symmetric=True),
    lambda: gramless.value_and_grad(gramless.similarity_distillation)(x, y, y, x)[0],
    lambda: gramless.independence_test(x, y, method="permutation", n_resamples=9, rng=0).pvalue,
]
expected = [call() for call in calls]
unlimited = resource.getrlimit(resource.RLIMIT_AS)
refused = 0
for call, value in zip(calls, expected):
    for headroom in [*range(int(sys.argv[1]), 3_000_000, 50_000), 25_000_000]:
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + headroom, unlimited[1]))
        try:
            found = call()
        except MemoryError:
            refused += 1
        else:
            assert found == value, (found, value)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, unlimited)
assert [call() for call in calls] == expected
print(refused)
"""


@pytest.mark.parametrize("least", [0, 20_000])
def test_memory_may_run_out_anywhere(run_script, least):
    """With a little more memory at each call, each raises MemoryError or gives bitwise the same result."""
    refused = int(run_script(EXHAUSTED, least, MALLOC_TRIM_THRESHOLD_="0", MALLOC_MMAP_THRESHOLD_="16384"))
    assert refused > 20


SPAWNED = """
import multiprocessing
import numpy as np
import gramless

x = np.random.default_rng(0).standard_normal((700, 40), dtype=np.float32)
expected = gramless.cka(x, x[:, :9]), gramless.nt_xent(x, x[::-1])
with multiprocessing.get_context("{method}").Pool(2) as pool:
    similar = pool.starmap_async(gramless.cka, [(x, x[:, :9])] * 4)
    losses = pool.starmap_async(gramless.nt_xent, [(x, x[::-1])] * 4)
    assert similar.get(timeout=60) == [expected[0]] * 4
    assert losses.get(timeout=60) == [expected[1]] * 4
print("same")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_started_in_any_way_compute_the_same(run_script, method):
    assert run_script(SPAWNED.format(method=method)) == "same\n"


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_ten_thousand_calls_of_the_losses_leak_nothing():
    generator = np.random.default_rng(0)
    a, b, queue = (generator.standard_normal((n, 16)) for n in (12, 12, 30))
    labels, weights = np.arange(12) % 3, np.ones(12)

    def call():
        gramless.value_and_grad(gramless.nt_xent)(a, b)
        gramless.dcl(a.astype(np.float16), b, exclude_above=0.5)
        gramless.value_and_grad(gramless.sup_con)(a, labels, exclude_hardest=0.2)
        gramless.value_and_grad(gramless.info_nce)(a, b, queue, symmetric=True)
        gramless.value_and_grad(gramless.row_log_sum_exp)(a, queue, cotangent=weights)
        gramless.similarity_distillation(a, b, queue)
        with pytest.raises(ValueError, match="columns"):
            gramless.nt_xent(a, b[:, 1:])
        with pytest.raises(ValueError, match="temperature"):
            gramless.nt_xent(a, b, temperature=0)

    for _ in range(200):
        call()
    gc.collect()
    before, references = resident_bytes(), [sys.getrefcount(z) for z in (a, b, queue, labels)]
    for _ in range(1250):
        call()
    gc.collect()
    assert [sys.getrefcount(z) for z in (a, b, queue, labels)] == references
    assert resident_bytes() - before < 1_000_000  # 100 bytes a call would be as much
