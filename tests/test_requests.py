"""A model gets a matching copy of its inputs; requests that must fail raise an error before models run."""

from __future__ import annotations

import copy
import os
import signal

import numpy as np
import pytest
from by_definition import debiased_cka

torch = pytest.importorskip("torch")

from gramless.torch import TrainingCKA, compare_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
PICTURES = torch.randn(64, 3, 5, 5, generator=torch.Generator().manual_seed(1))


def seeded(make):
    torch.manual_seed(0)
    return make()


class InPlace(nn.Module):
    """Changes its input before a layer reads it."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.mul_(3).relu_())


def compared(*arguments, **options):
    return compare_models(*arguments, progress=False, **options)


@pytest.mark.parametrize("kind", ["tensor", "tuple", "mapping", "channels last", "forward", "array"])
def test_a_model_that_changes_its_input_changes_nothing_else(kind):
    wide = kind == "channels last"
    make = (lambda: nn.Conv2d(3, 8, 3)) if wide else (lambda: nn.Linear(6, 8))
    x = PICTURES.contiguous(memory_format=torch.channels_last) if wide else X.clone()
    changing, plain = InPlace(seeded(make)), nn.Sequential(seeded(make))
    options = {"layers": ["layer"], "layers_b": ["0"]}
    batch = {"tuple": (x, torch.zeros(64)), "mapping": {"x": x}, "array": x.numpy()}.get(kind, x)
    if kind in ("forward", "array"):
        options["forward"] = lambda model, batch: model(torch.as_tensor(batch))
    if kind == "mapping":
        plain.forward = lambda x: nn.Sequential.forward(plain, x)
    before = x.clone()
    found = compared(changing, plain, [batch], **options).matrix
    expected = compared(changing, plain, [copy.deepcopy(batch)], [copy.deepcopy(batch)], **options).matrix
    assert np.array_equal(found, expected)
    assert torch.equal(x, before)
    other_way = {"layers": ["0"], "layers_b": ["layer"]} | {k: options[k] for k in options if k == "forward"}
    assert compared(plain, changing, [batch], **other_way).matrix == pytest.approx(found, abs=1e-6)
    with torch.no_grad():
        rows = [seeded(make)(y).flatten(2).mean(2) if wide else seeded(make)(y) for y in (x.mul(3).relu(), x)]
    import gramless

    assert found == pytest.approx(float(gramless.cka(*rows)), abs=1e-5)


def test_the_answer_beside_a_model_that_changes_its_input_is_not_that_of_the_changed_input():
    changing, plain = InPlace(seeded(lambda: nn.Linear(6, 8))), nn.Sequential(nn.Linear(6, 8), nn.Tanh())
    found = compared(changing, plain, [X.clone()], layers=["layer"], layers_b=["1"]).matrix[0, 0]
    with torch.no_grad():
        first, x, changed = changing(X.clone()), plain(X), plain(X.mul(3).relu())
    assert found == pytest.approx(debiased_cka(first, x), abs=1e-5)
    assert abs(debiased_cka(first, changed) - debiased_cka(first, x)) > 0.05


def test_a_tensor_that_occurs_twice_is_one_tensor_in_the_copy():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 4)

        def forward(self, a, b):
            assert a.data_ptr() == b.data_ptr()
            return self.layer(a)

    assert compared(Twice(), None, [{"a": X, "b": X}]).matrix.shape == (1, 1)


def test_watching_a_training_does_not_change_its_batches():
    net, x = InPlace(nn.Linear(6, 8)), X.clone()
    watch = TrainingCKA(net, [x], layers=["layer"])
    assert watch(1)["layer"] == pytest.approx(1, abs=1e-5)
    assert torch.equal(x, X)


class Needs(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x, labels, label=None, *, target=None):
        assert label is not None
        assert target is not None
        return self.layer(x + labels)


class Takes(Needs):
    def forward(self, **batch):
        assert {"x", "labels", "label", "target", "extra"} == set(batch)
        return self.layer(batch["x"])


@pytest.mark.parametrize("model", [Needs, Takes])
def test_a_model_gets_every_entry_that_it_takes(model):
    batch = {"x": X, "labels": torch.ones(64, 1), "label": 1, "target": X, "extra": 2, "id": torch.arange(64)}
    if model is Needs:
        assert compared(model(), None, [batch]).matrix.shape == (1, 1)
    assert compared(model(), None, [batch], sample_ids="id").matrix.shape == (1, 1)


def test_sample_ids_reach_a_model_that_names_them():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 4)

        def forward(self, x, id):
            return self.layer(x * id[:, None])

    batch = {"x": X, "id": torch.arange(64)}
    assert compared(Named(), None, [batch], sample_ids="id").matrix.shape == (1, 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("options", [{}, {"method": "minibatch"}, {"memory_budget": 0}])
def test_copies_of_a_model_in_two_dtypes_are_compared_on_one_loader(dtype, options):
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    other = copy.deepcopy(net).to(dtype)
    for batches in (X.split(16), [{"input": part} for part in X.double().split(16)]):
        for pair in ((net, other), (other, net)):
            matrix = compared(*pair, list(batches), **options).matrix
            assert np.diag(matrix) == pytest.approx(1, abs=2e-3)
    assert {parameter.dtype for parameter in other.parameters()} == {dtype}


def test_integers_keep_their_dtype():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Embedding(9, 4, dtype=torch.bfloat16)

        def forward(self, tokens, mask):
            assert mask.dtype == torch.bool
            return self.layer(tokens).float() * mask[..., None]

    batch = {"tokens": torch.arange(64)[:, None] % 9, "mask": torch.ones(64, 1, dtype=torch.bool)}
    assert compared(Tokens(), None, [batch]).matrix.shape == (1, 1)


# Requests that must fail


class NeverRuns(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x):
        pytest.fail("a model ran")


def loader(rows, **options):
    return DataLoader(TensorDataset(X[:rows]), **({"batch_size": 8} | options))


HOPELESS = {
    "a folder of the checkpoint": (
        loader(64),
        {"checkpoint": "missing/sweep"},
        "checkpoint must be a file in",
    ),
    "a checkpoint in /proc": (loader(64), {"checkpoint": "/proc/sweep"}, "cannot be written"),
    "a checkpoint that is none": (loader(64), {"checkpoint": __file__}, "damaged or no checkpoint"),
    "small batches": (
        loader(64, batch_size=3),
        {"method": "minibatch"},
        "batch 0 has 3 examples but unbiased",
    ),
    "a small last batch": (loader(19), {"method": "minibatch"}, "batch 2 has 3 examples but unbiased HSIC"),
    "a small batch of a list": ([X[:8], X[:3]], {"method": "minibatch"}, "batch 1 has 3 examples"),
    "no batch": (loader(3, drop_last=True), {}, "the dataloader has no batches"),
    "too few examples": (loader(3), {}, "needs at least 4 examples but there are 3"),
    "a missing folder": (
        loader(64),
        {"folder": "missing"},
        "folder must be a folder that exists but is 'miss",
    ),
    "a folder that is closed": (loader(64), {"folder": "/proc"}, "folder '/proc' cannot be written to"),
    "a budget below zero": (loader(64), {"memory_budget": -1}, "memory_budget must be a number of bytes"),
    "a budget in words": (loader(64), {"memory_budget": "2 GB"}, "memory_budget must be a number of bytes"),
    "a forward that is none": (loader(64), {"forward": "x"}, "forward must be a callable"),
    "a folder that is no path": (loader(64), {"folder": 3}, "folder must be a path but is 3"),
    "a checkpoint that is no path": (loader(64), {"checkpoint": 3}, "checkpoint must be a path but is 3"),
    "a device that is none": (
        loader(64),
        {"device": "nowhere"},
        "device must be a torch device but is 'now",
    ),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_what_cannot_end_well_is_refused_before_a_model_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    batches, options, sentence = HOPELESS[name]
    with pytest.raises((ValueError, TypeError), match=f"^compare_models: .*{sentence}"):
        compared(NeverRuns(), None, batches, **options)
    assert os.listdir() == []


def test_loaders_that_differ_in_their_last_batch_are_refused_before_a_model_runs():
    with pytest.raises(
        ValueError, match="batch 7 has 8 examples in the first dataloader but 7 in the second"
    ):
        compared(NeverRuns(), NeverRuns(), loader(64), loader(63))


def test_a_model_may_change_the_working_folder(tmp_path, monkeypatch):
    """Paths of files are relative to the folder at the time of the call."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "activations").mkdir()
    monkeypatch.chdir(tmp_path)
    model = seeded(lambda: nn.Linear(6, 3))
    model.register_forward_pre_hook(lambda *_: os.chdir(tmp_path / "elsewhere"))
    kept = {"checkpoint": "sweep", "folder": "activations", "memory_budget": 0}
    compare_models(model, None, DataLoader(X, 16), progress=False, **kept)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["activations", "elsewhere", "sweep"]
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_checkpoint_of_another_kernel_is_refused_before_a_model_runs(tmp_path):
    net = nn.Linear(6, 4)
    compared(net, None, loader(64), checkpoint=tmp_path / "sweep")
    with pytest.raises(ValueError, match="checkpoint sweep belongs to another sweep, with kernel"):
        compared(NeverRuns(), None, loader(64), checkpoint=tmp_path / "sweep", kernel="rbf")


STORING = """
import os, signal, sys
import torch

if child := os.fork():
    print(os.waitpid(child, 0)[1])
    sys.exit()

from gramless.torch import compare_models
from torch import nn

def batches():
    for index in range(9):
        if index == 5:
            open(os.path.join(sys.argv[1], "reached"), "w").close()
            os.kill(os.getpid(), getattr(signal, sys.argv[2]))
        yield torch.randn(64, 6)

compare_models(nn.Linear(6, 400), None, batches(), folder=sys.argv[1], memory_budget=0, progress=False)
"""


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_temporary_files_do_not_survive_the_process(run_with_torch, tmp_path, how):
    ended = int(run_with_torch(STORING, tmp_path, how, timeout=120))
    assert os.WTERMSIG(ended) == getattr(signal, how)
    assert os.listdir(tmp_path) == ["reached"]


@pytest.mark.parametrize("method", ["exact", "minibatch"])
@pytest.mark.parametrize(
    "loader",
    [torch.ones(9, 7, 6), np.ones((9, 7, 6), np.float32), {"x": torch.ones(9, 6)}],
    ids=lambda x: type(x).__name__,
)
def test_a_batch_is_no_dataloader(loader, method):
    """Its rows, 7 tokens each, would be 9 batches of 7 examples."""
    with pytest.raises(TypeError, match=r"would be read as batches; pass \[x\] for one batch"):
        compare_models(torch.nn.Linear(6, 5), None, loader, method=method, progress=False)
