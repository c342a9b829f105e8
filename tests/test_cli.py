"""The command line: right numbers, one sentence and exit code 2 for what cannot be done; examples run."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import gramless
import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
from click.testing import CliRunner
from gramless.cli import info, networks
from gramless.cli.demo import Sweep, meaning
from gramless.cli.main import gramless as command
from gramless.cli.networks import Activations

EXAMPLES = Path(__file__).parents[1] / "examples"


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


def run(*arguments: object):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """The one sentence with which the command ends."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    sentence = result.stderr.strip()
    assert sentence.startswith("Error: ")
    assert "\n" not in sentence
    return sentence


def read_csv(text: str) -> tuple[list[str], list[str], np.ndarray]:
    header, *rows = csv.reader(io.StringIO(text))
    return [row[0] for row in rows], header[1:], np.array([list(map(float, row[1:])) for row in rows])


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


def test_the_table_names_the_best_match_of_every_layer(saved, layers):
    result = run("compare", saved)
    assert result.exit_code == 0
    assert "n = 40" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("│")]
    best = {row[1]: (row[3], row[5]) for row in rows}
    matrix = gramless.cka_matrix(list(layers.values()))
    assert list(best) == list(layers)
    assert best["conv1"] == ("conv2", f"{matrix[0, 1]:.4f}")  # a layer is no match for itself
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
    flattened = run("compare", tmp_path / "maps.npz", saved, "--csv", "-")
    assert "note: maps.npz: 1 layer has more than two dimensions and is flattened" in flattened.stderr
    pooled = run("compare", tmp_path / "maps.npz", saved, "--csv", "-", "--pool", "mean", "--quiet")
    expected = gramless.cka_matrix([maps.mean(axis=(2, 3))], list(np.load(saved).values()))
    np.testing.assert_array_equal(read_csv(pooled.stdout)[2], expected)


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
        (["--out", "map.xyz"], "'map.xyz' is not a kind of picture"),
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
    assert "not defined for layer 'dead' of B.npz, whose HSIC" in result.stderr
    assert np.isnan(read_csv(result.stdout)[2][3]).all()


def test_too_few_rows_are_one_sentence(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    assert "at least 4 rows but layer 'x' of x.npy has 3" in refused("compare", tmp_path / "x.npy")


def test_a_layer_alone_has_no_others(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(9))
    assert "best match in B" in run("compare", tmp_path / "x.npy").stdout


@pytest.mark.parametrize("name", ["compare", "demo"])
@pytest.mark.parametrize("threads", [0, 1025])
def test_a_number_of_threads_that_cannot_be_is_refused(saved, name, threads):
    result = run(name, *([saved] if name == "compare" else []), "--threads", threads)
    assert result.exit_code == 2
    assert f"{threads} is not in the range 1<=x<=1024" in result.stderr


@pytest.mark.parametrize("value", ["abc", "0", "-1", "3x", "1025", "99999999999999999999"])
def test_an_environment_that_makes_no_sense_is_one_sentence(value):
    threads = f"GRAMLESS_NUM_THREADS must be a number from 1 to 1024 but is '{value}'"
    for variable, sentence in [
        ("GRAMLESS_NUM_THREADS", threads),
        ("GRAMLESS_BACKEND", f"GRAMLESS_BACKEND is '{value}' but this CPU and build support "),
    ]:
        done = subprocess.run(
            [sys.executable, "-m", "gramless", "info"],
            env=os.environ | {variable: value},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.startswith(f"Error: {sentence}")
        assert done.stderr.count("\n") == 1


def test_an_empty_environment_variable_is_none(run_script):
    source = "import gramless; gramless.get_num_threads(); gramless.backends(); print('fine')"
    assert run_script(source, GRAMLESS_NUM_THREADS="", GRAMLESS_BACKEND="") == "fine\n"


def test_info_says_what_is_installed():
    result = run("info")
    assert result.exit_code == 0
    assert set(info.facts()) >= {"gramless", "backend", "threads", "cuda", "numpy", "torch"}
    for name, value in info.facts().items():
        assert name in result.stdout
        assert value in result.stdout


def test_the_module_runs_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "gramless", "--version"], capture_output=True, text=True, check=True
    )
    assert gramless.__version__ in done.stdout


PROGRESS = """
import sys
sys.modules[sys.argv[1]] = None
import gramless, numpy as np
x = np.random.default_rng(0).normal(size=(9, 2))
try:
    gramless.cka_matrix([x], progress=True)
    gramless.median_distance(x, progress=True)
    print(gramless.independence_test(x, x, method="permutation", permutations=9, progress=True).n)
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("missing", "said"),
    [("click", "9"), ("rich.progress", "a progress bar needs rich: pip install 'gramless[cli]'")],
)
def test_progress_needs_rich_and_nothing_else(run_script, missing, said):
    assert run_script(PROGRESS, missing) == f"{said}\n"


def test_a_missing_extra_is_one_sentence():
    code = "import sys; sys.modules['rich'] = None; import gramless.cli; gramless.cli.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "gramless: the command line needs rich: pip install 'gramless[cli]'\n"


def test_a_demo_without_its_packages_names_the_extra(monkeypatch):
    monkeypatch.setitem(networks.PACKAGES, "no_such_module", "no-such-package")
    assert "needs no-such-package: pip install 'gramless[demo]'" in refused("demo")


def test_the_demo_counts_stages_from_the_matrix():
    network = Activations(["stem", "1.1", "2.1"], [0, 1, 2], [])

    def line(matrix: np.ndarray) -> str:
        sweep = Sweep(network, network, gramless.Linear(), matrix)
        return meaning({"linear": sweep, "rbf": sweep, "control": sweep})[0]

    assert "2 of 2 non-stem layers" in line(np.eye(3))
    assert "1 of 2 non-stem layers" in line(np.array([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]]))


def test_the_demo_runs_offline(tmp_path):
    for module in networks.PACKAGES:
        pytest.importorskip(module)
    result = run("demo", "--out", tmp_path / "demo", "--images", "33")
    assert result.exit_code == 0, result.output
    assert "of 17 non-stem layers" in result.stdout
    for name in ("linear", "rbf", "control"):
        names_a, names_b, matrix = read_csv((tmp_path / "demo" / f"{name}.csv").read_text())
        assert (len(names_a), len(names_b), matrix.shape) == (18, 23, (18, 23))
    assert (tmp_path / "demo" / "demo.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("name", "needs", "options"),
    [
        ("saved_activations_to_heatmap", "matplotlib", ["--rows", "200", "--out", "map.png"]),
        ("independence_test", "scipy", ["--rows", "100", "--permutations", "50"]),
        ("million_rows_from_disk", "numpy", ["--rows", "20000", "--columns", "16"]),
    ],
)
def test_examples_run(tmp_path, name, needs, options):
    pytest.importorskip(needs)
    if name == "million_rows_from_disk" and not Path("/proc/self/status").exists():
        pytest.skip("measures memory through /proc")
    script = [sys.executable, str(EXAMPLES / f"{name}.py"), *options]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
