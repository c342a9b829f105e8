"""Every public function with every option, for arrays and tensors of a device: the CPU's result or an error.

The table names each argument of each function, so that a new function or option needs a line here.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gramless
import numpy as np
import pytest
from gramless import RBF, Laplace
from gramless.kernels import FORMULAS

GPU_CASES = Path(__file__).parents[1] / "benchmarks/gpu/cases.py"
N = 12


def inputs():
    """Rows by name: views, layers, a queue, rows most of which are equal."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, 5))
    tied = np.zeros((N, 5))
    tied[:3] = rng.standard_normal((3, 5))
    return {
        "x": x,
        "y": x + 0.5 * rng.standard_normal((N, 5)),
        "layer": x[:, :3] + rng.standard_normal((N, 3)),
        "queue": rng.standard_normal((7, 5)),
        "other queue": rng.standard_normal((7, 3)),
        "tied": tied,
        "large": 1e12 * x,
        "labels": np.arange(N) % 4,
        "sentences": rng.standard_normal((N, 6, 3)),
        "mask": np.arange(6) < 2 + np.arange(N)[:, None] % 4,
    }


@dataclass(frozen=True)
class Use:
    """One call: names of inputs, options (names of inputs stand for them), and expected errors."""

    function: str
    arrays: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # "arrays", "tensors": a pattern of the message
    warns: bool = False  # on the CPU only: a device would have to be waited for

    @property
    def name(self):
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.function}({', '.join(map(str, self.arrays))}; {options})"


def use(function, *arrays, refused=None, warns=False, **options):
    return Use(function, arrays, options, refused or {}, warns)


PAIR = [
    {}, {"estimator": "biased"}, {"estimator": "debiased"}, {"kernel": "rbf"}, {"kernel": "laplace"},
    {"kernel": RBF(sigma=2.0)}, {"kernel": RBF(scale=0.5, include_diagonal=True)},
    {"kernel": Laplace(sigma=2.0), "kernel_y": "linear"}, {"kernel": RBF(median_rows=5_000)},
]  # fmt: skip
MATRIX = [options for options in PAIR if "kernel_y" not in options]
LOSS = [{}, {"temperature": 0.3}, {"normalize": False}, {"reduction": "sum"}, {"reduction": "none"},
        {"exclude_above": 0.5}, {"exclude_hardest": 0.2}]  # fmt: skip
MASK = np.add.outer(np.arange(N), np.arange(N)) % 3 == 0
MATRICES = ("hsic_matrix", "cka_matrix")
ON_HOST = "checkpoint and process_group are for layers in the CPU's memory; copy them there"
RANKED = "exclude_easiest is computed on the CPU only; copy the embeddings there"
IDS_ON_CPU = "ids are compared on the CPU only; copy the embeddings there"
GUIDED_ON_CPU = "a guide's rows are compared on the CPU only; copy embeddings and guide there"
PAIRS_ON_CPU = "the sigmoid loss of pairs is computed on the CPU only; copy a and b there"
ROWS_ON_CPU = "nearest rows are computed on the CPU only; copy the layers there"
X_ON_CPU = "it is computed on the CPU only; copy x there"
ON_CPU = "squared distances are compared on the CPU only; copy the layers there"

TABLE = [
    *(use(name, "x", "layer", **options) for name in ("hsic", "cka") for options in PAIR),
    use("cka", "large", "layer", kernel="rbf"),
    *(use(name, "x", "layer", progress=print) for name in ("hsic", "cka")),
    *(use(name, "x", "layer", checkpoint="CHECKPOINT", refused={"arrays": ON_HOST, "tensors": ON_HOST})
      for name in ("hsic", "cka")),
    *(use("distance_correlation", "x", "layer", **options,
          refused={"arrays": "computed on the CPU only", "tensors": "computed on the CPU only"})
      for options in ({}, {"exponent": 0.5}, {"bias_corrected": True})),
    *(use(name, ["x", "layer", "y"], **options) for name in MATRICES for options in MATRIX),
    *(use(name, ["x", "layer"], ["y"], kernel="rbf") for name in MATRICES),
    *(use(name, ["x", "y"], progress=print) for name in MATRICES),
    *(use(name, ["x", "y"], checkpoint="CHECKPOINT", refused={"arrays": ON_HOST, "tensors": ON_HOST})
      for name in MATRICES),
    *(use("median_distance", "x", **options)
      for options in ({}, {"include_diagonal": True}, {"progress": print})),
    use("median_distance", "tied", warns=True),
    *(use(name, "x", "y", **options) for name in ("nt_xent", "dcl") for options in LOSS),
    *(use(name, "x", other, exclude_easiest=0.2, refused={"arrays": RANKED, "tensors": RANKED})
      for name, other in (("nt_xent", "y"), ("dcl", "y"), ("info_nce", "y"), ("sup_con", "labels"))),
    *(use("info_nce", "x", "y", **options)
      for options in [*LOSS, {"symmetric": True}, {"queue": "queue"}, {"negatives": "queue"}]),
    use("info_nce", "x", "y", ids="labels", refused={"arrays": IDS_ON_CPU, "tensors": IDS_ON_CPU}),
    *(use("guided_info_nce", "x", "y", guide_anchors="y", guide_positives="x", **options,
          refused={"arrays": GUIDED_ON_CPU, "tensors": GUIDED_ON_CPU})
      for options in ({"temperature": 0.3}, {"normalize": False}, {"reduction": "none"},
                      {"negatives": "queue", "guide_negatives": "queue"},
                      {"margin": 0.1, "margin_strategy": "relative"},
                      {"contrast_anchors": False, "contrast_positives": False})),
    *(use("moco", "x", "y", "queue", **options)
      for options in ({}, {"temperature": 0.3}, {"normalize": False}, {"reduction": "none"})),
    *(use("sup_con", "x", "labels", **options) for options in LOSS),
    use("sup_con", "x", mask=MASK),
    *(use("uni_cl", "x", "y", "labels", **options)
      for options in ({}, {"temperature": 0.3}, {"normalize": False}, {"symmetric": False},
                      {"reduction": "sum"}, {"reduction": "none"})),
    use("sup_con", "x", "labels", ignore_index=0),
    *(use("row_log_sum_exp", "x", **options)
      for options in ({}, {"y": "queue"}, {"temperature": 0.3}, {"normalize": True}, {"exclude_self": True})),
    *(use("similarity_distillation", "x", "y", "queue", **options)
      for options in ({}, {"temperature": 0.3}, {"teacher_temperature": 0.1}, {"normalize": False},
                      {"reduction": "none"})),
    use("similarity_distillation", "x", "layer", "queue", "other queue"),
    *(use("siglip", "x", "y", logit_scale=2.0, logit_bias=-1.0, **options,
          refused={"arrays": PAIRS_ON_CPU, "tensors": PAIRS_ON_CPU})
      for options in ({}, {"normalize": False}, {"reduction": "none"})),
    *(use("independence_test", "x", "layer", **options)
      for options in ({"rng": 0}, {"method": "chi2"}, {"method": "gamma", "kernel": "laplace"},
                      {"method": "permutation", "n_resamples": 30, "rng": 0, "kernel_y": "linear"},
                      {"progress": print, "rng": 0})),
    *(use("mmd", "x", "queue", **options)
      for options in ({}, {"estimator": "biased"}, {"kernel": "linear"}, {"kernel": "laplace"})),
    *(use("rsa", "x", "layer", **options, refused={"arrays": ON_CPU, "tensors": ON_CPU})
      for options in ({}, {"metric": "sqeuclidean", "comparison": "cosine"})),
    *(use("rsa_matrix", ["x", "layer"], **options, refused={"arrays": ON_CPU, "tensors": ON_CPU})
      for options in ({}, {"metric": "sqeuclidean", "comparison": "cosine", "progress": print})),
    use("rsa_matrix", ["x"], ["layer"], refused={"arrays": ON_CPU, "tensors": ON_CPU}),
    *(use(name, "x", "layer", 3, progress=print, refused={"arrays": ROWS_ON_CPU, "tensors": ROWS_ON_CPU})
      for name in ("mutual_knn", "cknna")),
    use("mutual_knn_test", "x", "layer", 3, n_resamples=9, rng=0, progress=print,
        refused={"arrays": ROWS_ON_CPU, "tensors": ROWS_ON_CPU}),
    use("mutual_knn_matrix", ["x"], ["layer"], 3, progress=print,
        refused={"arrays": ROWS_ON_CPU, "tensors": ROWS_ON_CPU}),
    *(use(name, "x", **options, refused={"arrays": X_ON_CPU, "tensors": X_ON_CPU})
      for name, options in (("uniformity", {}), ("uniformity", {"t": 0.5, "normalize": False}),
                            ("participation_ratio", {}), ("vendi_score", {}),
                            ("vendi_score", {"kernel": "laplace", "q": 2}))),
    *(use("alignment", "x", "y", **options,
          refused={"arrays": "copy x and y there", "tensors": "copy x and y there"})
      for options in ({}, {"alpha": 1.0, "normalize": False})),
    *(use("two_sample_test", "x", "queue", **options)
      for options in ({"method": "permutation", "n_resamples": 30, "rng": 0, "progress": print},
                      {"method": "gamma", "kernel": "linear"})),
    *(use("layer_matrix", ["x", "layer", "y"], **options)
      for options in ({}, {"kernel": "rbf", "names": ["a", "b", "c"]},
                      {"estimator": "biased", "pvalue": None},
                      {"pvalue": "permutation", "n_resamples": 9, "rng": 0, "progress": print},
                      {"digests": True}, {"level": 0.9})),
    use("layer_matrix", ["x"], ["y"]),
    use("layer_matrix", ["x", "y"], statistic="mutual_knn", k=3,
        refused={"arrays": ROWS_ON_CPU, "tensors": ROWS_ON_CPU}),
    *(use("layer_matrix", ["sentences", "sentences"], mask="mask", **options)
      for options in ({"pool": "mean"}, {"rows": "tokens"})),
    use("layer_matrix", ["sentences"], ["sentences"], mask="mask", mask_y="mask", pool="last"),
    use("layer_matrix", ["x", "y"], checkpoint="CHECKPOINT",
        refused={"arrays": ON_HOST, "tensors": ON_HOST}),
]  # fmt: skip
# Functions without arrays, and classes, which have tests of their own.
WITHOUT_ARRAYS = {kernel.__name__ for kernel in FORMULAS.values()} | {
    "CudaDevice", "CudaStatus", "LayerMatrix", "MinibatchCKA", "MutualKnnResult", "IndependenceResult",
    "Estimate", "TwoSampleResult", "__version__", "analysis", "backends", "compat", "cuda_status",
    "environment", "estimate", "get_num_threads", "get_workspace_limit", "plot", "reference",
    "set_num_threads", "set_workspace_limit", "torch", "value_and_grad",
}  # fmt: skip
SKIPPED_OPTIONS = {"process_group"}  # several processes: tests/test_torch_distributed.py
every_use = pytest.mark.parametrize("used", TABLE, ids=lambda used: used.name)


def test_the_table_has_every_function_and_every_option():
    functions = set(gramless.__all__) - WITHOUT_ARRAYS
    assert {used.function for used in TABLE} == functions
    for function in functions:
        parameters = list(inspect.signature(getattr(gramless, function)).parameters)
        uses = [used for used in TABLE if used.function == function]
        named = {name for used in uses for name in used.options}
        positional = max(len(used.arrays) for used in uses)
        missing = set(parameters[positional:]) - named - SKIPPED_OPTIONS
        assert not missing, f"{function}: {', '.join(sorted(missing))}"


def test_the_gpu_run_compares_every_function_with_float64():
    source = GPU_CASES.read_text(encoding="utf-8")
    functions = {"MinibatchCKA"} | {used.function for used in TABLE if not used.refused}
    assert {name for name in functions if f"gl.{name}" not in source} == set()


def call(used, of, tmp_path, *, grads=False):
    """The result of the function for `of(array)` of every array, or its gradients."""
    found = inputs()

    def given(value):
        if isinstance(value, list):
            return [given(one) for one in value]
        if isinstance(value, str) and value in found:
            return of(found[value])
        return str(tmp_path / "sweep.npz") if isinstance(value, str) and value == "CHECKPOINT" else value

    options = {name: given(value) for name, value in used.options.items()}
    function = getattr(gramless, used.function)
    return (gramless.value_and_grad(function) if grads else function)(*map(given, used.arrays), **options)


def numbers(device, found):
    """All numbers of an answer in one row."""
    if isinstance(found, (tuple, list)):
        return np.concatenate([numbers(device, part) for part in found if part is not None] or [np.empty(0)])
    if isinstance(found, gramless.LayerMatrix):
        return np.ravel(found.matrix)
    if hasattr(found, "pvalue"):
        return np.array([found.statistic, found.pvalue])
    return np.ravel(np.asarray(device.numpy(found) if hasattr(found, "shape") else found, np.float64))


def expected_of(used, device, tmp_path):
    if used.warns:
        with pytest.warns(RuntimeWarning):
            return numbers(device, call(used, lambda x: x, tmp_path))
    return numbers(device, call(used, lambda x: x, tmp_path))


def check(used, device, of, kind, tmp_path):
    if used.options.get("method") == "gamma":
        pytest.importorskip("scipy")
    if kind in used.refused:
        with pytest.raises(
            (TypeError, ValueError, NotImplementedError, RuntimeError), match=used.refused[kind]
        ) as caught:
            call(used, of, tmp_path)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(used.function)
        return
    found = numbers(device, call(used, of, tmp_path))
    # Halves of the distances and logits of float64 rows are added in another order.
    np.testing.assert_allclose(found, expected_of(used, device, tmp_path), rtol=1e-8, atol=1e-11)


@every_use
def test_arrays_of_a_device(device, used, tmp_path):
    check(used, device, lambda x: device.array(x), "arrays", tmp_path)


DIFFERENTIABLE = [
    used for used in TABLE
    if hasattr(getattr(gramless, used.function), "describe") and not used.refused
    and used.function not in (*MATRICES, "row_log_sum_exp") and used.options.get("reduction") != "none"
]  # fmt: skip


@pytest.mark.parametrize("used", DIFFERENTIABLE, ids=lambda used: used.name)
def test_gradients_of_arrays_of_a_device(device, used, tmp_path):
    of_laplace = "laplace" in str(used.options).lower()
    if of_laplace:
        with pytest.raises(
            RuntimeError, match=f"^{used.function}: gradients of kernels of the distance itself"
        ):
            call(used, device.array, tmp_path, grads=True)
        return
    found = numbers(device, call(used, device.array, tmp_path, grads=True))
    expected = numbers(device, call(used, lambda x: x, tmp_path, grads=True))
    assert len(found) > N
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-11)


@every_use
def test_tensors_of_a_device(device, used, tmp_path):
    pytest.importorskip("torch")
    check(used, device, lambda x: device.tensor(x), "tensors", tmp_path)


REFUSED_GRADIENTS = {
    "cka": lambda x, y: gramless.cka(x, y, kernel="laplace"),
    "hsic": lambda x, y: gramless.hsic(x, y, kernel="rbf", kernel_y=Laplace(sigma=1.0)),
    "cka_matrix": lambda x, y: gramless.cka_matrix([x, y], kernel="laplace").sum(),
}


@pytest.mark.parametrize("function", REFUSED_GRADIENTS)
def test_gradients_of_laplace_are_refused_in_one_sentence(device, function):
    torch = pytest.importorskip("torch")
    x, y = (device.tensor(inputs()[name], requires_grad=True) for name in ("x", "layer"))
    value = REFUSED_GRADIENTS[function](x, y)
    with pytest.raises(
        RuntimeError, match=f"^{function}: gradients of kernels of the distance itself"
    ) as caught:
        torch.autograd.grad(value, (x, y))
    assert "\n" not in str(caught.value)
    assert math.isfinite(value.item())
