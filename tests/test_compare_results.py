"""The output of `gramless compare`: JSON, best matches against chance, help, missing packages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import gramless
import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
from commands import read_csv, refused, run

PACKAGE = Path(gramless.__file__).parent


def save(path: Path, seed: int, layers: int, rows: int = 40, columns: int = 6) -> Path:
    rng = np.random.default_rng(seed)
    np.savez(path, **{f"layer{i}": rng.normal(size=(rows, columns)) for i in range(layers)})
    return path


def test_no_sentence_of_the_help_is_cut_off():
    said = run("--help").stdout
    assert re.search(r"^  compare +CKA between the layers of saved activations\.$", said, re.MULTILINE)
    for text in (said, run("compare", "--help").stdout, run("demo", "--help").stdout):
        assert "..." not in text.partition("Usage: ")[2].partition("\n")[2]


def test_the_help_has_examples_that_name_options_there_are():
    said = run("compare", "--help").stdout
    examples = said[said.index("Examples:") :]
    assert examples.count("\n  gramless compare ") >= 4 or examples.count("gramless compare ") >= 4
    for option in set(re.findall(r"--[a-z-]+", examples)):
        assert re.search(rf"^ +{option}\b", said[: said.index("Examples:")], re.MULTILINE), option


def test_json_holds_everything_that_was_found(tmp_path):
    a, b = save(tmp_path / "a.npz", 0, 3), save(tmp_path / "b.npz", 1, 2)
    options = ["--kernel", "rbf", "--scale", "0.5"]
    found = json.loads(run("compare", a, b, *options, "--json", "-").stdout)
    csv = read_csv(run("compare", a, b, *options, "--csv", "-").stdout)
    assert (found["layers_a"], found["layers_b"]) == csv[:2]
    np.testing.assert_array_equal(found["cka"], csv[2])
    assert (found["rows"], found["estimator"], found["gramless"]) == (40, "unbiased", gramless.__version__)
    assert (found["kernel"]["name"], found["kernel"]["scale"]) == ("rbf", 0.5)
    assert np.shape(found["z"]) == np.shape(found["pvalue_corrected"]) == (3, 2)
    plain = json.loads(run("compare", a, b, "--pvalue", "none", "--json", "-").stdout)
    assert (plain["pvalue"], plain["pvalue_method"]) == (None, None)


def test_json_has_null_for_what_is_no_number(tmp_path):
    np.savez(tmp_path / "a.npz", constant=np.ones((9, 2)), other=np.random.default_rng(0).normal(size=(9, 2)))
    run("compare", tmp_path / "a.npz", "--json", tmp_path / "out.json", "--quiet")
    assert json.loads((tmp_path / "out.json").read_text())["cka"][0] == [None, None]


def test_only_one_text_goes_to_standard_output(tmp_path):
    a = save(tmp_path / "a.npz", 0, 2)
    result = run("compare", a, "--json", "-", "--csv", "-")
    assert result.exit_code == 2
    assert "--csv and --json cannot both be standard output" in result.stderr
    assert "--json" in refused("compare", a, "--json", a)


def test_a_sample_of_rows_gives_the_bandwidth(tmp_path):
    a = save(tmp_path / "a.npz", 0, 2)
    options = ["--kernel", "rbf", "--median-rows", "10", "--csv", "-"]
    expected = gramless.cka_matrix(list(np.load(a).values()), kernel=gramless.RBF(median_rows=10))
    np.testing.assert_array_equal(read_csv(run("compare", a, *options).stdout)[2], expected)
    result = run("compare", a, "--median-rows", "10")
    assert "--median-rows needs --kernel rbf" in result.stderr
    assert "median_rows must be at least 2 but is 1" in refused(
        "compare", a, "--kernel", "rbf", "--median-rows", "1"
    )


def test_noise_has_no_best_match(tmp_path):
    a, b = save(tmp_path / "a.npz", 0, 3, rows=200), save(tmp_path / "b.npz", 1, 5, rows=200)
    assert run("compare", a, b).stdout.count("none beyond chance") == 3
    np.savez(b, **dict(np.load(a)))
    assert "none beyond chance" not in run("compare", a, b).stdout
    assert "none beyond chance" not in run("compare", a, b, "--pvalue", "none").stdout


def test_a_question_mark_that_leaves_out_longer_numbers_is_pointed_out(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", **{f"encoder.layer.{i}": rng.normal(size=(9, 2)) for i in range(12)})
    result = run("compare", tmp_path / "a.npz", "--layers", "encoder.layer.?", "--csv", "-")
    assert len(read_csv(result.stdout)[0]) == 10
    assert "note: a.npz: 'encoder.layer.?' leaves out 'encoder.layer.10' and 1 more: ? is one character" in (
        result.stderr
    )
    assert run("compare", tmp_path / "a.npz", "--layers", "encoder.layer.[0-9]", "--csv", "-").stderr == ""


def test_no_error_names_an_extra_of_a_package_that_no_index_has():
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r"pip install ['\"]gramless", path.read_text()), path
