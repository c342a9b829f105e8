"""If a checkpoint cannot be written, the result is returned; a checkpoint replaces no other file."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import warnings

import gramless
import numpy as np
import pytest
from disks import full_disk, names_in
from gramless import _checkpoint

XS = [np.random.default_rng(0).standard_normal((700, d)).astype(np.float32) for d in (200, 3, 400)]


@pytest.fixture
def _written_at_once(monkeypatch):
    monkeypatch.setattr(_checkpoint, "LEAST_PAUSE", 0.0)
    monkeypatch.setattr(_checkpoint, "BUSY_SHARE", np.inf)


def test_a_checkpoint_is_written_before_the_work(tmp_path):
    file = tmp_path / "sweep"

    def progress(_done, _total):
        assert file.exists()

    gramless.cka_matrix(XS, checkpoint=file, progress=progress)
    with full_disk(), pytest.raises(ValueError, match=r"cka_matrix: checkpoint new cannot be written \(File"):
        gramless.cka_matrix(XS, checkpoint=tmp_path / "new", progress=lambda *_: pytest.fail("work began"))
    assert names_in(tmp_path) == ["sweep"]


def test_the_place_of_a_checkpoint_is_checked_before_values_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("gramless._sweep.problem_of", lambda *_: pytest.fail("values were read"))
    for path in (tmp_path / "missing" / "sweep", tmp_path, "/proc/sweep"):
        with pytest.raises(ValueError, match="cka_matrix: checkpoint"):
            gramless.cka_matrix(XS, checkpoint=path)


@pytest.mark.usefixtures("_written_at_once")
def test_a_callback_may_change_the_folder(tmp_path, monkeypatch):
    """Before, the state was written to the other folder, and the first file was not updated."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    gramless.cka_matrix(XS, checkpoint="sweep", progress=lambda *_: os.chdir(tmp_path / "elsewhere"))
    assert names_in(tmp_path) == ["elsewhere", "sweep"]
    assert names_in(tmp_path / "elsewhere") == []


@pytest.mark.usefixtures("_written_at_once")
def test_a_disk_that_fills_up_costs_no_answer(tmp_path):
    file, expected = tmp_path / "sweep", gramless.cka_matrix(XS)
    with full_disk(2**30) as _, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        fill = lambda *_: resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # noqa: E731
        found = gramless.cka_matrix(XS, checkpoint=file, progress=fill)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert np.array_equal(found, expected)
    [warning] = caught
    assert issubclass(warning.category, RuntimeWarning)
    assert "checkpoint sweep cannot be written ([Errno 27] File too large" in str(warning.message)
    assert np.array_equal(gramless.cka_matrix(XS, checkpoint=file), expected)  # the state kept first is whole
    assert names_in(tmp_path) == ["sweep"]


@pytest.mark.usefixtures("_written_at_once")
def test_the_exception_of_the_user_stays(tmp_path):
    class Mine(Exception):
        pass

    def fails(_done, _total):
        (tmp_path / "folder").rename(tmp_path / "gone")
        raise Mine

    (tmp_path / "folder").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Mine) as found:
            gramless.cka_matrix(XS, checkpoint=tmp_path / "folder" / "sweep", progress=fails)
    assert found.value.__cause__ is None


SHARED = """
import sys
import numpy as np
import gramless
from gramless import _checkpoint
_checkpoint.LEAST_PAUSE, _checkpoint.BUSY_SHARE = 0.0, np.inf
xs = [np.random.default_rng(0).standard_normal((5000, d), dtype=np.float32) for d in (4, 7)]
for _ in range(4):
    matrix = gramless.cka_matrix(xs, kernel=gramless.RBF(median_rows=500), checkpoint=sys.argv[1])
print(matrix.tobytes().hex())
"""


def test_two_processes_with_one_checkpoint_both_answer(tmp_path):
    command = [sys.executable, "-W", "error", "-c", SHARED, str(tmp_path / "sweep")]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **streams) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0] == outputs[1]
    assert names_in(tmp_path) == ["sweep"]


def test_a_checkpoint_follows_symbolic_links(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "sweep").symlink_to(tmp_path / "disk" / "real")
    expected = gramless.cka_matrix(XS, checkpoint=tmp_path / "sweep")
    assert (tmp_path / "sweep").is_symlink()
    assert (tmp_path / "disk" / "real").is_file()
    again = gramless.cka_matrix(XS, checkpoint=tmp_path / "sweep", progress=lambda *_: pytest.fail("again"))
    assert np.array_equal(again, expected)


def test_a_checkpoint_that_is_a_device_or_compressed_is_refused_unread(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("pipe", "link"):
        with pytest.raises(ValueError, match=r"damaged or no checkpoint .*not a regular file"):
            gramless.cka_matrix(XS, checkpoint=tmp_path / name)
    zeros = np.zeros(10**7)
    with (tmp_path / "bomb").open("wb") as stream:
        np.savez_compressed(stream, problem=np.array("{}"), sigmas=zeros, done=0, sums=zeros)
    with pytest.raises(ValueError, match=r"damaged or no checkpoint .*compressed or too long"):
        gramless.cka_matrix(XS, checkpoint=tmp_path / "bomb")
