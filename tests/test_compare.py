"""`gramless compare`: correct values, and exit code 2 with one error for requests that it cannot fulfil."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import gramless
import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
from commands import read_csv, refused, run


@pytest.fixture
def layers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(40, 6)).astype(np.float32)
    return {
        "conv1": first,
        "conv2": np.tanh(first @ rng.normal(size=(6, 9))),
        "head": rng.normal(size=(40, 3)),
    }


@pytest.fixture
def saved(tmp_path, layers) -> Path:
    np.savez(tmp_path / "A.npz", **layers)
    return tmp_path / "A.npz"


def test_a_comparison_is_kept_in_a_checkpoint(saved, layers, tmp_path):
    options = "compare", saved, "--csv", "-", "--checkpoint", tmp_path / "sweep.npz"
    for _ in range(2):
        *_, matrix = read_csv(run(*options).stdout)
        assert np.array_equal(matrix, gramless.cka_matrix(list(layers.values())))
    assert "checkpoint sweep.npz belongs to another sweep" in refused(*options, "--kernel", "rbf")


def test_the_csv_holds_every_digit_of_the_matrix(saved, layers):
    result = run("compare", saved, "--csv", "-")
    names_a, names_b, matrix = read_csv(result.stdout)
    assert names_a == names_b == list(layers)
    np.testing.assert_array_equal(matrix, gramless.cka_matrix(list(layers.values())))


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize(
    ("options", "kernel"),
    [
        ([], gramless.Linear()),
        (["--kernel", "rbf"], gramless.RBF()),
        (["--kernel", "rbf", "--scale", "0.5"], gramless.RBF(scale=0.5)),
        (["--kernel", "rbf", "--sigma", "2"], gramless.RBF(sigma=2.0)),
    ],
)
def test_options_reach_the_computation(saved, layers, options, kernel, estimator):
    result = run("compare", saved, saved, "--csv", "-", "--estimator", estimator, *options)
    values = list(layers.values())
    expected = gramless.cka_matrix(values, values, kernel=kernel, estimator=estimator)
    np.testing.assert_array_equal(read_csv(result.stdout)[2], expected)


def test_every_format_gives_the_same_numbers(tmp_path, saved, layers):
    np.savez_compressed(tmp_path / "B.npz", **layers)
    (tmp_path / "folder").mkdir()
    for name, values in layers.items():
        np.save(tmp_path / "folder" / f"{name}.npy", values)
    sources = [tmp_path / "B.npz", tmp_path / "folder"]
    try:
        from safetensors.numpy import save_file
    except ImportError:
        pass
    else:
        save_file(layers, tmp_path / "C.safetensors")
        sources.append(tmp_path / "C.safetensors")
    expected = run("compare", saved, "--layers", "conv*", "--layers", "head", "--csv", "-").stdout
    for source in sources:
        result = run("compare", source, "--layers", "conv*", "--layers", "head", "--csv", "-")
        assert result.stdout == expected


def test_bfloat16_tensors_are_compared(tmp_path, layers):
    torch = pytest.importorskip("torch")
    pytest.importorskip("ml_dtypes")
    save_file = pytest.importorskip("safetensors.torch").save_file
    tensors = {name: torch.from_numpy(values).bfloat16() for name, values in layers.items()}
    save_file(tensors, tmp_path / "B.safetensors")
    result = run("compare", tmp_path / "B.safetensors", "--csv", "-")
    expected = gramless.cka_matrix(list(tensors.values()))  # in the tensors' compute type, float32
    np.testing.assert_array_equal(read_csv(result.stdout)[2].astype(np.float32), expected)


def test_layers_of_each_side_are_chosen_by_globs(saved):
    result = run("compare", saved, "--layers", "conv*", "--layers-b", "head", "--csv", "-")
    names_a, names_b, matrix = read_csv(result.stdout)
    assert (names_a, names_b, matrix.shape) == (["conv1", "conv2"], ["head"], (2, 1))


def test_globs_of_layers_cross_dots_only_with_two_stars(tmp_path):
    names = ["blocks.0", "blocks.0.mlp", "blocks.1", "relu[1]"]
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "A.npz", **{name: rng.standard_normal((9, 2)) for name in names})

    def chosen(glob: str) -> list[str]:
        return read_csv(run("compare", tmp_path / "A.npz", "--layers", glob, "--csv", "-").stdout)[0]

    assert chosen("blocks.*") == ["blocks.0", "blocks.1"]
    assert chosen("blocks.**") == names[:3]
    assert chosen("**.mlp") == ["blocks.0.mlp"]
    assert chosen("relu[1]") == ["relu[1]"]
    said = refused("compare", tmp_path / "A.npz", "--layers", "*mlp")
    assert "'**mlp' matches 'blocks.0.mlp': * stays within one level, ** crosses dots" in said


def test_debiased_is_unbiased_at_the_command_line_too(saved):
    one, other = (
        run("compare", saved, "--estimator", word, "--csv", "-") for word in ("debiased", "unbiased")
    )
    assert one.exit_code == 0
    assert one.stdout == other.stdout


def test_the_table_names_the_best_match_of_every_layer(saved, layers):
    result = run("compare", saved)
    assert result.exit_code == 0
    assert "n = 40" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("│")]
    best = {row[1]: (row[3], row[5]) for row in rows}
    matrix = gramless.cka_matrix(list(layers.values()))
    assert list(best) == list(layers)
    assert best["conv1"] == ("conv2", f"{matrix[0, 1]:.4f}")  # a layer does not match itself
    assert best["conv2"] == ("conv1", f"{matrix[0, 1]:.4f}")


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_a_heatmap_is_drawn(tmp_path, saved, suffix):
    pytest.importorskip("matplotlib")
    result = run("compare", saved, "--out", tmp_path / f"map{suffix}", "--title", "$odd {title}", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / f"map{suffix}").stat().st_size > 1000


def test_more_dimensions_are_flattened_with_a_note_or_pooled(tmp_path, saved):
    maps = np.random.default_rng(0).normal(size=(40, 3, 2, 2))
    np.savez(tmp_path / "maps.npz", maps=maps)
    flattened = run("compare", tmp_path / "maps.npz", saved, "--csv", "-", "--pool", "none")
    assert "note: maps.npz: 1 layer has more than two dimensions and is flattened" in flattened.stderr
    mean = ("--quiet",)
    pooled = run("compare", tmp_path / "maps.npz", saved, "--csv", "-", *mean, "--layout", "NCHW")
    expected = gramless.cka_matrix([maps.mean(axis=(2, 3))], list(np.load(saved).values()))
    np.testing.assert_array_equal(read_csv(pooled.stdout)[2], expected)
    last = run("compare", tmp_path / "maps.npz", saved, "--csv", "-", *mean, "--layout", "m*=NHWC")
    expected = gramless.cka_matrix([maps.mean(axis=(1, 2))], list(np.load(saved).values()))
    np.testing.assert_array_equal(read_csv(last.stdout)[2], expected)


def test_pooling_saved_layers_needs_their_layout(tmp_path, saved):
    np.savez(tmp_path / "maps.npz", maps=np.zeros((40, 3, 2, 2)))
    sentence = refused("compare", tmp_path / "maps.npz", saved)
    assert (
        "layer 'maps' has shape (40, 3, 2, 2), and a file does not state which dimension is features"
        in sentence
    )
    assert "pass --layout NCHW or NHWC, or maps=NCHW for this layer, to average over positions" in sentence
    assert sentence.endswith("or --pool none to keep all positions")
    sentence = refused("compare", tmp_path / "maps.npz", saved, "--pool", "mean", "--layout", "NHW")
    assert "--layout: layout must have one capital letter for each dimension" in sentence


def test_different_row_counts_are_loud(tmp_path, saved):
    np.savez(tmp_path / "B.npz", other=np.zeros((39, 2)))
    sentence = refused("compare", saved, tmp_path / "B.npz")
    assert "layer 'conv1' of A.npz has 40 rows but layer 'other' of B.npz has 39" in sentence


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".pt"])
def test_damaged_files_are_one_sentence(tmp_path, suffix):
    (tmp_path / f"x{suffix}").write_bytes(b"\x93NUMPY\x01\x00\xff\xff" + bytes(100))
    assert f"x{suffix}" in refused("compare", tmp_path / f"x{suffix}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "nope*"], "no layer matches 'nope*'"),
        (["--out", "map.xyz"], "'map.xyz' must end in .png, .pdf"),
        (["--out", "no/such/folder/map.png"], "there is no folder"),
        (["--csv", "no/such/folder/map.csv"], "there is no folder"),
        (["--kernel", "rbf", "--scale", "0"], "scale must be positive and finite but is 0.0"),
        (["--kernel", "rbf", "--sigma", "-1"], "sigma must be positive and finite but is -1.0"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(saved, options, message):
    assert message in refused("compare", saved, *options)


def test_bandwidths_need_the_rbf_kernel(saved):
    result = run("compare", saved, "--scale", "0.5")
    assert result.exit_code == 2
    assert "--scale needs --kernel rbf" in result.stderr


def test_a_constant_layer_is_nan_with_one_warning(tmp_path, layers):
    np.savez(tmp_path / "B.npz", **layers, dead=np.zeros((40, 2)))
    result = run("compare", tmp_path / "B.npz", "--csv", "-")
    assert result.exit_code == 0
    assert result.stderr.count("warning: ") == 1
    assert "(layer 'dead' of B.npz: its rows are constant, or equal but for one)" in result.stderr
    assert np.isnan(read_csv(result.stdout)[2][3]).all()


def test_too_few_rows_are_one_sentence(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    assert "at least 4 rows but layer 'x' of x.npy has 3" in refused("compare", tmp_path / "x.npy")


def test_a_layer_alone_has_no_others(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(9))
    assert "best match in B" in run("compare", tmp_path / "x.npy").stdout


INTERRUPTED = """
import sys
from gramless.cli import main

print("started", flush=True)
sys.argv = ["gramless", "compare", sys.argv[1], "--kernel", "rbf"]
main()
"""


def test_an_interrupt_ends_the_command_within_a_second(tmp_path, a_second):
    """A call that takes a minute if it is not interrupted."""
    for name in "ab":
        np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", np.float32, (100_000, 256))
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "started\n"
            time.sleep(1.5)
            assert process.poll() is None
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 1
            assert time.monotonic() - sent < a_second
            assert process.stderr.read().strip() == "Aborted!"
        finally:
            process.kill()
