"""How often intervals contain the true value, and equal values seem to differ: samples and the table."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

measured = pytest.importorskip("benchmarks.coverage")
FILE = measured.RESULTS / "coverage.json"


def check_usual(found):
    assert 0.91 <= found["coverage"] <= 0.99
    assert found["warned"] <= 0.05


def check_outliers(found):
    assert found["of these warned"] > 0.5
    if found["n"] == 400:
        assert found["coverage without a warning"] >= 0.9


def check_limits(found):
    """More often than not; how often the page says."""
    assert 0.75 <= found["coverage"] < 0.94


CHECKS = (
    dict.fromkeys(measured.USUAL, check_usual)
    | dict.fromkeys(measured.LARGER_ROWS, check_outliers)
    | dict.fromkeys(measured.LIMITS, check_limits)
)


@pytest.fixture(autouse=True)
def many(monkeypatch):
    monkeypatch.setattr(measured, "REPETITIONS", {"coverage": 1_000, "equality": 2_000})


@pytest.mark.slow
@pytest.mark.parametrize("n", measured.ROWS)
@pytest.mark.parametrize("data", measured.USUAL)
def test_intervals_hold_the_truth(data, n):
    check_usual(measured.coverage(data, n))


@pytest.mark.slow
@pytest.mark.parametrize("n", measured.ROWS)
@pytest.mark.parametrize("data", measured.LARGER_ROWS)
def test_samples_with_much_larger_rows_have_a_warning(data, n):
    check_outliers(measured.coverage(data, n))


@pytest.mark.slow
@pytest.mark.parametrize("n", measured.ROWS)
def test_equal_values_differ_as_often_as_the_level_says(n):
    assert measured.equality(n, 1.0)["p"] == pytest.approx(0.05, abs=0.02)


def test_the_committed_table_says_so():
    if not FILE.exists():
        pytest.skip("this tree has no results")
    found = json.loads(FILE.read_text())
    own = [one for one in found["coverage"] if one["groups"] is None]
    for one in own:
        CHECKS[one["data"]](one)
    assert len(own) == len(measured.DATA) * len(measured.ROWS)
    assert all(abs(one["p"] - 0.05) <= 0.02 for one in found["equality"])


def test_one_kind_of_data_can_be_measured_anew(tmp_path, monkeypatch):
    file = tmp_path / "coverage.json"
    kept, old = ({"data": data, "n": 100, "coverage": 2.0} for data in ("clusters", "independent"))
    file.write_text(json.dumps({"commit": "earlier", "coverage": [kept, old], "equality": []}))
    monkeypatch.setattr(measured, "REPETITIONS", {"coverage": 4})
    monkeypatch.setattr(measured, "ProcessPoolExecutor", ThreadPoolExecutor)  # JAX warns of a fork
    monkeypatch.setattr("sys.argv", ["coverage", "--data", "independent", "--out", str(file)])
    measured.main()
    found = json.loads(file.read_text())
    assert found["commit"] == "earlier"
    assert found["coverage"][0] == kept
    new = found["coverage"][1:]
    assert [(one["data"], one["n"]) for one in new] == [("independent", n) for n in measured.ROWS]
    assert all(one["coverage"] <= 1 and {"commit", "cpu"} <= {*one} for one in new)
