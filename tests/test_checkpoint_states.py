"""A checkpoint of another sweep raises an error; after a kill, the sweep resumes from its checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import gramless
import numpy as np
import pytest
from disks import names_in
from gramless import RBF, _files

XS = [np.random.default_rng(0).standard_normal((700, d)).astype(np.float32) for d in (200, 3, 400)]
KERNEL = RBF(median_rows=300)


@pytest.fixture
def half_done(tmp_path):
    """A sweep that was interrupted between two of its parts."""

    class Stop(Exception):
        pass

    def stops(done, total):
        if done > 0.8 * total:
            raise Stop

    with pytest.raises(Stop):
        gramless.cka_matrix(XS, kernel=KERNEL, checkpoint=tmp_path / "sweep", progress=stops)
    return tmp_path / "sweep"


def rewrite(path, **changes):
    """Change entries of a checkpoint, or of the problem in it."""
    with np.load(path) as found:
        entries = dict(found)
    problem = json.loads(str(entries["problem"]))
    problem |= {name: value for name, value in changes.items() if name in problem}
    entries |= {name: value for name, value in changes.items() if name not in problem}
    with path.open("wb") as stream:
        np.savez(stream, **entries | {"problem": json.dumps(problem)})


def entries_of(path):
    with np.load(path) as found:
        return {name: str(values.tolist()) for name, values in found.items()}


def swept(path, xs=XS, kernel=KERNEL, function=gramless.cka_matrix, **options):
    return function(xs, kernel=kernel, checkpoint=path, **options)


OTHERS = {  # another sweep, and the difference that the error names
    "kernel": {"kernel": "rbf"},
    "shapes": {"xs": [x[:, :-1] for x in XS]},
    "fewer rows": {"xs": [x[:-1] for x in XS]},
    "layers": {"xs": XS[:2]},
    "dtypes": {"xs": [x.astype(np.float64) for x in XS]},
    "values": {"xs": [XS[0], XS[1] + 1, XS[2]]},
    "order": {"xs": XS[::-1]},
    "two sides": {"ys": XS},
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_checkpoint_of_another_sweep_is_refused_and_kept(half_done, name):
    before = half_done.read_bytes()
    with pytest.raises(
        ValueError, match=r"^cka_matrix: checkpoint sweep belongs to another sweep, with \w+ .* remove it"
    ):
        swept(half_done, **OTHERS[name])
    assert half_done.read_bytes() == before


DAMAGED = {
    "gramless": "9.9.9",
    "format": "something else",
    "sigmas": [-1.0] * 3,
    "more sigmas": [1.0] * 4,
    "sigmas of text": ["a"] * 3,
    "done": -1,
    "done too far": 10**6,
    "done in part": 0.5,
    "done as text": "one",
    "sums": np.zeros(3),
    "sums of text": ["a"],
    "sums in rows": np.zeros((2, 2)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_checkpoint_that_cannot_be_is_refused(half_done, name):
    entry = {"more": "sigmas"}.get(name.split()[0], name.split()[0])
    rewrite(half_done, **{entry: DAMAGED[name]})
    before = entries_of(half_done)
    with pytest.raises(ValueError, match=r"^cka_matrix: .*checkpoint") as found:
        swept(half_done)
    assert "\n" not in str(found.value)
    assert entries_of(half_done) == before


def test_settings_that_change_no_number_may_change(half_done):
    """Estimators share sums, and so do CKA and HSIC; results do not depend on threads and workspace."""
    kept = half_done.read_bytes()
    for function in (gramless.cka_matrix, gramless.hsic_matrix):
        for estimator in ("unbiased", "biased"):
            expected = function(XS, kernel=KERNEL, estimator=estimator)
            half_done.write_bytes(kept)
            gramless.set_num_threads(1)
            found = swept(half_done, function=function, estimator=estimator)
            gramless.set_num_threads(3)
            assert np.array_equal(found, expected)


LONG = """
import sys
import numpy as np
import gramless
from gramless import _checkpoint
_checkpoint.LEAST_PAUSE, _checkpoint.BUSY_SHARE = 0.0, np.inf
gramless.set_num_threads(1)
xs = [np.random.default_rng(0).standard_normal((6000, d), dtype=np.float32) for d in (4, 7)]
kernel = gramless.RBF(median_rows=500)
print("begun", flush=True)
matrix = gramless.cka_matrix(xs, kernel=kernel, checkpoint=sys.argv[1])
print(matrix.tobytes().hex())
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    command = [sys.executable, "-c", LONG, str(tmp_path_factory.mktemp("whole") / "sweep")]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_process_that_is_killed_leaves_a_file_to_resume_from(undisturbed, tmp_path, how):
    command = [sys.executable, "-c", LONG, str(tmp_path / "sweep")]
    for wait in np.linspace(0, 0.15, 6):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"begun\n"
            time.sleep(wait)
            process.send_signal(getattr(signal, how))
            process.communicate(timeout=60)
        if (tmp_path / "sweep").exists():
            with np.load(tmp_path / "sweep") as state:  # complete, whenever the signal arrived
                assert int(state["done"]) >= 0
    assert subprocess.run(command, capture_output=True, check=True).stdout == undisturbed
    assert names_in(tmp_path) == ["sweep"]


BETWEEN = """
import os, signal, sys
from gramless import _files
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
_files.write_file(sys.argv[1], b"new")
"""


def test_what_a_signal_leaves_between_two_calls_goes_with_the_next_write(tmp_path):
    for target in ("result.csv", "other.csv"):
        (tmp_path / target).write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", BETWEEN, str(tmp_path / "result.csv")], timeout=60)
    assert done.returncode == -signal.SIGTERM
    assert (tmp_path / "result.csv").read_bytes() == b"old"
    assert len(names_in(tmp_path)) == 3
    _files.write_file(tmp_path / "result.csv", b"newer")
    assert names_in(tmp_path) == ["other.csv", "result.csv"]
    assert (tmp_path / "result.csv").read_bytes() == b"newer"


def test_a_new_file_has_its_own_name_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *_: pytest.fail("a name in between"))
    _files.write_file(tmp_path / "new.csv", b"new")
    assert names_in(tmp_path) == ["new.csv"]


MANY = """
import sys
from gramless._files import write_file
for i in range(400):
    write_file(sys.argv[1], sys.argv[2].encode() * 1000)
"""


def test_processes_that_write_one_file_leave_one_of_theirs_and_no_other(tmp_path):
    target = tmp_path / "result.csv"
    writers = [subprocess.Popen([sys.executable, "-c", MANY, str(target), letter]) for letter in "abc"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    assert target.read_bytes() in {letter * 1000 for letter in (b"a", b"b", b"c")}
    assert names_in(tmp_path) == ["result.csv"]
