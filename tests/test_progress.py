"""The calls of `progress`: from the start to the end, in proportion to the work."""

from __future__ import annotations

import time

import gramless as gl
import numpy as np
import pytest

LAYERS = [np.random.default_rng(i).standard_normal((60, 5 + i)) for i in range(3)]
CALLS = {
    "cka": lambda progress, _: gl.cka(*LAYERS[:2], kernel="rbf", progress=progress),
    "hsic": lambda progress, _: gl.hsic(*LAYERS[:2], progress=progress),
    "a pair in parts": lambda progress, folder: gl.cka(
        *LAYERS[:2], kernel="rbf", progress=progress, checkpoint=folder / "pair.npz"
    ),
    "gradients of a pair": lambda progress, _: gl.value_and_grad(gl.cka)(*LAYERS[:2], progress=progress),
    "hsic_matrix": lambda progress, _: gl.hsic_matrix(LAYERS, progress=progress),
    "cka_matrix": lambda progress, _: gl.cka_matrix(LAYERS, LAYERS[:1], kernel="rbf", progress=progress),
    "in parts": lambda progress, folder: gl.cka_matrix(
        LAYERS, kernel="rbf", progress=progress, checkpoint=folder / "sweep.npz"
    ),
    "names": lambda progress, _: gl.cka_matrix(
        dict(zip("abc", LAYERS, strict=True)), kernel="rbf", progress=progress
    ),
    "median": lambda progress, _: gl.median_distance(LAYERS[0], progress=progress),
    "permutations": lambda progress, _: gl.independence_test(
        *LAYERS[:2], method="permutation", n_resamples=9, progress=progress
    ),
    "gradients": lambda progress, _: gl.value_and_grad(gl.cka_matrix)(
        LAYERS, cotangent=np.ones((3, 3)), progress=progress
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_last_report_is_that_all_is_done(name, tmp_path):
    told = []
    CALLS[name](lambda *counts: told.append(counts), tmp_path)
    assert told[-1][0] == told[-1][1] > 0
    shares = [done / total for done, total in told]
    assert sorted(shares) == shares


def test_matrix_permutations_and_intervals_each_have_a_progress_that_ends():
    told = []
    report = lambda *counts: told.append(counts)  # noqa: E731
    gl.layer_matrix(LAYERS, kernel="rbf", pvalue="permutation", rng=0, level=0.9, progress=report)
    ends = [i for i, (done, total) in enumerate(told) if done == total]
    assert len(ends) == 3
    assert ends[-1] == len(told) - 1
    for first, last in zip([0, *(end + 1 for end in ends)], ends, strict=False):
        assert sorted(told[first : last + 1]) == told[first : last + 1]
        assert len({total for _, total in told[first : last + 1]}) == 1


def test_an_error_leaves_no_report_that_all_is_done():
    told = []

    def fail(done, total):
        told.append((done, total))
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        gl.median_distance(np.random.default_rng(0).standard_normal((9000, 64)), progress=fail)
    assert len(told) == 1


@pytest.mark.parametrize(("layers", "columns"), [(24, 24), (12, 256)])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_half_of_the_work_is_half_of_the_progress(layers, columns, checkpoint, tmp_path):
    """Sweeps whose medians take half of the time, or most of it."""
    gl.set_num_threads(1)
    xs = list(np.random.default_rng(0).standard_normal((layers, 4000, columns), dtype=np.float32))
    paths = [tmp_path / "first", tmp_path / "second"] if checkpoint else [None, None]
    gl.cka_matrix(xs, kernel="rbf", checkpoint=paths[0])  # takes the memory
    told, started = [], time.process_time()
    report = lambda *at: told.append((time.process_time() - started, *at))  # noqa: E731
    gl.cka_matrix(xs, kernel="rbf", progress=report, checkpoint=paths[1])
    whole = told[-1][0]
    apart = [abs(seconds / whole - done / total) for seconds, done, total in told]
    assert max(apart) < 0.25


def test_a_bar_is_drawn_before_the_first_report(monkeypatch):
    progress = pytest.importorskip("rich.progress")
    from gramless._progress import ProgressBar

    started = []
    monkeypatch.setattr(progress.Progress, "start", lambda self: started.append(True))
    with ProgressBar("layers"):
        assert started
