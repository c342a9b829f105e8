"""How often unrelated layers are beyond chance: single repetitions, and the committed table."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from gramless._chance import LEAST_CHI2_ROWS

measured = pytest.importorskip("benchmarks.levels")
FILE = measured.RESULTS / "levels.json"


def levels_by(method):
    if not FILE.exists():
        pytest.skip("this tree has no results")
    found = json.loads(FILE.read_text())["levels"]
    return {(one["n"], one["data"]): one["level"] for one in found if one["method"] == method}


def test_a_repetition_is_the_same_alone_and_among_others(monkeypatch):
    monkeypatch.setattr(measured, "REPETITIONS", measured.REPETITIONS | {measured.ONE: 40})
    one, largest = (found["level"] for found in measured.levels_of_permutations(8, "Cauchy"))
    backwards = np.array([measured.permutations_reject(8, "Cauchy", i) for i in reversed(range(40))])
    assert backwards.mean(axis=0).tolist() == [one, largest]
    assert 0 < backwards.mean() < 1


@pytest.mark.parametrize("method", [measured.ONE, measured.LARGEST])
def test_permutations_keep_their_level_in_the_committed_table(method):
    found = levels_by(method)
    assert {*found} == {(n, data) for n in measured.PERMUTED_ROWS for data in measured.PERMUTED_DATA}
    assert [*found.values()] == pytest.approx([0.05] * len(found), abs=0.015)


def test_the_default_keeps_its_level_in_the_committed_table():
    found = levels_by(measured.DEFAULT)
    assert {*found} == {(n, data) for n in measured.DEFAULT_ROWS for data in measured.DATA}
    spread = math.sqrt(0.05 * 0.95 / measured.REPETITIONS[measured.DEFAULT])
    assert max(found.values()) <= 0.05 + 3 * spread  # a level of 5 %: chi2 with Holm has 12 % at 40 rows


def test_few_rows_are_rejected_too_often_and_those_of_the_default_are_not():
    file = measured.RESULTS / "few_rows.json"
    if not file.exists():
        pytest.skip("this tree has no results")
    found = json.loads(file.read_text())
    worst = {n: max(one["level"] for one in found["levels"] if one["n"] == n) for n in measured.FEW_ROWS}
    assert len(found["levels"]) == math.prod(
        map(len, (measured.FEW_ROWS, measured.KERNELS, measured.DATA, measured.WIDTHS))
    )
    assert min(worst[n] for n in (4, 6, 8)) > 0.08
    assert worst[LEAST_CHI2_ROWS] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / found["repetitions"])
