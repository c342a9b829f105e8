"""Calls that a GPU cannot compute raise one error before anything is launched."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless._arrays import cuda_status as status
from gramless._arrays import libraries


def rows(count=8, width=5, seed=0):
    return np.random.default_rng(seed).standard_normal((count, width))


def refused(error, sentence, call, *arguments, **options):
    """By the function, and where it has gradients also with them."""
    with_gradients = [gramless.value_and_grad(call)] if hasattr(call, "describe") else []
    for each in (call, *with_gradients):
        with pytest.raises(error, match=sentence) as caught:
            each(*arguments, **options)
        assert "\n" not in str(caught.value)


PAIRS = {
    "hsic": gramless.hsic,
    "cka": gramless.cka,
    "nt_xent": gramless.nt_xent,
    "dcl": gramless.dcl,
    "info_nce": gramless.info_nce,
    "independence_test": gramless.independence_test,
    "row_log_sum_exp": gramless.row_log_sum_exp,
}
every_pair = pytest.mark.parametrize("function", PAIRS)


@every_pair
def test_arrays_of_the_host_and_of_a_device_do_not_mix(device, function):
    x = device.array(rows())
    refused(TypeError, f"^{function}: .* is on a GPU but .* is not", PAIRS[function], x, rows())
    refused(TypeError, f"^{function}: .* is not", PAIRS[function], rows(), x)


@every_pair
def test_dtypes_must_be_one_that_kernels_have(device, function):
    x = device.array(rows())
    both = f"^{function}: on a GPU all arrays must have one dtype but .* has float64 and .* has float32$"
    refused(TypeError, both, PAIRS[function], x, x.astype(np.float32))
    integers = f"^{function}: .* has dtype int32 but on a GPU must have one of float32, float64, float16"
    refused(TypeError, integers, PAIRS[function], x.astype(np.int32), x)


@every_pair
def test_shapes_must_fit(device, function):
    x = device.array(rows())
    refused(ValueError, f"^{function}: .* must have 2 dimensions", PAIRS[function], x[0], x)
    refused(ValueError, f"^{function}: .* is empty, its shape is \\(0, 5\\)", PAIRS[function], x[:0], x)
    if function != "row_log_sum_exp":
        refused(ValueError, f"^{function}: .* has 8 rows but .* has 7", PAIRS[function], x, x[:7])
    if function not in ("hsic", "cka", "independence_test"):
        refused(ValueError, f"^{function}: .* has 5 columns but .* has 4", PAIRS[function], x, x[:, :4])


@every_pair
def test_arrays_must_lie_on_one_device(device, function):
    if device.kind == "cuda":
        pytest.skip("there may be one")
    x, y = device.array(rows()), device.array(rows())
    y.number = 1
    refused(ValueError, f"^{function}: .* is on device 0 but .* is on device 1$", PAIRS[function], x, y)


def test_too_few_rows_are_refused(device):
    x = device.array(rows(3))
    refused(ValueError, "^cka: the unbiased estimator needs at least 4 rows but x has 3$", gramless.cka, x, x)
    refused(ValueError, "^median_distance: at least 2 rows", gramless.median_distance, x[:1])
    refused(
        ValueError, "^independence_test: .* at least 4 rows but x has 3$", gramless.independence_test, x, x
    )
    refused(
        ValueError,
        "^MinibatchCKA.update: the unbiased .* xs\\[0\\] has 3$",
        gramless.MinibatchCKA().update,
        [x],
    )


def test_labels_must_be_integers_one_for_each_row(device):
    z = device.array(rows())
    for labels in (np.arange(7), np.arange(16).reshape(8, 2)):
        refused(
            ValueError,
            "^sup_con: (z has 8 rows but labels has 7|labels must have 1 dimension)",
            gramless.sup_con,
            z,
            device.array(labels),
        )
    refused(TypeError, "^sup_con: labels must be integers", gramless.sup_con, z, device.array(np.arange(8.0)))
    refused(ValueError, "^sup_con: z has 8 rows but labels has 7", gramless.sup_con, z, [1] * 7)


def test_what_an_operation_refuses_names_the_function(device, monkeypatch):
    if device.kind == "cuda":
        pytest.skip("nothing is refused there")

    class Module:
        def hsic(self, *arguments):
            raise RuntimeError("too many blocks")

    monkeypatch.setattr(status, "_module", Module())
    x = device.array(rows())
    refused(RuntimeError, "^cka: too many blocks$", gramless.cka, x, x)


def test_a_device_that_cannot_be_used_is_refused_where_another_can(device, monkeypatch):
    old = gramless.CudaDevice("NVIDIA T4", (7, 5), 16 * 10**9, "it is too old")
    monkeypatch.setattr(status, "_module", object())  # which would be asked for an operation
    monkeypatch.setattr(status, "_devices", (old,))
    x, sentence = device.array(rows()), "device 0, NVIDIA T4, cannot be used, because it is too old$"
    refused(RuntimeError, f"^cka: {sentence}", gramless.cka, x, x)
    refused(RuntimeError, f"^nt_xent: {sentence}", gramless.nt_xent, x, x)
    refused(RuntimeError, f"^median_distance: {sentence}", gramless.median_distance, x)
    refused(RuntimeError, f"^mmd: {sentence}", gramless.mmd, x, x)


def test_arrays_of_unknown_libraries_need_one_that_reads_them(device, monkeypatch):
    class Foreign:
        __cuda_array_interface__ = None

    monkeypatch.setattr(libraries, "_cupy", lambda: None)
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None)
    sentence = (
        "^hsic: x is a Foreign on a GPU, which is read through cupy or torch, but neither is installed$"
    )
    refused(RuntimeError, sentence, gramless.hsic, Foreign(), Foreign())


def test_arrays_of_other_libraries_are_read_by_the_array_library_of_the_device(device, monkeypatch):
    class Foreign:
        __cuda_array_interface__ = None

        def __init__(self, array):
            self.array = array

    if device.kind == "cuda":
        pytest.skip("cupy reads no arrays without memory")
    monkeypatch.setattr(type(device.library), "imported", lambda self, x: x.array)
    x, y = (device.array(rows(seed=seed)) for seed in (0, 1))
    by_x = gramless.value_and_grad(gramless.hsic, "x")
    for call in (gramless.cka, gramless.nt_xent, lambda x, y: by_x(x, y)[1]):
        np.testing.assert_array_equal(device.numpy(call(Foreign(x), Foreign(y))), device.numpy(call(x, y)))


def test_dlpack_tells_what_lies_on_a_gpu():
    class Foreign:
        def __init__(self, kind):
            self.kind = kind

        def __dlpack_device__(self):
            return self.kind, 0

    found = [kind for kind in range(20) if gramless._arrays.is_on_device(Foreign(kind))]
    assert found == [2, 13]
