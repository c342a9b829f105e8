"""The command line besides compare: the demo, info, environment variables; the examples run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gramless
import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
from commands import read_csv, refused, run
from gramless.cli import info, networks
from gramless.cli.demo import DEMOS, PANELS, Sweep, meaning
from gramless.cli.networks import Activations

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("name", ["compare", "demo"])
@pytest.mark.parametrize("threads", [0, 1025])
def test_a_number_of_threads_that_cannot_be_is_refused(name, threads):
    result = run(name, *(["any.npz"] if name == "compare" else []), "--threads", threads)
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
    print(gramless.independence_test(x, x, method="permutation", n_resamples=9, rng=0, progress=True).n)
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("missing", "said"),
    [("click", "9"), ("rich.progress", "a progress bar needs rich: pip install rich")],
)
def test_progress_needs_rich_and_nothing_else(run_script, missing, said):
    assert run_script(PROGRESS, missing) == f"{said}\n"


def test_a_missing_extra_is_one_sentence():
    code = "import sys; sys.modules['rich'] = None; import gramless.cli; gramless.cli.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "gramless: the command line needs rich: pip install rich\n"


def test_a_demo_without_its_packages_names_them(monkeypatch):
    monkeypatch.setitem(networks.PACKAGES, "no_such_module", "no-such-package")
    sentence, _, command = refused("demo").strip().partition(": pip install ")
    assert "no-such-package" in sentence.rpartition(" needs ")[2].split(", ")
    assert "no-such-package" in command.split()


def test_the_demo_counts_stages_from_the_matrix():
    network = Activations(["stem", "1.1", "2.1"], [0, 1, 2], [])

    def line(matrix: np.ndarray) -> str:
        sweep = Sweep(network, network, gramless.Linear(), matrix, matrix < 0.1)
        return meaning(dict.fromkeys(PANELS, sweep))[0]

    assert "2 of 2 non-stem layers" in line(np.eye(3))
    assert "1 of 2 non-stem layers" in line(np.array([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]]))


def test_the_other_demos_are_listed_and_run(tmp_path):
    listed = [line.split()[0] for line in run("demo", "--list").stdout.splitlines()]
    assert listed[0] == "networks"
    for name in listed[1:]:
        for module in DEMOS[name].packages:
            pytest.importorskip(module)
        result = run("demo", name, "--out", tmp_path / "demo", "--threads", "1")
        assert result.exit_code == 0, result.output
        assert (tmp_path / "demo" / f"{name}.png").stat().st_size > 10_000
    assert "4 of 4 transitions found" in run("demo", "mix", "--out", tmp_path).stdout


def test_the_demo_runs_offline(tmp_path):
    for module in networks.PACKAGES:
        pytest.importorskip(module)
    result = run("demo", "--out", tmp_path / "demo", "--images", "33")
    assert result.exit_code == 0, result.output
    assert "of 17 non-stem layers" in result.stdout
    assert "0 of 414 cells beyond chance" in result.stdout
    for name in PANELS:
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
