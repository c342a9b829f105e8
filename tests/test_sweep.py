"""Sweeps in parts that are stored, interrupted, killed and resumed are bitwise identical to others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import gramless
import numpy as np
import pytest
from gramless import Linear, _checkpoint, _core
from gramless.kernels import encode

RBF = gramless.RBF(median_rows=500)
CASES = {  # rows, features of each layer, kernel: many parts each
    "over features": (700, [200, 3, 400], "linear"),
    "over few features": (7000, [90, 3, 200], "linear"),
    "rbf": (5000, [4, 7, 2], RBF),
    "exact medians": (4000, [4, 7], gramless.RBF()),
}


def layers(rows, features, dtype=np.float32):
    generator = np.random.default_rng(0)
    return [generator.standard_normal((rows, d)).astype(dtype) for d in features]


@pytest.fixture(params=CASES)
def case(request):
    rows, features, kernel = CASES[request.param]
    return layers(rows, features), kernel


@pytest.fixture(autouse=True)
def _written_at_once(monkeypatch):
    monkeypatch.setattr(_checkpoint, "LEAST_PAUSE", 0.0)
    monkeypatch.setattr(_checkpoint, "BUSY_SHARE", np.inf)


class Stop(Exception):
    pass


def stop_after(reports):
    seen = []

    def progress(done, total):
        assert 0 <= done <= total
        seen.append(done)
        if len(seen) > reports:
            raise Stop

    return progress


def parts_of(xs, kernel="linear"):
    return _core.Sweep(xs, [], *kernels(xs, None, kernel), "unbiased", "auto").parts


def test_there_are_parts_to_speak_of():
    for rows, features, kernel in CASES.values():
        assert parts_of(layers(rows, features), kernel) >= 3
    assert parts_of(layers(100, [300])) == 1
    assert parts_of([np.broadcast_to(np.float32(1), (36_000, 1))], RBF) == 256


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("space", ["gram", "features", "rbf"])
def test_parts_added_in_order_are_the_whole(backend, space, dtype):
    rows, features = (700, [200, 3, 400]) if space == "features" else (4000, [4, 2, 3])
    xs, kernel = layers(rows, features, dtype), RBF if space == "rbf" else "linear"
    space = "auto" if space == "rbf" else space
    for ys in (None, xs[1:]):
        for estimator in ("unbiased", "biased"):
            whole = _core.hsic_matrix(xs, ys or [], *kernels(xs, ys, kernel), estimator, space, None)
            sweep = _core.Sweep(xs, ys or [], *kernels(xs, ys, kernel), estimator, space)
            assert sweep.parts >= 3
            sums = np.zeros(sweep.sums_length)
            for part in range(sweep.parts):
                own = np.zeros(sweep.sums_length)
                sweep.add_part(part, own)
                sums += own
            for ours, theirs in zip(sweep.values(sums), whole, strict=True):
                assert np.array_equal(ours, theirs)


def kernels(xs, ys, kernel):
    code = encode(Linear() if kernel == "linear" else gramless.RBF(sigma=2.0))
    return [code] * len(xs), [code] * len(ys or [])


@pytest.mark.parametrize("function", [gramless.hsic_matrix, gramless.cka_matrix])
def test_a_kept_sweep_has_the_same_bits(case, function, tmp_path):
    xs, kernel = case
    for ys in (None, xs[1:]):
        file = tmp_path / f"{ys is None}.npz"
        expected = function(xs, ys, kernel=kernel)
        assert np.array_equal(function(xs, ys, kernel=kernel, checkpoint=file), expected)
        again = function(xs, ys, kernel=kernel, checkpoint=str(file), progress=stop_after(0))
        assert np.array_equal(again, expected)  # nothing was left to compute or to report
        biased = function(xs, ys, kernel=kernel, checkpoint=file, estimator="biased")
        assert np.array_equal(biased, function(xs, ys, kernel=kernel, estimator="biased"))


def test_interrupted_anywhere_it_goes_on(case, tmp_path):
    xs, kernel = case
    expected, file, interruptions = gramless.cka_matrix(xs, kernel=kernel), tmp_path / "sweep", 0
    kept = set()  # a part that takes long is interrupted before its end as well, and then nothing new is kept
    while True:
        gramless.set_num_threads(1 + interruptions % 3)
        try:
            found = gramless.cka_matrix(xs, kernel=kernel, checkpoint=file, progress=stop_after(0))
            break
        except Stop:
            interruptions += 1
            if file.exists():
                with np.load(file) as state:
                    kept.add((len(state["sigmas"]), int(state["done"])))
    assert len(kept - {(0, 0)}) == parts_of(xs, kernel) + (0 if kernel == "linear" else len(xs))
    assert np.array_equal(found, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


KILLED = """
import os, signal, sys
import numpy as np
import gramless
from gramless import _checkpoint, _files
_checkpoint.LEAST_PAUSE, _checkpoint.BUSY_SHARE = 0.0, np.inf
file, survives = sys.argv[1], int(sys.argv[2])
writes, inherit = [0], _files._inherit

def dies_while_writing(descriptor, target):
    writes[0] += 1
    if writes[0] > survives:
        os.ftruncate(descriptor, 14)
        os.kill(os.getpid(), signal.SIGKILL)
    inherit(descriptor, target)

_files._inherit = dies_while_writing
generator = np.random.default_rng(0)
xs = [generator.standard_normal((5000, d), dtype=np.float32) for d in (4, 7)]
matrix = gramless.cka_matrix(xs, kernel=gramless.RBF(median_rows=500), checkpoint=file)
print(matrix.tobytes().hex())
"""


def test_killed_while_it_writes_it_goes_on(tmp_path):
    """SIGKILL in the middle of every second or third write, until the sweep ends."""
    file, done = tmp_path / "sweep.npz", []
    for survives in (0, 3, 1, 2, 2, 99):  # one is written before the work
        command = [sys.executable, "-c", KILLED, str(file), str(survives)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if survives == 99:
            break
        assert run.returncode == -signal.SIGKILL
        if file.exists():
            with np.load(file) as state:
                done.append(len(state["sigmas"]) + int(state["done"]))
    assert done == [2, 2, 3, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.npz"]
    generator = np.random.default_rng(0)
    xs = [generator.standard_normal((5000, d), dtype=np.float32) for d in (4, 7)]
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == gramless.cka_matrix(xs, kernel=RBF).tobytes().hex()


def test_writing_takes_little_of_the_time(case, tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "LEAST_PAUSE", 3600.0)
    written = []
    write = _checkpoint.Checkpoint.write
    monkeypatch.setattr(
        _checkpoint.Checkpoint, "write", lambda self, state: (written.append(1), write(self, state))
    )
    gramless.hsic_matrix(case[0], kernel=case[1], checkpoint=tmp_path / "sweep")
    assert len(written) == 2  # before the work and at the end


def refused(xs, file, match, **options):
    with pytest.raises(ValueError, match=f"hsic_matrix: {match}"):
        gramless.hsic_matrix(xs, checkpoint=file, **options)


def test_the_file_of_another_sweep_is_refused(tmp_path):
    xs, file = layers(50, [3, 4]), tmp_path / "sweep.npz"
    gramless.hsic_matrix(xs, checkpoint=file)
    before = file.read_bytes()
    start = "checkpoint sweep.npz belongs to another sweep, with "
    refused(xs, file, rf"{start}kernel 'Linear\(\)' instead of 'RBF\(", kernel="rbf")
    refused([*xs, xs[0]], file, rf"{start}layers \[2, 0\] instead of \[3, 0\]")
    refused([x[:40] for x in xs], file, rf"{start}shapes \[\[50, 3\], \[50, 4\]\]")
    refused([x.astype(np.float64) for x in xs], file, f"{start}dtypes")
    changed = [x.copy() for x in xs]
    changed[1][49, 3] = np.nextafter(changed[1][49, 3], np.float32(9))
    refused(changed, file, f"{start}values '[0-9a-f]{{32}}' instead of")
    rewritten(file, {"gramless": "0.0.1"})
    refused(xs, file, f"{start}gramless '0.0.1' instead of")
    assert file.read_bytes() != before
    file.write_bytes(before)
    assert np.array_equal(gramless.hsic_matrix(xs, checkpoint=file), gramless.hsic_matrix(xs))


def rewritten(file, changes):
    with np.load(file) as entries:
        found = dict(entries)
    found["problem"] = np.array(json.dumps(json.loads(str(found["problem"])) | changes))
    with file.open("wb") as stream:
        np.savez(stream, **found)


def test_a_damaged_file_is_refused(tmp_path):
    xs, file = layers(50, [3, 4]), tmp_path / "sweep.npz"
    gramless.hsic_matrix(xs, checkpoint=file)
    whole = file.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:-100]):
        file.write_bytes(content)
        refused(xs, file, r"checkpoint sweep.npz is damaged or no checkpoint \(")
    with file.open("wb") as stream:
        np.savez(stream, problem=np.array({"a": 1}, dtype=object))
    refused(xs, file, r"checkpoint sweep.npz is damaged or no checkpoint \(.*allow_pickle")
    file.write_bytes(whole)
    rewritten(file, {"format": "another"})
    refused(xs, file, r"checkpoint sweep.npz is damaged or no checkpoint \(another format\)")
    with np.load(file) as entries:
        found = dict(entries)
    with file.open("wb") as stream:
        np.savez(stream, **(found | {"sums": np.zeros(3)}))
    rewritten(file, {"format": "gramless.sweep"})
    refused(xs, file, "the checkpoint is damaged: 3 sums after part 2")


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path):
    xs = layers(50, [3, 4])
    for path in (tmp_path, tmp_path / "missing" / "sweep.npz"):
        refused(xs, path, "checkpoint must be a file in a folder that exists but is ")


def test_tensors_of_any_dtype_are_recognised(tmp_path):
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.bfloat16, torch.int8):
        xs = [torch.arange(20.0 * d).reshape(20, d).sin().mul(9).to(dtype) for d in (3, 2)]
        file = tmp_path / str(dtype)
        expected = gramless.cka_matrix(xs)
        assert torch.equal(gramless.cka_matrix(xs, checkpoint=file), expected)
        with pytest.raises(ValueError, match=r"cka_matrix: checkpoint .* with values"):
            gramless.cka_matrix([xs[0], xs[1].flip(0)], checkpoint=file)
    xs = [torch.randn(8, 2, requires_grad=True)]
    with pytest.raises(
        ValueError, match=r"cka_matrix: checkpoint and process_group are for layers without gradients"
    ):
        gramless.cka_matrix(xs, checkpoint=tmp_path / "followed")


def test_layouts_do_not_matter_to_the_file(tmp_path):
    xs, file = layers(50, [3, 4]), tmp_path / "sweep.npz"
    expected = gramless.hsic_matrix(xs, checkpoint=file)
    others = [np.asfortranarray(xs[0]), np.repeat(xs[1], 2, axis=1)[:, ::2]]
    assert np.array_equal(gramless.hsic_matrix(others, checkpoint=file), expected)


def test_another_folder_is_another_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gramless.hsic_matrix(layers(50, [3]), checkpoint="sweep")
    assert os.listdir() == ["sweep"]


def test_parts_that_are_not_there_are_refused():
    sweep = _core.Sweep(layers(50, [3]), [], [encode(Linear())], [], "unbiased", "auto")
    with pytest.raises(IndexError, match="there is no such part"):
        sweep.add_part(1, np.zeros(sweep.sums_length))
    with pytest.raises(ValueError, match="the sums have another length"):
        sweep.add_part(0, np.zeros(3))
    with pytest.raises(TypeError):
        sweep.add_part(0, np.zeros(sweep.sums_length, np.float32))
