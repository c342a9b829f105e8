"""Without a module, a driver or a GPU everything else works, and CUDA arrays are refused with the reason."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from types import SimpleNamespace

import gramless
import numpy as np
import pytest
from gramless._arrays import cuda_status as status
from gramless.cli import info

GPU = ("NVIDIA H100", 9, 0, 80 * 10**9, None)


class CupyLike:
    """The interface of a GPU array library's arrays. Its memory is not accessed."""

    shape, dtype, ndim = (8, 5), np.dtype(np.float32), 2

    @property
    def __cuda_array_interface__(self):
        return {"shape": (8, 5), "typestr": "<f4", "data": (4096, False), "version": 3}


def tensor_like():
    """A tensor that claims to be on a GPU. Its memory is not accessed."""
    torch = pytest.importorskip("torch")

    class OnGpu(torch.Tensor):
        @classmethod
        def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
            raise AssertionError(f"{function} was called")

    return OnGpu._make_wrapper_subclass(OnGpu, (8, 5), dtype=torch.float32, device="cuda:0")


INPUTS = {"cupy": CupyLike, "torch": tensor_like}
every_input = pytest.mark.parametrize("make", INPUTS.values(), ids=INPUTS)
CALLS = {
    "hsic": lambda x: gramless.hsic(x, x),
    "cka": lambda x: gramless.cka(x, x, kernel="rbf"),
    "hsic_matrix": lambda x: gramless.hsic_matrix([x, x]),
    "cka_matrix": lambda x: gramless.cka_matrix([x], [x]),
    "median_distance": gramless.median_distance,
    "nt_xent": lambda x: gramless.nt_xent(x, x),
    "dcl": lambda x: gramless.dcl(x, x),
    "sup_con": lambda x: gramless.sup_con(x, [1] * 8),
    "info_nce": lambda x: gramless.info_nce(x, x),
    "row_log_sum_exp": gramless.row_log_sum_exp,
}


@pytest.fixture
def machine(monkeypatch):
    """Simulates a machine with such a module, given the result or the error of its `devices`."""
    monkeypatch.setattr(status, "_module", None)
    monkeypatch.setattr(status, "_devices", ())

    def of(found, architectures="80 90a-real"):
        if isinstance(found, ImportError):

            def load(name):
                raise found

            monkeypatch.setattr(status, "import_module", load)
        else:
            module = SimpleNamespace(devices=lambda: found, architectures=architectures)
            monkeypatch.setattr(status, "import_module", lambda name: module)

    return of


MACHINES = {
    "not built": (
        ModuleNotFoundError("No module named 'gramless._cuda'"),
        "this installation was built without CUDA (build it with GRAMLESS_CUDA=ON, or pypi)",
    ),
    "broken": (ImportError("libc.so.6"), "the module gramless._cuda cannot be loaded (libc.so.6)"),
    "no driver": ((0, 13000, [], "insufficient driver"), "no NVIDIA driver was found"),
    "old driver": (
        (12040, 13000, [], "insufficient driver"),
        "the NVIDIA driver supports CUDA 12.4 but this build needs CUDA 13.0; install driver 580 or newer",
    ),
    "no device": ((13000, 13000, [], "no CUDA-capable device"),
                  "the NVIDIA driver shows no GPU (no CUDA-capable device)"),
    "none left": ((13000, 13000, [], ""), "the NVIDIA driver shows no GPU"),
    "old device": ((13000, 13000, [("Tesla V100", 7, 0, 1, "too old")], ""), "Tesla V100: too old"),
}  # fmt: skip


@pytest.mark.parametrize("state", MACHINES)
def test_the_reason_is_one_sentence_and_every_function_gives_it(machine, state):
    found, reason = MACHINES[state]
    machine(found)
    assert not gramless.cuda_status()
    assert gramless.cuda_status().reason == reason
    assert gramless.cuda_status().built == (not isinstance(found, ImportError))
    assert info.facts()["cuda"] == f"not usable: {reason}"
    with pytest.raises(RuntimeError) as caught:
        gramless.cka(CupyLike(), CupyLike())
    assert str(caught.value) == f"cka: CUDA arrays cannot be used here, because {reason}"


@every_input
@pytest.mark.parametrize("function", CALLS)
def test_a_gpu_without_a_module_is_refused_whatever_the_library(machine, make, function):
    machine(MACHINES["no driver"][0])
    with pytest.raises(
        RuntimeError, match=f"^{function}: CUDA arrays cannot be used here, because no NVIDIA driver"
    ):
        CALLS[function](make())


def test_a_usable_machine_shows_its_devices(machine, monkeypatch):
    monkeypatch.delenv("GRAMLESS_HOPPER", raising=False)
    machine((13010, 13000, [GPU, ("NVIDIA T4", 7, 5, 16 * 10**9, "it is too old")], ""))
    found = gramless.cuda_status()
    assert found
    assert (found.built, found.toolkit, found.driver, found.reason) == (True, "13.0", "13.1", None)
    assert found.devices[0] == gramless.CudaDevice("NVIDIA H100", (9, 0), 80 * 10**9, None)
    assert found.architectures == ("80", "90a-real")
    assert info.facts()["cuda"] == (
        "13.0, driver of 13.1, on NVIDIA H100 (80 GB), NVIDIA T4 (16 GB); not verified on a GPU"
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.built = False


HOPPER = {
    "80 90a-real": "the kernels of GRAMLESS_HOPPER=1 are unverified: no GPU has run them",
    "80": "GRAMLESS_HOPPER=1 changes nothing, because this build has no code for 90a, only for 80",
    "90-real 100f-real": "GRAMLESS_HOPPER=1 changes nothing, because this build has no code for 90a, "
    "only for 90-real, 100f-real",
}


@pytest.mark.parametrize("architectures", HOPPER)
def test_the_status_says_which_kernels_hopper_gives(machine, monkeypatch, architectures):
    machine((13010, 13000, [GPU], ""), architectures)
    assert gramless.cuda_status().notes == (HOPPER[architectures],)
    monkeypatch.setenv("GRAMLESS_HOPPER", "1")
    assert info.facts()["cuda"].endswith(f"(GRAMLESS_HOPPER=1: {HOPPER[architectures]})")


def test_other_devices_and_unusable_ones_have_no_notes(machine):
    for found in ((13010, 13000, [("NVIDIA A100", 8, 0, 1, None)], ""), (0, 13000, [GPU], "")):
        machine(found, "80")
        assert gramless.cuda_status().notes == ()


def test_arrays_of_the_cpu_never_load_the_module(run_script):
    run_script(
        "import sys, numpy as np, gramless\n"
        "x = np.random.default_rng(0).standard_normal((8, 5))\n"
        "gramless.cka(x, x), gramless.nt_xent(x, x), gramless.median_distance(x)\n"
        "assert 'gramless._cuda' not in sys.modules"
    )


def test_this_machine_says_what_it_can():
    found = gramless.cuda_status()
    assert found.built == (importlib.util.find_spec("gramless._cuda") is not None)
    assert bool(found) == (found.reason is None)
    if found.built:
        assert found.toolkit.startswith("13.")
        assert "gramless._cuda" in sys.modules
    if found.built and found.driver is None:
        assert found.reason == "no NVIDIA driver was found"
