"""The record of a result: versions, commit, machine, layers, bandwidths, digests."""

from __future__ import annotations

import json
import platform
import re
import subprocess

import gramless
import numpy as np
import pytest
from gramless import RBF, LayerMatrix, cka_matrix, layer_matrix, median_distance
from gramless._record import ROOT_OF_TREE, _head, array_digest

N = 30


@pytest.fixture
def layers():
    generator = np.random.default_rng(0)
    return {"a": generator.standard_normal((N, 4)).astype(np.float32), "b": generator.standard_normal((N, 3))}


def test_the_environment_is_this_one():
    found = json.loads(json.dumps(gramless.environment()))
    assert found["gramless"] == gramless.__version__
    assert found["numpy"] == np.__version__
    assert found["python"] == platform.python_version()
    assert found["machine"]["isa"] == next(one.name for one in gramless.backends() if one.active)
    assert found["machine"]["threads"] == gramless.get_num_threads()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["date"])
    assert platform.node() not in json.dumps(found) or not platform.node()


def test_the_commit_is_the_one_that_git_says():
    try:
        command = ["git", "-C", str(ROOT_OF_TREE), "rev-parse", "HEAD"]
        head = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError, TypeError):
        pytest.skip("no working tree of git")
    assert gramless.environment()["commit"] == head


def test_git_keeps_its_head_in_several_ways(tmp_path):
    git, sha = tmp_path / ".git", "0123456789" * 4
    (git / "refs/heads").mkdir(parents=True)
    (git / "HEAD").write_text(f"{sha}\n")
    assert _head(git) == sha
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert _head(git) is None
    (git / "packed-refs").write_text(f"# pack-refs\n{'f' * 40} refs/heads/other\n{sha} refs/heads/main\n")
    assert _head(git) == sha
    (git / "refs/heads/main").write_text(f"{'a' * 40}\n")
    assert _head(git) == "a" * 40
    own = git / "worktrees/second"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/main\n")
    (own / "commondir").write_text("../..\n")
    (tmp_path / "second").mkdir()
    (tmp_path / "second/.git").write_text(f"gitdir: {own}\n")
    assert _head(tmp_path / "second/.git") == "a" * 40
    (git / "HEAD").write_bytes(b"\xff\xfe")
    assert _head(git) is None


@pytest.mark.parametrize("kernel", ["linear", RBF(scale=0.5), RBF(sigma=2.0), "laplace"], ids=str)
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_a_matrix_says_what_its_layers_were(layers, kernel, estimator):
    found = layer_matrix(layers, kernel=kernel, estimator=estimator, pvalue=None, rng=7).record
    assert (found["function"], found["n"], found["seed"]) == ("layer_matrix", N, 7)
    assert found["estimator"] == estimator
    assert found["layers_a"].keys() == layers.keys()
    assert "layers_b" not in found
    for name, x in layers.items():
        own = found["layers_a"][name]
        assert (own["shape"], own["rows"], own["dtype"]) == ([*x.shape], [*x.shape], str(x.dtype))
        assert own["pool"] is None
        scale = {"linear": None, "laplace": 1.0}.get(kernel, getattr(kernel, "scale", None))
        expected = None if scale is None else getattr(kernel, "sigma", None) or scale * median_distance(x)
        assert own["bandwidth"] == (expected and pytest.approx(expected, rel=1e-6))


def test_bandwidths_are_in_the_unit_of_the_data(layers):
    layers["a"] = layers["a"].astype(np.float64) * 1e200
    found = layer_matrix(layers, kernel="rbf", pvalue=None).record["layers_a"]
    assert found["a"]["bandwidth"] == pytest.approx(median_distance(layers["a"]), rel=1e-12)


def test_a_sweep_in_parts_has_the_same_record(layers, tmp_path):
    whole = layer_matrix(layers, kernel="rbf")
    parts = layer_matrix(layers, kernel="rbf", checkpoint=tmp_path / "sweep.npz")
    assert parts.record["layers_a"] == whole.record["layers_a"]


def test_pooled_layers_say_how(layers):
    tokens = {"t": np.zeros((N, 5, 3)) + np.arange(N)[:, None, None] % 7, "b": layers["b"]}
    found = layer_matrix(tokens, {"a": layers["a"]}, pool="last").record
    assert found["layers_a"]["t"] | {"bandwidth": 0} == {
        "shape": [N, 5, 3], "rows": [N, 3], "dtype": "float64", "pool": "last", "bandwidth": 0,
    }  # fmt: skip
    assert found["layers_a"]["b"]["pool"] is None
    assert found["layers_b"]["a"]["rows"] == [N, 4]
    assert cka_matrix(layers).record["function"] == "cka_matrix"


def test_digests_are_of_values_and_not_of_layouts(layers):
    x = layers["b"]
    assert array_digest(np.asfortranarray(x)) == array_digest(x) == array_digest(x.astype(">f8"))
    assert array_digest(x.astype(np.float32)) != array_digest(x)
    assert array_digest(x.reshape(-1, 1)) != array_digest(x)
    found = layer_matrix(layers, digests=True).record["layers_a"]
    assert found["b"]["sha256"] == array_digest(x)
    assert "sha256" not in layer_matrix(layers).record["layers_a"]["b"]


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_files_keep_the_record(layers, tmp_path, suffix):
    found = layer_matrix(layers, kernel="rbf", digests=True)
    found.save(tmp_path / f"x{suffix}")
    assert LayerMatrix.load(tmp_path / f"x{suffix}").record == found.record


def test_the_command_says_what_the_files_held(layers, tmp_path):
    pytest.importorskip("click")
    pytest.importorskip("rich")
    from commands import run

    maps = np.random.default_rng(1).standard_normal((N, 2, 3, 3))
    np.savez(tmp_path / "a.npz", maps=maps, **layers)
    options = ["--layout", "NCHW", "--kernel", "rbf", "--rng", "5", "--digests"]
    found = json.loads(run("compare", tmp_path / "a.npz", "--json", "-", *options).stdout)["record"]
    own = found["layers_a"]["maps"]
    assert (own["shape"], own["rows"], own["pool"]) == ([N, 2, 3, 3], [N, 2], "mean")
    assert own["bandwidth"] == pytest.approx(median_distance(maps.mean(axis=(2, 3))), rel=1e-5)
    assert found["layers_a"]["b"]["sha256"] == array_digest(layers["b"])
    assert (found["seed"], found["n"]) == (5, N)


def small_net(torch, seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(12, 2)
    )


@pytest.mark.parametrize("method", ["exact", "minibatch"])
def test_models_say_what_their_layers_were(method):
    torch = pytest.importorskip("torch")
    from gramless.torch import compare_models

    net, images = small_net(torch), torch.randn(24, 1, 4, 4, generator=torch.manual_seed(1))
    options = {"layers": ["0", "3"], "method": method, "kernel": "rbf", "progress": False, "rng": 3}
    found = compare_models(net, None, images.split(12), **options).record
    assert (found["function"], found["n"], found["seed"]) == ("compare_models", 24, 3)
    own = found["layers_a"]["0"]
    assert (own["shape"], own["layout"], own["pool"]) == ([12, 3, 2, 2], "NCHW", "mean")
    assert found["layers_a"]["3"]["layout"] == "NC"
    if method == "exact":
        rows = net[0](images).detach().mean(dim=(2, 3)).numpy()
        assert (own["rows"], own["dtype"]) == ([24, 3], "float32")
        assert own["bandwidth"] == pytest.approx(median_distance(rows), rel=1e-4)


def test_digests_tell_weights_and_data_apart():
    torch = pytest.importorskip("torch")
    from gramless.torch import compare_models

    images = torch.randn(24, 1, 4, 4, generator=torch.manual_seed(1))
    nets = [small_net(torch, seed) for seed in (0, 1)]
    options = {"layers": ["0"], "progress": False, "digests": True}
    found = compare_models(*nets, images.split(12), **options).record
    again = compare_models(*nets[::-1], (images + 1).split(12), **options).record
    assert found["weights_a"] == again["weights_b"] != found["weights_b"]
    assert found["data_a"] == found["data_b"] != again["data_a"]
    assert len(found["layers_a"]["0"]["sha256"]) == 64
    assert "weights_a" not in compare_models(*nets, images.split(12), layers=["0"], progress=False).record
