"""Writing every kind of file on a full and on a read-only disk: the old file stays, and one sentence gives
the reason.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import gramless
import numpy as np
import pytest
from disks import fill, make_read_only, mounted, names_in

pytest.importorskip("click")
pytest.importorskip("rich")
pytest.importorskip("matplotlib").use("agg")
torch = pytest.importorskip("torch")

from commands import run  # noqa: E402
from gramless.plot import heatmap, save_figure  # noqa: E402
from gramless.results import LayerMatrix  # noqa: E402
from gramless.torch import compare_models  # noqa: E402

RNG = np.random.default_rng(0)
LAYERS = [RNG.standard_normal((40, d)) for d in (6, 3)]
NET = torch.nn.Linear(6, 5)
BATCHES = [torch.from_numpy(LAYERS[0]).float()]


def result():
    return LayerMatrix(np.eye(2), ["a", "b"], ["c", "d"])


def command(option):
    def write(folder, name):
        np.savez(folder.parent / "a.npz", first=LAYERS[0], second=LAYERS[1])
        done = run("compare", folder.parent / "a.npz", option, folder / name)
        if done.exit_code != 0:
            assert done.stderr.startswith("Error: ")
            raise OSError(done.stderr.strip())

    return write


def compare(folder, name):
    compare_models(NET, None, BATCHES, checkpoint=folder / name, progress=False)


WRITERS = {  # functions that write a file into a folder
    "result.csv": command("--csv"),
    "picture.png": command("--out"),
    "sweep": command("--checkpoint"),
    "frame.csv": lambda folder, name: result().to_csv(folder / name),
    "result.safetensors": lambda folder, name: result().save(folder / name),
    "result.json": lambda folder, name: result().save(folder / name),
    "figure.png": lambda folder, name: save_figure(heatmap([[1.0]]).figure, folder / name),
    "checkpoint": lambda folder, name: gramless.cka_matrix(LAYERS, checkpoint=folder / name),
    "checkpoint of models": compare,
}
CASES = [  # a checkpoint that is finished is not written again
    *((name, False) for name in WRITERS),
    *((name, True) for name in WRITERS if "." in name),
]


@pytest.mark.parametrize(("name", "existing"), CASES)
def test_a_full_disk_keeps_the_old_file(tmp_path, name, existing):
    with mounted(tmp_path / "disk") as disk:
        if existing:
            WRITERS[name](disk, name)
        before = (disk / name).read_bytes() if existing else None
        fill(disk)
        with pytest.raises((OSError, ValueError)) as found:
            WRITERS[name](disk, name)
        assert os.strerror(errno.ENOSPC) in str(found.value)
        assert name in str(found.value)
        assert "\n" not in str(found.value)
        assert names_in(disk) == [".filler", *[name] * existing]
        if existing:
            assert (disk / name).read_bytes() == before


@pytest.mark.parametrize(("name", "existing"), CASES)
def test_a_disk_that_cannot_be_written_to_is_refused(tmp_path, name, existing, monkeypatch):
    with mounted(tmp_path / "disk") as disk:
        if existing:
            WRITERS[name](disk, name)
        before = names_in(disk)
        make_read_only(disk)
        refuse_work(monkeypatch)
        with pytest.raises((OSError, ValueError)) as found:
            WRITERS[name](disk, name)
        assert os.strerror(errno.EROFS) in str(found.value)
        assert name in str(found.value)
        assert names_in(disk) == before


def refuse_work(monkeypatch):
    def works(*_arguments, **_options):
        pytest.fail("it was computed")

    monkeypatch.setattr("gramless._sweep.problem_of", works)
    monkeypatch.setattr(NET, "forward", works)


def test_a_finished_checkpoint_on_a_read_only_disk_gives_the_answer_or_a_sentence(tmp_path):
    with mounted(tmp_path / "disk") as disk:
        expected = gramless.cka_matrix(LAYERS, checkpoint=disk / "sweep")
        make_read_only(disk)
        with pytest.raises(ValueError, match=r"checkpoint.*cannot be written \(Read-only file system\)"):
            gramless.cka_matrix(LAYERS, checkpoint=disk / "sweep")
        assert np.array_equal(gramless.cka_matrix(LAYERS), expected)


@pytest.mark.parametrize("read_only", [True, False])
def test_activations_that_find_no_room_are_one_sentence(tmp_path, read_only):
    with mounted(tmp_path / "disk") as disk:
        make_read_only(disk) if read_only else fill(disk)
        with pytest.raises((OSError, ValueError), match=r"^(\[Errno 28\] )?compare_models: ") as found:
            compare_models(NET, None, BATCHES * 9, folder=disk, memory_budget=0, progress=False)
        reason = os.strerror(errno.EROFS if read_only else errno.ENOSPC)
        assert reason in str(found.value)
        assert str(disk) in str(found.value)
        assert names_in(disk) == ([] if read_only else [".filler"])


@pytest.mark.parametrize("options", [[], ["--csv", "-"]], ids=["table", "csv"])
def test_a_standard_output_without_room_is_one_sentence_and_one_that_is_closed_is_silent(
    tmp_path, options, monkeypatch
):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # what is left in a buffer is written at the end
    np.savez(tmp_path / "a.npz", first=LAYERS[0], second=LAYERS[1])
    command = [sys.executable, "-m", "gramless", "compare", str(tmp_path / "a.npz"), *options]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    sentence = "Error: standard output cannot be written (No space left on device)\n"
    assert (done.returncode, done.stderr) == (2, sentence)
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writes)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize(
    "command", ["info", "estimate 100 8", "estimate 100 8 --json", "demo --list", "--help"]
)
def test_every_command_ends_in_a_sentence_where_standard_output_has_no_room(command, buffered):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment |= {} if buffered else {"PYTHONUNBUFFERED": "1"}
    program = [sys.executable, "-m", "gramless", *command.split()]
    options = {"stderr": subprocess.PIPE, "text": True, "timeout": 60, "env": environment}
    with open("/dev/full", "w") as full:
        done = subprocess.run(program, stdout=full, check=False, **options)
    sentence = "Error: standard output cannot be written (No space left on device)\n"
    assert (done.returncode, done.stderr) == (2, sentence)
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(program, stdout=writes, check=False, **options)
    os.close(writes)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("read_only", [True, False])
def test_the_folder_of_the_demo(tmp_path, read_only):
    from gramless.cli import networks

    for package in networks.PACKAGES:
        pytest.importorskip(package)
    with mounted(tmp_path / "disk") as disk:
        make_read_only(disk) if read_only else fill(disk)
        before = names_in(disk)
        done = run("demo", "--images", 8, "--no-reference", "--out", disk)
        assert done.exit_code == 2
        assert os.strerror(errno.EROFS if read_only else errno.ENOSPC) in done.stderr.splitlines()[-1]
        assert names_in(disk) == before
