"""compare_models raises one clear error for each request that it cannot compute."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.unused, self.last = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x):
        return self.last(self.first(x).relu())


def loader(x=X, **options):
    return DataLoader(TensorDataset(x), **({"batch_size": 8} | options))


def refused(*arguments, error=ValueError, **options):
    with pytest.raises(error) as found:
        compare_models(*arguments, progress=False, **options)
    sentence = str(found.value)
    assert sentence.startswith("compare_models: ")
    assert "\n" not in sentence
    return sentence.removeprefix("compare_models: ")


def test_a_layer_that_is_not_there():
    sentence = refused(Net(), None, loader(), layers=["frist"])
    assert sentence.startswith("no layer of model_a is named or matches 'frist' (layers); it has 'first'")
    assert "matches 'blocks.*'" in refused(Net(), Net(), loader(), layers=["first"], layers_b="blocks.*")
    assert "no layer of model_b" in refused(Net(), nn.Linear(4, 3), loader(), layers=["first"])
    assert refused(Net(), None, loader(), layers=nn.Conv2d) == "no layer of model_a is a Conv2d (layers)"
    sentence = refused(Net(), Net(), loader(), layers=[nn.Linear(2, 2)])
    assert sentence == "layers holds a Linear that is not a module of model_a"
    assert refused(Net(), None, loader(), layers=[]) == "layers is empty"
    assert "holds 3" in refused(Net(), None, loader(), layers=[3], error=TypeError)
    assert "but is 3" in refused(Net(), None, loader(), layers=3, error=TypeError)


def test_a_layer_that_never_runs_is_named_after_the_first_batch():
    seen = []

    def batches():
        for batch in X.split(8):
            seen.append(batch)
            yield batch

    sentence = refused(Net(), None, batches(), layers=["first", "unused"])
    assert sentence == "layer 'unused' of model_a never ran in the forward pass of the first batch"
    assert len(seen) == 1


def test_a_layer_that_runs_another_number_of_times():
    class Sometimes(Net):
        def forward(self, x):
            return super().forward(x) if len(x) == 8 else self.first(x)

    sentence = refused(Sometimes(), None, [X[:8], X[8:12]], layers=["first", "last"])
    assert sentence == "layer 'last' of model_a ran 0 times in a batch but 1 times in the first one"


def test_batches_that_are_not_understood():
    sentence = refused(Net(), None, ["text"], error=TypeError)
    assert sentence.startswith(
        "a batch must be a tensor, a mapping, a packed sequence, or a tuple or list that starts with one, "
        "but is str"
    )
    assert "forward=" in sentence
    assert "but is list starting with int" in refused(Net(), None, [[1, X]], error=TypeError)
    sentence = refused(Net(), None, [{"pixels": X}], error=TypeError)
    entries = "forward of Net accepts none of the entries of a batch, 'pixels'; "
    assert sentence == f"{entries}pass forward=, a callable of (model, batch)"


def test_loaders_of_different_length():
    assert (
        refused(Net(), None, loader(), loader(X[:24]))
        == "the first dataloader has 4 batches but the second 3"
    )
    endless = iter(X.split(8))
    assert "the second dataloader ends after 3 batches" in refused(
        Net(), None, endless, loader(X[:24]), paired=True
    )
    sentence = refused(Net(), None, loader(X[:31]), loader(X))
    assert sentence == "batch 3 has 7 examples in the first dataloader but 8 in the second"


def test_two_loaders_of_which_one_shuffles():
    sentence = refused(Net(), None, loader(shuffle=True), loader())
    assert sentence.startswith("a dataloader of two shuffles")
    found = compare_models(Net(), None, loader(shuffle=True), layers=["first", "last"], progress=False)
    assert found.matrix.shape == (2, 2)


def test_sample_ids_that_differ_or_are_missing():
    ids = torch.arange(32)
    one, two = (DataLoader(TensorDataset(X, i), batch_size=8) for i in (ids, ids.flip(0)))
    sentence = refused(Net(), None, one, two, sample_ids=1)
    assert sentence == "sample ids differ in batch 0, row 0: 0 in the first dataloader, 31 in the second"
    assert "no sample ids at 5" in refused(Net(), None, one, one, sample_ids=5)


def test_models_on_different_devices():
    sentence = refused(Net(), Net().to("meta"), loader())
    assert sentence == "the models are on different devices (model_a: cpu; model_b: meta); pass device="
    split = Net()
    split.last.to("meta")
    assert "model_a: cpu, meta" in refused(split, None, loader())
    assert "is on several devices (cpu, meta)" in refused(split, None, loader(), device="cpu")


def test_rows_that_are_no_examples():
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def forward(self, x):
            return self.inner(x.reshape(-1, 2))

    sentence = refused(Patches(), None, loader(), layers="inner")
    assert sentence.startswith("layer 'inner' of model_a returns shape (16, 2) for a batch of 8 examples")


def test_widths_that_change_from_batch_to_batch():
    net = nn.Sequential(nn.Conv2d(1, 2, 3))
    sizes = [torch.randn(8, 1, 6, 6), torch.randn(8, 1, 7, 7)]
    sentence = refused(net, None, sizes, pool="none")
    assert sentence.startswith("layer '0' of model_a has 50 features in batch 1 but 32 before")
    assert compare_models(net, None, sizes, progress=False).matrix.shape == (1, 1)


def test_too_few_examples():
    assert refused(Net(), None, []) == "the dataloader has no batches"
    assert refused(Net(), None, [X[:3]]) == "the unbiased estimator needs at least 4 examples but there are 3"
    sentence = refused(Net(), None, [X[:8], X[:3]], method="minibatch")
    assert sentence.startswith("batch 1 has 3 examples but unbiased HSIC needs 4")


def test_options_that_make_no_sense():
    assert "method must be one of ('exact', 'minibatch')" in refused(Net(), None, loader(), method="fast")
    assert "weighting must be one of" in refused(Net(), None, loader(), weighting="none")
    assert 'pool must be "mean", "none"' in refused(Net(), None, loader(), pool="max")
    assert "kernel must be" in refused(Net(), None, loader(), kernel="sigmoid")
    sentence = refused(Net(), None, loader(), method="minibatch", estimator="biased")
    assert sentence == 'method="minibatch" needs estimator="unbiased" but it is \'biased\''
    assert "there are 0" in refused(Net(), Net(), error=TypeError)
    assert "there are 3" in refused(Net(), Net(), *[loader()] * 3, error=TypeError)
    assert (
        refused("resnet18", None, loader(), error=TypeError) == "model_a must be a torch.nn.Module but is str"
    )
    with pytest.raises(TypeError, match="compare_models: progress must be True, False or a callable"):
        compare_models(Net(), None, loader(), progress="yes")


@pytest.mark.parametrize("method", ["exact", "minibatch"])
def test_a_constant_layer_is_named_and_gives_nan(method):
    net = Net()
    nn.init.zeros_(net.last.weight)
    with pytest.warns(RuntimeWarning, match="compare_models: the CKA of layer 'last' of model_a is NaN"):
        found = compare_models(net, None, loader(), layers=["first", "last"], method=method, progress=False)
    assert found.matrix[0, 0] == pytest.approx(1)
    assert found.matrix[[0, 1, 1], [1, 0, 1]].tolist() == pytest.approx([float("nan")] * 3, nan_ok=True)
