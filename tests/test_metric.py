"""Minibatch CKA as a metric of torchmetrics: alone, in collections, over processes."""

from __future__ import annotations

import copy
import pickle

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")
torchmetrics = pytest.importorskip("torchmetrics")

from gramless.torch import CKAMetric  # noqa: E402


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 6, generator=generator, dtype=torch.float64) for n in (12, 4, 17)]


def test_one_feature_is_a_column():
    x = torch.randn(12, 3)
    for ys in (x[:, 0], [x[:, 0]]):
        with pytest.raises(
            ValueError, match=r"has shape \(12,\); one feature is a column, of shape \(12, 1\)$"
        ):
            CKAMetric().update([x], ys)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")  # before update: torchmetrics says so, too
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("weighting", ["mean", "pairs"])
def test_the_metric_is_minibatch_cka(batches, kernel, weighting):
    metric, expected = CKAMetric(kernel, weighting), gramless.MinibatchCKA(kernel, weighting)
    for x in batches:
        metric.update([x, x.tanh()], [x.abs()])
        expected.update([x, x.tanh()], [x.abs()])
    assert isinstance(metric.compute(), torch.Tensor)
    assert np.array_equal(metric.compute().numpy(), expected.compute())
    metric.reset()
    with pytest.raises(RuntimeError, match="call update first"):
        metric.compute()


def test_calling_the_metric_gives_the_batch_and_counts_it(batches):
    metric, updated = CKAMetric(), CKAMetric()
    for x in batches:
        value = metric([x, x.tanh()])
        assert value.numpy() == pytest.approx(gramless.cka_matrix([x, x.tanh()]).numpy(), rel=1e-10)
        updated.update([x, x.tanh()])
    assert torch.equal(metric.compute(), updated.compute())


def test_metrics_merge_and_travel_as_states(batches):
    whole, parts = CKAMetric(), [CKAMetric(), CKAMetric()]
    for i, x in enumerate(batches):
        maps = x.reshape(len(x), 2, 3).requires_grad_()
        whole.update([maps, maps**2])
        parts[i > 0].update([maps, maps**2])
    restored = CKAMetric()
    parts[0].persistent(True)
    restored.load_state_dict(parts[0].state_dict())
    restored.merge_state(parts[1])
    assert torch.allclose(restored.compute(), whole.compute(), rtol=1e-14, atol=0)
    again = CKAMetric()
    again.merge_state(whole.metric_state)
    again.merge_state(CKAMetric())  # nothing
    assert torch.equal(again.compute(), whole.compute())
    for other in (copy.deepcopy(whole), whole.clone(), pickle.loads(pickle.dumps(whole))):
        assert torch.equal(other.compute(), whole.compute())


def test_what_does_not_fit_is_refused(batches):
    metric = CKAMetric()
    metric.update([batches[0]])
    before = metric.compute()
    with pytest.raises(
        TypeError, match=r"CKAMetric.merge_state: incoming_state must be a CKAMetric or a dict"
    ):
        metric.merge_state(gramless.MinibatchCKA())
    for other in (CKAMetric("rbf"), CKAMetric(weighting="pairs")):
        other.persistent(True)
        with pytest.raises(ValueError, match=r"CKAMetric.merge_state: (kernel|weighting) is"):
            metric.merge_state(other)
        with pytest.raises(ValueError, match=r"CKAMetric.load_state_dict: (kernel|weighting) is"):
            CKAMetric().load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="ys is given but in earlier batches it was None"):
        metric.update([batches[1]], [batches[1]])
    with pytest.raises(ValueError, match="xs has 2 layers but in earlier batches it had 1"):
        metric([batches[1], batches[1]])
    assert torch.equal(metric.compute(), before)


def test_a_collection_of_metrics(batches):
    kinds = {"linear": CKAMetric(), "rbf": CKAMetric("rbf"), "pairs": CKAMetric(weighting="pairs")}
    collection = torchmetrics.MetricCollection(kinds)
    for x in batches[:2]:
        collection.update([x, x.tanh()])
    values = collection([batches[2], batches[2].tanh()])
    assert values.keys() == kinds.keys()
    for name, value in collection.compute().items():
        alone = gramless.MinibatchCKA(kinds[name].kernel, kinds[name].weighting)
        for x in batches:
            alone.update([x, x.tanh()])
        assert np.array_equal(value.numpy(), alone.compute()), name
    collection.reset()
    assert int(collection["rbf"].batches) == 0
    assert isinstance(collection["rbf"], torchmetrics.Metric)


def test_a_metric_in_a_model_is_saved_with_it(batches):
    def model():
        net = torch.nn.Linear(6, 2)
        net.metric = CKAMetric("rbf")
        return net

    one, two = model(), model()
    one.metric.update([batches[0]], [batches[0] ** 2])
    one.metric.persistent(True)
    two.load_state_dict(one.state_dict())
    for net in (one, two):
        net.metric.update([batches[1]], [batches[1] ** 2])
    assert torch.equal(one.metric.compute(), two.metric.compute())


def test_a_state_dict_has_nothing_of_a_metric_unless_it_is_persistent(batches):
    net = torch.nn.Linear(6, 2)
    names = list(net.state_dict())
    net.metric = CKAMetric()
    net.metric.update([batches[0]])
    assert list(net.state_dict()) == names
    net.load_state_dict(net.state_dict())
    net.metric.persistent(True)
    assert all(isinstance(entry, torch.Tensor) for entry in net.state_dict().values())
    assert "metric.sum_xy" in net.state_dict()
    net.metric.persistent(False)
    assert list(net.state_dict()) == names


@pytest.mark.parametrize("option", ["kernel", "weighting"])
def test_a_metric_names_itself_where_an_option_makes_no_sense(option):
    with pytest.raises((TypeError, ValueError), match=rf"^CKAMetric: {option} must be"):
        CKAMetric(**{option: 0.5})


RANKS = """
import sys
import warnings
import gramless
import torch
from torch import distributed, multiprocessing
from gramless.torch import CKAMetric

def batch(i):
    x = torch.randn(10 + i, 6, generator=torch.Generator().manual_seed(i), dtype=torch.float64)
    return [x, x.tanh()]

def work(rank, size, file):
    torch.set_num_threads(1)
    gramless.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=size)
    check(rank, size, None)
    check(rank, size, None, 1e-150)
    check(rank, size, None, 1e120)
    without(rank)
    pair = distributed.new_group([0, 1])
    if rank < 2:
        check(rank, 2, pair)
    kernels, x = ("linear", "rbf"), batch(0)
    refused(CKAMetric(kernels[rank % 2]), [x], "every process must have the same kernel, but it is Linear()")
    refused(CKAMetric(), [x[: 2 - rank % 2]], "layers, but there are (2, 2) in process 0 and (1, 1)")
    sides = [x, x] if rank == 1 else [x]
    refused(CKAMetric(), sides, "are compared with themselves in process 0 and with ys in process 1")
    distributed.destroy_process_group()

def refused(metric, sides, sentence):
    metric.update(*sides)
    try:
        metric.compute()
        raise AssertionError("not refused")
    except ValueError as error:
        assert "CKAMetric.sync: every process must" in str(error)
        assert sentence in str(error), error

def check(rank, size, group, unit=1.0):
    metric = CKAMetric(weighting="pairs", process_group=group)
    alone = gramless.MinibatchCKA(weighting="pairs")
    for i in range(5):
        layers = [unit * x for x in batch(i)]
        alone.update(layers)
        if i % size == rank:
            metric.update(layers)
    found = [None] * size
    distributed.all_gather_object(found, metric.compute(), group)
    assert all(torch.equal(found[0], other) for other in found)
    assert torch.allclose(found[0], torch.from_numpy(alone.compute()), rtol=1e-13, atol=0)
    assert int(metric.batches) < 5  # its own again, after compute

def without(rank):
    metric, alone = CKAMetric(), gramless.MinibatchCKA()
    alone.update(batch(0), batch(0)[:1])
    if rank == 1:  # it alone has seen a batch
        metric.update(batch(0), batch(0)[:1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert torch.equal(metric.compute(), torch.from_numpy(alone.compute()))

if __name__ == "__main__":
    size = int(sys.argv[2])
    multiprocessing.start_processes(work, (size, sys.argv[1]), size, start_method="fork")
    print("same")
"""


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.usefixtures("loopback")
def test_processes_and_a_group_of_two_give_one_answer(run_with_torch, tmp_path, size):
    assert run_with_torch(RANKS, tmp_path / "meeting", size) == "same\n"


@pytest.mark.parametrize("accumulator", [gramless.MinibatchCKA, CKAMetric])
def test_mappings_are_refused_with_what_to_pass(accumulator):
    layers = {"first": torch.randn(20, 3), "second": torch.randn(20, 4)}
    said = (
        r"^MinibatchCKA.update: {0} must be a sequence of arrays but is dict, .*; pass \[{0}\[name\] for name"
    )
    with pytest.raises(TypeError, match=said.format("xs")) as refused:
        accumulator().update(layers)
    assert "tensor(" not in str(refused.value)
    with pytest.raises(TypeError, match=said.format("ys")):
        accumulator().update(list(layers.values()), layers)
    for wrong in (3, "path"):
        with pytest.raises(TypeError, match="must be a sequence of arrays, or one array"):
            accumulator().update(wrong)
