"""Collate functions and combined data sets may change the order of the examples."""

from __future__ import annotations

from functools import partial

import pytest

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from gramless.torch.pairing import check_pair  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils import data  # noqa: E402

X = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
SET = data.TensorDataset(X, torch.arange(48))
NET = nn.Linear(4, 8)
BACKWARD = list(range(47, -1, -1))


def sorted_by_length(examples):
    """As batches of padded sequences are often made."""
    return data.default_collate(sorted(examples, key=lambda example: -example[0].norm()))


def in_order(examples):
    return data.default_collate(examples)


class Collator:
    def __call__(self, examples):
        return sorted_by_length(examples)


def loader(dataset=SET, batch_size=12, **options):
    return data.DataLoader(dataset, batch_size, **options)


def compared(*loaders, **options):
    return compare_models(NET, NET, *loaders, progress=False, **options).matrix[0, 0]


def test_a_collate_function_that_sorts_gave_a_layer_another_value_than_1():
    assert compared(loader(), loader(collate_fn=sorted_by_length), paired=True) < 0.9


@pytest.mark.parametrize("collate", [sorted_by_length, Collator(), partial(sorted_by_length), in_order])
def test_a_collate_function_of_ones_own_is_refused_beside_another(collate):
    own, name = loader(collate_fn=collate), getattr(collate, "__qualname__", type(collate).__name__)
    for pair in ((own, loader()), (loader(), own), (own, loader(collate_fn=lambda batch: collate(batch)))):
        with pytest.raises(
            ValueError, match=f"of its own, .*{'|lambda' if pair[0] is own else name}"
        ) as found:
            compared(*pair)
        assert "sample_ids=" in str(found.value)
        assert "paired=True" in str(found.value)
    assert compared(own) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("collate", [sorted_by_length, in_order])
def test_one_collate_function_on_the_same_batches_is_taken(collate):
    own = [loader(collate_fn=collate) for _ in range(2)]
    assert compared(*own) == pytest.approx(1, abs=1e-5)
    parts = [loader(data.Subset(SET, range(24)), collate_fn=collate) for _ in range(2)]
    assert compared(*parts) == pytest.approx(1, abs=1e-5)
    lengths = data.TensorDataset(-X, torch.arange(48))  # which it may sort otherwise
    for other in (loader(lengths, collate_fn=collate), loader(batch_size=8, collate_fn=collate)):
        with pytest.raises(ValueError, match="a collate function of its own"):
            check_pair("f", own[0], other, False, False)
        check_pair("f", own[0], other, False, True)
        check_pair("f", own[0], other, True, False)


def test_collate_functions_of_torch_and_transformers_keep_the_order():
    for kept in (None, data.default_collate, partial(data.default_collate)):
        assert compared(loader(collate_fn=kept), loader()) == pytest.approx(1, abs=1e-5)
    transformers = pytest.importorskip("transformers")
    check_pair("f", loader(collate_fn=transformers.default_data_collator), loader(), False, False)
    padding = transformers.DataCollatorWithPadding(tokenizer=None)
    check_pair("f", loader(collate_fn=padding), loader(), False, False)


def test_joined_data_sets_are_read_through():
    halves = [data.Subset(SET, range(24)), data.Subset(SET, range(24, 48))]
    whole, swapped = loader(data.ConcatDataset(halves)), loader(data.ConcatDataset(halves[::-1]))
    backward = loader(data.ConcatDataset([data.Subset(SET, BACKWARD[:24]), data.Subset(SET, BACKWARD[24:])]))
    nested = loader(data.Subset(data.ConcatDataset([data.Subset(SET, BACKWARD)]), BACKWARD))
    for other in (loader(), nested):
        assert compared(whole, other) == pytest.approx(1, abs=1e-5)
    for other, number in ((swapped, 24), (backward, 47)):
        for pair, sentence in (
            ((whole, other), f"number 0 of its data set in the first dataloader but number {number} in"),
            ((other, loader()), f"number {number} of its data set in the first dataloader but number 0 in"),
        ):
            with pytest.raises(ValueError, match=f"example 0 is {sentence}"):
                compared(*pair)


def test_joined_data_sets_of_several_are_told_apart():
    one, two = (data.TensorDataset(X[i : i + 24], torch.arange(24)) for i in (0, 24))
    with pytest.raises(
        ValueError, match=r"number 0 of its data set in the first .* number 0 of another data set in"
    ):
        compared(loader(data.ConcatDataset([one, two])), loader(data.ConcatDataset([two, one])))
    other = [data.TensorDataset(*part.tensors) for part in (one, two)]  # as two models' own data sets
    both = loader(data.ConcatDataset([one, two])), loader(data.ConcatDataset(other))
    assert compared(*both) == pytest.approx(1, abs=1e-5)
    parts = [data.Subset(other[0], BACKWARD[24:]), other[1]]
    with pytest.raises(ValueError, match="example 0 is number 0 of its data set in the first"):
        compared(both[0], loader(data.ConcatDataset(parts)))
