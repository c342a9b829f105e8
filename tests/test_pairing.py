"""Two dataloaders are compared row by row only if their rows are known to be of the same examples."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils import data  # noqa: E402
from torch.utils.data.distributed import DistributedSampler  # noqa: E402

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
SET = data.TensorDataset(X, torch.arange(64))
NET = nn.Linear(4, 8)


class Stream(data.IterableDataset):
    def __iter__(self):
        return iter(X)


class Own(data.DataLoader):
    def __iter__(self):
        return iter(reversed(list(super().__iter__())))


def seeded():
    return torch.Generator().manual_seed(0)


def distributed(shuffle):
    return DistributedSampler(SET, num_replicas=1, rank=0, shuffle=shuffle)


UNKNOWN = {
    "RandomSampler": lambda: data.DataLoader(SET, 16, shuffle=True),
    "RandomSampler with a seed": lambda: data.DataLoader(SET, 16, shuffle=True, generator=seeded()),
    "WeightedRandomSampler": lambda: data.DataLoader(
        SET, 16, sampler=data.WeightedRandomSampler(torch.ones(64), 64)
    ),
    "SubsetRandomSampler": lambda: data.DataLoader(SET, 16, sampler=data.SubsetRandomSampler(range(64))),
    "DistributedSampler": lambda: data.DataLoader(SET, 16, sampler=distributed(True)),
    "RandomSampler in batches": lambda: data.DataLoader(
        SET, batch_sampler=data.BatchSampler(data.RandomSampler(SET), 16, False)
    ),
    "Batches": lambda: data.DataLoader(SET, batch_sampler=Batches()),
    "Stream": lambda: data.DataLoader(Stream(), 16),
    "Own": lambda: Own(SET, 16),
    "generator": lambda: (batch for batch in X.split(16)),
    "_SingleProcessDataLoaderIter": lambda: iter(data.DataLoader(SET, 16)),
    "Loader": lambda: Loader(),
    "Shuffled": lambda: Shuffled(X.split(16)),
    "Shuffled indices": lambda: data.DataLoader(SET, 16, sampler=Shuffled(range(64))),
    "Shuffled batches": lambda: data.DataLoader(
        SET, batch_sampler=Shuffled(torch.arange(64).view(4, 16).tolist())
    ),
}


class Batches:
    def __iter__(self):
        return iter(torch.randperm(64).view(4, 16).tolist())

    def __len__(self):
        return 4


class Shuffled(list):
    """A sequence with an unknown order."""

    def __iter__(self):
        return iter([self[i] for i in torch.randperm(len(self))])


class Loader:
    def __iter__(self):
        return iter(X.split(16))


def known():
    return data.DataLoader(SET, 16)


KNOWN = {
    "sequential": known,
    "sequential in batches": lambda: data.DataLoader(
        SET, batch_sampler=data.BatchSampler(data.SequentialSampler(SET), 16, False)
    ),
    "a list of indices": lambda: data.DataLoader(SET, 16, sampler=list(range(64))),
    "batches of indices": lambda: data.DataLoader(
        SET, batch_sampler=[list(range(i, i + 16)) for i in range(0, 64, 16)]
    ),
    "DistributedSampler in order": lambda: data.DataLoader(SET, 16, sampler=distributed(False)),
    "list": lambda: list(X.split(16)),
    "tuple": lambda: X.split(16),
    "subset": lambda: data.DataLoader(data.Subset(SET, list(range(64))), 16),
    "not batched": lambda: data.DataLoader(list(X.split(16)), batch_size=None),
}


def compared(*loaders, **options):
    return compare_models(NET, NET, *loaders, progress=False, **options).matrix


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_order_that_is_not_known_is_refused(name):
    make, kind = UNKNOWN[name], name.split()[0]
    for loaders in ((make(), known()), (known(), make()), (make(), make())):
        with pytest.raises(
            ValueError, match="a dataloader of two shuffles or its order is not known"
        ) as found:
            compared(*loaders)
        assert kind in str(found.value)
        assert "paired=True" in str(found.value)
    torch.testing.assert_close(compared(make())[0, 0], 1.0, atol=1e-5, rtol=0)  # one pass for both models


@pytest.mark.parametrize("name", KNOWN)
def test_an_order_that_is_known_to_agree_is_taken(name):
    make = KNOWN[name]
    same = make()
    for loaders in ((make(), known()), (known(), make()), (make(), make()), (same, same)):
        assert compared(*loaders)[0, 0] == pytest.approx(1, abs=1e-5)


def test_orders_that_are_known_to_differ_are_refused():
    backward = list(range(63, -1, -1))
    for other in (
        data.DataLoader(SET, 16, sampler=backward),
        data.DataLoader(SET, batch_sampler=[backward[i : i + 16] for i in range(0, 64, 16)]),
    ):
        with pytest.raises(
            ValueError, match="example 0 is number 0 of its data set in the first dataloader but number 63 in"
        ):
            compared(known(), other)
        assert compared(other, other)[0, 0] == pytest.approx(1, abs=1e-5)

    class Part(data.Subset):
        pass

    for kind in (data.Subset, Part):
        part = data.DataLoader(kind(data.Subset(SET, backward), range(64)), 16)
        for loaders in ((known(), part), (part, known())):
            with pytest.raises(ValueError, match="example 0 is number"):
                compared(*loaders)
        assert compared(data.DataLoader(kind(SET, range(64)), 16), known())[0, 0] == pytest.approx(
            1, abs=1e-5
        )
    one, two = (data.DataLoader(part, 8) for part in data.random_split(SET, [32, 32], seeded()))
    with pytest.raises(ValueError, match="example 0 is number"):
        compared(one, two)


def test_a_layer_with_itself_under_loaders_that_shuffle():
    """The result was silently that of unrelated rows."""

    def make():
        return data.DataLoader(SET, 16, sampler=data.SubsetRandomSampler(range(64)))

    torch.manual_seed(0)
    assert abs(compared(make(), make(), paired=True)[0, 0]) < 0.2
    with pytest.raises(ValueError, match="SubsetRandomSampler"):
        compared(make(), make())
    assert compared(make())[0, 0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"paired": True}, {"sample_ids": 1}])
def test_one_iterator_given_twice_is_refused(options):
    for iterator in (iter(X.split(8)), (batch for batch in X.split(8)), iter(known())):
        with pytest.raises(
            ValueError, match=r"both dataloaders are the same .* pass it once, for both models"
        ):
            compared(iterator, iterator, **options)


def test_the_caller_may_know_the_order():
    seeds = [data.DataLoader(SET, 16, shuffle=True, generator=seeded()) for _ in range(2)]
    assert compared(*seeds, paired=True)[0, 0] == pytest.approx(1, abs=1e-5)
    assert compared(iter(X.split(16)), known(), paired=True)[0, 0] == pytest.approx(1, abs=1e-5)
    with pytest.raises(TypeError, match="compare_models: paired must be True or False but is 1"):
        compared(known(), known(), paired=1)


def test_sample_ids_show_the_order():
    seeds = [data.DataLoader(SET, 16, shuffle=True, generator=seeded()) for _ in range(2)]
    assert compared(*seeds, sample_ids=1)[0, 0] == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="sample ids differ in batch 0"):
        compared(known(), data.DataLoader(SET, 16, shuffle=True, generator=seeded()), sample_ids=1)


@pytest.mark.skipif("in_order" not in data.DataLoader.__init__.__code__.co_varnames, reason="an older torch")
def test_workers_that_do_not_keep_the_order_are_refused():
    loose = data.DataLoader(SET, 16, num_workers=1, in_order=False)
    with pytest.raises(ValueError, match="in_order=False"):
        compared(known(), loose)
