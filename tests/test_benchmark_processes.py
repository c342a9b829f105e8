"""Every contender runs in a separate process, with only its library, in a clean environment."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("benchmarks.contenders")
from benchmarks.check import given
from benchmarks.contenders import CONTENDERS, LIBRARIES, Contender
from benchmarks.environment import THREADS, clean_environment, cpu_count
from benchmarks.plan import SECTIONS
from benchmarks.problems import Problem, quick_problems
from benchmarks.processes import Process, alone

PROBLEMS = quick_problems([problem for _, problems in SECTIONS.values() for problem in problems()])
INSTALLED = [contender for contender in CONTENDERS if contender.installed]
NUMPY = next(contender for contender in CONTENDERS if contender.name == "numpy")
PAIR = Problem("pair", "pair", 64, 8, kernel="linear", data="gaussian")


def load(process: Process, problem: Problem, **more: int) -> None:
    told, files = given(problem, problem.data)
    assert process.ask("load", problem=told.as_json(), files=files, **more) == {}


def every_contender():
    """Slow ones build models, import the same package as another one of their module, or use numba."""
    seen = set()
    for contender in INSTALLED:
        module = contender.code.partition(":")[0]
        imports = module, contender.libraries
        slow = module in ("whole_models", "training") or "numba" in imports[1] or imports in seen
        seen.add(imports)
        yield pytest.param(
            contender,
            marks=pytest.mark.slow if slow else (),
            id=f"{contender.name}-{contender.code}",
        )


@pytest.mark.parametrize("contender", list(every_contender()))
def test_a_process_imports_its_own_library_alone(contender):
    problem = next(p for p in PROBLEMS if contender.can(p) and not p.beside)
    with alone(contender, "1") as process:
        if not contender.compiles:  # which takes long, and imports no further package that is measured
            load(process, replace(problem, n=min(problem.n, 16)), copies=1)
            assert "failed" not in process.ask("peak")
        found = process.ask("describe")
    assert set(found["libraries"]) <= set(contender.libraries)
    assert found["libraries"] or contender is NUMPY


def test_libraries_are_told_apart():
    assert {"gramless", "torch", "scipy", "sklearn", "jax"} <= set(LIBRARIES)
    assert NUMPY.libraries == ("numpy",)


@pytest.mark.parametrize(
    "name",
    [
        "OPENBLAS_CORETYPE",
        "OPENBLAS_L2_SIZE",
        "NVPL_BLAS_DEBUG_CPU_TYPE",
        "MKL_NUM_THREADS",
        "OMP_WAIT_POLICY",
        "KMP_BLOCKTIME",
        "GRAMLESS_BACKEND",
        "ATEN_CPU_CAPABILITY",
        "LD_PRELOAD",
        "GLIBC_TUNABLES",
    ],
)
def test_what_chooses_kernels_does_not_reach_a_process(name, monkeypatch):
    monkeypatch.setenv(name, "1")
    assert name not in clean_environment()
    assert clean_environment()["PATH"] == os.environ["PATH"]


def test_only_the_number_of_threads_is_set_where_one_is_asked_for():
    added = set(clean_environment("1")) - set(clean_environment())
    assert added == set(THREADS)


def test_the_kernels_of_a_blas_are_its_own_choice(monkeypatch):
    pytest.importorskip("threadpoolctl")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    with alone(NUMPY) as process:
        pools = process.ask("describe")["pools"]
        assert process.threads_found in (None, cpu_count())
    assert all(pool["architecture"] != "Nehalem" for pool in pools)


def test_a_process_is_stopped_except_in_its_turn():
    with alone(NUMPY) as process:
        load(process, PAIR)
        assert len(process.ask("time", seconds=0.01)["wall_ms"]) >= 1
        state = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    assert state == "T"


def test_calls_have_other_inputs_in_turn_and_the_same_answer(tmp_path):
    worker = pytest.importorskip("benchmarks.worker").Worker("numpy_code:run", "arrays")
    told, files = given(PAIR, PAIR.data)
    worker.load(told.as_json(), files)
    calls = [worker._sets[i % len(worker._sets)] for i in range(4)]
    assert not np.array_equal(calls[0][0], calls[1][0])
    answers = [float(worker._call()) for _ in range(4)]
    assert np.ptp(answers) < 1e-6
    assert len(set(answers)) > 1  # sums in another order


def test_short_calls_make_a_sample_together_and_come_warm():
    worker = pytest.importorskip("benchmarks.worker").Worker("numpy_code:run", "arrays")
    told, files = given(PAIR, PAIR.data)
    worker.load(told.as_json(), files)
    found = worker.time(0.01, warm=1)
    assert found["calls"] > 1
    assert worker._calls > found["calls"] * len(found["wall_ms"])


def test_a_process_that_fails_says_why():
    broken = Contender("broken", "numpy", "numpy_code:no_such_function", lambda problem: True)
    with alone(broken) as process:
        assert "no_such_function" in process.ask("describe")["failed"]
    wrong = replace(PAIR, kind="median")
    with alone(NUMPY) as process:
        told, files = given(replace(wrong, kind="pair"), "gaussian")
        process.ask("load", problem=replace(told, d=0).as_json(), files=[files[0]], copies=1)
        assert process.ask("answer", out="/no/such/folder/answer")["failed"].startswith("IndexError")
