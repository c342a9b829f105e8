"""Estimates are near every committed measurement, and count what the benchmarks count."""

from __future__ import annotations

import json
import subprocess
import sys

import gramless as gl
import pytest
from gramless.estimates import Estimate
from gramless.kernels import FORMULAS

pages = pytest.importorskip("benchmarks.pages.expected")
from benchmarks.plan import SECTIONS  # noqa: E402

MEASURED = pages.comparisons()


def test_there_are_measurements_of_every_kind():
    kinds = {found.problem["kind"] for found in MEASURED}
    assert kinds == {"pair", "sweep", "nt_xent", "cka_grad"}
    assert len(MEASURED) > 40
    assert sum(found.measured_bytes is not None for found in MEASURED) >= 8


@pytest.mark.parametrize("found", MEASURED, ids=lambda found: found.problem["name"])
def test_estimates_are_near_what_was_measured(found):
    assert 1 / 1.6 < found.estimate.seconds / found.measured_seconds < 1.6
    if found.measured_bytes is not None:
        assert 1 / 1.3 < found.estimate.peak_bytes / found.measured_bytes < 1.3


@pytest.mark.parametrize("kernel", FORMULAS)
def test_every_kernel_function_has_a_cost(kernel):
    linear, found = (gl.estimate(1000, 64, kernel=k, threads=1, gflops=50.0) for k in ("linear", kernel))
    assert found.seconds >= linear.seconds


@pytest.mark.parametrize(
    ("dtype", "item", "rows", "n"), [("float32", 4, 384, 7680), ("float64", 8, 192, 3840)]
)
def test_tiles_of_many_rows_are_larger(dtype, item, rows, n):
    """Memory of the threads as in csrc/engine/tile/tile_rows.hpp, and 36 bytes for each row."""
    on = {"kernel": gl.RBF(sigma=1.0), "dtype": dtype, "threads": 3, "gflops": 50.0}
    for count, tile in ((n - 1, rows // 2), (n, rows), (50, 50)):
        of_a_thread = 2 * tile * (tile + 64) * item
        assert gl.estimate(count, 64, **on).peak_bytes == 3 * of_a_thread + 2 * 36 * count
    wide = 3 << 20  # columns: rows are packed a chunk at a time
    assert gl.estimate(n, wide, **on).peak_bytes < gl.estimate(n, 512, **on).peak_bytes


def test_flops_are_those_of_the_benchmarks():
    planned = {p.name: p for _, make in SECTIONS.values() for p in make() if pages.is_estimated(p.as_json())}
    assert len(planned) > 60
    for problem in planned.values():
        found = pages.estimated(problem.as_json(), threads=1, gflops=1.0)
        assert found.flops == pytest.approx(problem.flops), problem


def test_the_speed_of_this_machine_is_measured_once_and_is_plausible():
    first, second = gl.estimate(5000, 64), gl.estimate(5000, 64)
    assert first == second
    assert 0.3 < first.gflops < 2000
    assert first.threads == gl.get_num_threads()


def test_more_work_takes_longer_and_a_second_thread_helps():
    on = {"gflops": 50.0, "threads": 1}
    small, large = gl.estimate(1000, 64, kernel="rbf", **on), gl.estimate(2000, 64, kernel="rbf", **on)
    assert 3 < large.seconds / small.seconds < 4.5
    assert gl.estimate(2000, 64, kernel="rbf", gflops=50, threads=2).seconds < 0.6 * large.seconds
    given = gl.estimate(2000, 64, kernel=gl.RBF(sigma=1.0), **on)
    assert given.seconds < large.seconds
    assert given.peak_bytes < large.peak_bytes
    sampled = gl.estimate(2000, 64, kernel=gl.RBF(median_rows=100), **on)
    assert given.seconds < sampled.seconds < large.seconds
    wide = gl.estimate(20_000, 512, kernel=gl.RBF(sigma=1.0), **on)
    searched = gl.estimate(20_000, 512, kernel="rbf", **on)  # whose products do not fit the workspace
    assert 1.8 < searched.seconds / wide.seconds < 2.2
    assert gl.estimate(2000, 64, dtype="float64", **on).seconds > gl.estimate(2000, 64, **on).seconds
    assert gl.estimate(2000, 64, gradients=True, **on).seconds > gl.estimate(2000, 64, **on).seconds


def test_losses_are_estimated_by_their_pairs():
    on = {"threads": 1, "gflops": 50.0}
    views, sides, more, sigmoid = (
        gl.estimate(4096, 512, **on, **{"quantity": quantity, "negatives": negatives})
        for quantity, negatives in (("nt_xent", 0), ("info_nce", 0), ("info_nce", 8192), ("siglip", 0))
    )
    assert sides.flops == sigmoid.flops == views.flops / 2 == more.flops / 3 == 6.0 * 4096**2 * 512
    assert more.input_bytes == 2 * sides.input_bytes == 2 * sigmoid.input_bytes
    assert sides.peak_bytes - sigmoid.peak_bytes == 4 * 4096**2  # dot products are not kept
    assert sigmoid.seconds < views.seconds / 1.8


def test_nearest_neighbours_are_estimated_by_their_pairs():
    on = {"quantity": "mutual_knn", "threads": 1, "gflops": 50.0}
    pair, more, wide = (gl.estimate(8192, 64, **on, **o) for o in ({}, {"layers": 6}, {"dtype": "float64"}))
    assert pair.flops == more.flops / 3 == 2.0 * 8192**2 * 64
    assert 2.9 < more.seconds / pair.seconds < 3.1
    assert wide.seconds == pair.seconds  # candidates are those of float32
    assert wide.input_bytes == 2 * pair.input_bytes
    assert gl.estimate(8192, 64, **on, k=50).peak_bytes > pair.peak_bytes > 2 * 8192 * 10 * 4
    # CPU seconds on one thread of 117 GFLOP/s, by which its constants were chosen.
    on["gflops"] = 117.0
    for n, d, k, seconds in ((2000, 64, 10, 0.038), (8192, 512, 10, 1.0), (4000, 64, 50, 0.27)):
        assert 1 / 1.6 < gl.estimate(n, d, **on, k=k).seconds / seconds < 1.6


def test_memory_without_a_workspace_is_less():
    before = gl.get_workspace_limit()
    kept = gl.estimate(4096, 128, quantity="nt_xent", threads=1, gflops=50)
    try:
        gl.set_workspace_limit(0)
        recomputed = gl.estimate(4096, 128, quantity="nt_xent", threads=1, gflops=50)
    finally:
        gl.set_workspace_limit(before)
    assert kept.peak_bytes - recomputed.peak_bytes == 4 * 8192**2 / 2
    assert recomputed.seconds > kept.seconds


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        ((1, 8), {}, ValueError, "estimate: n must be at least 2 but is 1"),
        ((8, 0), {}, ValueError, "estimate: d must be at least 1 but is 0"),
        ((8.5, 8), {}, TypeError, "estimate: n must be an integer but is 8.5"),
        ((8, 8, 0), {}, ValueError, "estimate: layers must be at least 1 but is 0"),
        ((8, 8), {"quantity": "hsic"}, ValueError, 'estimate: quantity must be "cka", "nt_xent", "info'),
        ((8, 8), {"dtype": "int8"}, ValueError, 'estimate: dtype must be "float32", "float64", "float16" or'),
        ((8, 8), {"kernel": "sigmoid"}, ValueError, "estimate: kernel must be"),
        ((8, 8, 3), {"gradients": True}, ValueError, "estimate: gradients=True needs layers=2 but"),
        ((8, 8, 3), {"quantity": "nt_xent"}, ValueError, 'estimate: quantity="nt_xent" needs layers=2'),
        ((8, 8, 3), {"quantity": "siglip"}, ValueError, 'estimate: quantity="siglip" needs layers=2'),
        ((8, 8), {"negatives": 8}, ValueError, 'estimate: negatives is an option of quantity="info_nce" but'),
        ((8, 8), {"quantity": "mutual_knn", "k": 8}, ValueError, "estimate: k must be less than n but n"),
        ((8, 8), {"quantity": "mutual_knn", "gradients": True}, ValueError, 'estimate: quantity="mutual'),
        ((8, 8), {"k": 3}, ValueError, 'estimate: k is an option of quantity="mutual_knn" but'),
        ((8, 8), {"k": 0}, ValueError, "estimate: k must be at least 1 but is 0"),
        ((8, 8), {"negatives": -1}, ValueError, "estimate: negatives must be at least 0 but is -1"),
        ((8, 8), {"threads": 0}, ValueError, "estimate: threads must be at least 1 but is 0"),
        ((8, 8), {"gflops": -1}, ValueError, "estimate: gflops must be positive and finite but is -1.0"),
        ((8, 8), {"gflops": "1"}, TypeError, "estimate: gflops must be a number or None but is '1'"),
        ((8, 8), {"gflops": float("nan")}, ValueError, "estimate: gflops must be positive and finite"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused_in_one_sentence(arguments, options, error, said):
    with pytest.raises(error) as raised:
        gl.estimate(*arguments, **options)
    assert str(raised.value).startswith(said)


def test_the_command_says_what_the_function_returns():
    pytest.importorskip("click")
    pytest.importorskip("rich")
    from commands import refused, run

    result = run("estimate", 10_000, 512, 24, "--kernel", "rbf", "--threads", 2, "--gflops", 100, "--json")
    expected = gl.estimate(10_000, 512, 24, kernel="rbf", threads=2, gflops=100)
    assert result.exit_code == 0
    assert Estimate(**json.loads(result.stdout)) == expected
    given = gl.estimate(10_000, 512, kernel=gl.RBF(sigma=2.0), threads=2, gflops=100)
    shown = run("estimate", 10_000, 512, "--kernel", "rbf", "--sigma", 2, "--threads", 2, "--gflops", 100)
    assert shown.stdout == f"{given}\n"
    assert "estimate: n must be at least 2" in refused("estimate", 1, 8)
    assert run("estimate", 100, 8, "--sigma", 2).exit_code == 2
    assert "Examples:" in run("estimate", "--help").stdout


def test_an_estimate_needs_no_memory_of_its_size():
    source = "import gramless as gl; print(gl.estimate(10**9, 10**5, 1000, kernel='rbf').seconds > 1e9)"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "True\n"


def test_long_times_are_in_hours_too():
    said = [str(Estimate(seconds, 1, 1, 1.0, 1.0, 1)) for seconds in (119.0, 2561.0, 29_688.0, 2e5)]
    assert [text.split(" and ")[0] for text in said] == [
        "119 s",
        "2,561 s (42.7 minutes)",
        "29,688 s (8.25 hours)",
        "200,000 s (2.31 days)",
    ]
