"""compare_models on networks of tokens: masks, class tokens, and outputs that are not plain tensors."""

from __future__ import annotations

from collections import OrderedDict

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from gramless.torch.layouts import Layout  # noqa: E402
from gramless.torch.outputs import PoolError, dense, tensor_of  # noqa: E402
from gramless.torch.pooling import pooled, pooled_by  # noqa: E402
from torch import nn  # noqa: E402

TOKENS, WIDTH = 7, 6


def quiet(*arguments, **options):
    return compare_models(*arguments, progress=False, **options)


class Block(nn.Module):
    """Mixes tokens that are not padding; returns a tuple, as the layers of language models did for long."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden, mask):
        weights = mask[:, None, :] / mask.sum(1)[:, None, None]
        return (hidden + torch.tanh(self.linear(weights @ hidden)), None)


class Language(nn.Module):
    """Token ids and attention mask in, a mapping out."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    def forward(self, input_ids, attention_mask=None):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        hidden = self.embed(input_ids)
        for block in self.blocks:
            hidden = block(hidden, mask.float())[0]
        return OrderedDict(loss=None, pooled=hidden[:, 0], last_hidden_state=hidden)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Language()


@pytest.fixture
def text():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, TOKENS + 1, (40,), generator=generator)
    return {
        "input_ids": torch.randint(1, 50, (40, TOKENS), generator=generator),
        "attention_mask": (torch.arange(TOKENS) < lengths[:, None]).long(),
        "labels": torch.zeros(40),
        "sample": [f"s{i}" for i in range(40)],
    }


def changed_padding(text):
    ids = torch.where(text["attention_mask"] == 0, 49 - text["input_ids"] % 7, text["input_ids"])
    return {**text, "input_ids": ids}


LAYERS = ["embed", "blocks.0", "blocks.1"]


@pytest.mark.parametrize("pool", ["mean", "tokens", "class"])
@pytest.mark.parametrize("method", ["exact", "minibatch"])
def test_padding_does_not_matter(net, text, pool, method):
    before = quiet(net, None, [text], layers=LAYERS, pool=pool, method=method)
    after = quiet(net, None, [changed_padding(text)], layers=LAYERS, pool=pool, method=method)
    assert np.array_equal(before.matrix, after.matrix)


def test_padding_matters_where_the_mask_is_ignored(net, text):
    before = quiet(net, None, [text], layers=LAYERS, attention_mask=None)
    after = quiet(net, None, [changed_padding(text)], layers=LAYERS, attention_mask=None)
    assert np.max(np.abs(before.matrix - after.matrix)) > 1e-3


def test_tokens_are_averaged_over_valid_ones(net, text):
    mask = text["attention_mask"].bool()
    with torch.no_grad():
        hidden = [net.embed(text["input_ids"]), net(text["input_ids"], mask)["last_hidden_state"]]
    expected = [torch.stack([h[i, mask[i]].mean(0) for i in range(40)]).numpy() for h in hidden]
    found = quiet(net, None, [text], layers=["embed", "blocks.1"], pool="tokens")
    assert found.matrix == pytest.approx(gramless.cka_matrix(expected), abs=1e-6)


def test_batches_of_different_lengths_are_one_comparison(net, text):
    halves = [{k: v[part] for k, v in text.items()} for part in (slice(0, 20), slice(20, 40))]
    width = int(halves[0]["attention_mask"].sum(1).max())
    halves[0]["attention_mask"][:, 4:], width = 0, 4
    whole = {k: torch.cat([h[k] for h in halves]) for k in ("input_ids", "attention_mask")}
    halves[0] = {k: halves[0][k][:, :width] for k in ("input_ids", "attention_mask")}
    assert quiet(net, None, halves, layers=LAYERS).matrix == pytest.approx(
        quiet(net, None, [whole], layers=LAYERS).matrix, abs=1e-6
    )


def test_masks_may_lie_anywhere_in_the_batch(net, text):
    by_key = quiet(net, None, [text], layers=LAYERS).matrix
    as_tuple = [(text["input_ids"], text["attention_mask"])]
    options = {"layers": LAYERS, "forward": lambda model, batch: model(*batch)}
    assert np.array_equal(by_key, quiet(net, None, as_tuple, attention_mask=1, **options).matrix)
    picked = quiet(net, None, as_tuple, attention_mask=lambda batch: batch[1], **options)
    assert np.array_equal(by_key, picked.matrix)
    nested = quiet(net, None, [(text, torch.zeros(40))], layers=LAYERS)
    assert np.array_equal(by_key, nested.matrix)


def test_the_whole_model_is_a_layer_by_its_hidden_state(net, text):
    found = quiet(net, None, [text], layers=[net, "blocks.1"])
    assert found.layers_a == ["Language", "blocks.1"]
    assert found.matrix[0, 1] == pytest.approx(1, abs=1e-9)


def test_without_layers_those_that_cannot_be_pooled_are_left_out(text):
    class Positioned(Language):
        def __init__(self):
            super().__init__()
            self.positions = nn.Embedding(TOKENS, WIDTH)

        def forward(self, input_ids, attention_mask):
            where = self.positions(torch.arange(TOKENS)[None])
            return super().forward(input_ids, attention_mask)["last_hidden_state"] + where

    with pytest.warns(
        UserWarning, match="'positions' \\(returns a tensor that is not computed from the batch"
    ):
        found = quiet(Positioned(), None, [text, text])
    assert found.layers_a == [
        "embed",
        "blocks.0.linear",
        "blocks.1.linear",
    ]  # of one token, a mean of valid ones
    assert list(found.settings["left_out_a"]) == ["positions"]
    with pytest.raises(ValueError, match="layer 'positions' of model_a returns shape"):
        quiet(Positioned(), None, [text], layers=["positions"])


def test_the_fused_path_of_torch_encoders_does_not_hide_their_modules():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    net = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    found = quiet(net, None, [torch.randn(20, 5, 8)], layers=["layers.*.linear1", "layers.1"])
    assert found.layers_a == ["layers.0.linear1", "layers.1.linear1", "layers.1"]
    assert np.isfinite(found.matrix).all()


def test_sample_ids_are_compared(net, text):
    other = {**text, "sample": [*text["sample"][:-1], "s999"]}
    same = quiet(net, None, [text], [text], layers=LAYERS, sample_ids="sample")
    assert np.diag(same.matrix) == pytest.approx(1, abs=1e-9)
    with pytest.raises(ValueError, match="sample ids differ in batch 0, row 39: 's39' in the first") as error:
        quiet(net, None, [text], [other], layers=LAYERS, sample_ids="sample")
    assert "'s999' in the second" in str(error.value)


@pytest.mark.parametrize(
    "output",
    [
        torch.ones(2, 3),
        (torch.ones(2, 3), None),
        [None, [torch.ones(2, 3)]],
        {"loss": torch.tensor(1.0), "logits": torch.ones(2, 3)},
        {"attentions": torch.zeros(2, 9), "last_hidden_state": torch.ones(2, 3)},
        {"hidden_states": (torch.zeros(2, 3), torch.ones(2, 3))},
    ],
    ids=str,
)
def test_the_tensor_of_an_output_is_found(output):
    assert torch.equal(tensor_of(output), torch.ones(2, 3))


def of(tensor, pool, mask=None, layout=None):
    return pooled(tensor, pool, Layout.of_text(layout or {2: "NC", 3: "NLC", 4: "NCHW"}[tensor.ndim]), mask)


def test_poolings_are_what_they_say():
    tokens = torch.arange(24.0).reshape(2, 4, 3)
    left_padded = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    assert np.array_equal(of(tokens, "class", left_padded), [[6, 7, 8], [12, 13, 14]])
    assert np.array_equal(of(tokens, "class"), [[0, 1, 2], [12, 13, 14]])
    assert np.array_equal(of(tokens, "none"), tokens.reshape(2, 12))
    assert np.array_equal(of(tokens, "mean", left_padded)[0], [7.5, 8.5, 9.5])
    maps = torch.arange(16.0).reshape(2, 2, 2, 2)
    assert np.array_equal(of(maps, "mean"), [[1.5, 5.5], [9.5, 13.5]])
    padding = torch.where(left_padded[:, :, None] == 0, torch.nan, tokens)
    assert np.isfinite(of(padding, "tokens", left_padded)).all()


@pytest.mark.parametrize(("layout", "order"), [("LNC", (1, 0, 2)), ("NCL", (0, 2, 1)), ("CLN", (2, 1, 0))])
def test_poolings_do_not_depend_on_the_order_of_dimensions(layout, order):
    tokens = torch.arange(24.0).reshape(2, 4, 3)
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    given = tokens.permute(order)
    for pool, valid in (("mean", None), ("mean", mask), ("class", mask), ("tokens", mask)):
        assert np.array_equal(of(given, pool, valid, layout), of(tokens, pool, valid))
    flat = [of(given, "none", None, layout), of(tokens, "none")]
    assert np.array_equal(*(np.sort(rows, axis=1) for rows in flat))


def test_averages_of_half_precision_are_taken_in_float32():
    maps = torch.full((1, 1, 300, 300), 1.5, dtype=torch.float16)  # the sum is beyond float16
    assert of(maps, "mean")[0, 0] == 1.5


def rows_of(output, pool, mask):
    tensor, _ = dense(output)
    if callable(pool):
        return pooled_by(pool, tensor, 2, "name", nn.Identity(), mask)
    layout = Layout.of_text({1: "N", 2: "NC", 3: "NLC", 4: "NCHW"}[tensor.ndim])
    layout.check(tensor, 2)
    return pooled(tensor, pool, layout, mask)


@pytest.mark.parametrize(
    ("output", "pool", "mask", "sentence"),
    [
        (torch.ones(8, 3), "mean", None, "returns shape (8, 3) for a batch of 2 examples"),
        (torch.ones(8), "mean", None, "returns shape (8,) for a batch of 2 examples"),
        ("text", "mean", None, "returns str without a tensor inside"),
        (torch.ones(2, 4, 3), "tokens", None, "the batch has no attention mask"),
        (torch.ones(2, 5, 3), "mean", torch.ones(2, 4), "which does not match the attention mask (2, 4)"),
        (torch.ones(2, 3, 4, 4), "class", None, 'which has no tokens for pool="class"'),
        (torch.ones(2, 4, 3), "none", torch.tensor([[1, 1, 1, 0]] * 2), "flattened with its padding"),
        (torch.ones(2, 4, 3), "mean", torch.tensor([[1, 1, 1, 1], [0] * 4]), "without any valid token"),
        (torch.ones(2, 4, 3), lambda t: t, None, "is pooled by pool= to (2, 4, 3)"),
        (torch.ones(2, 3) * 1j, "mean", None, "returns torch.complex64; only real numbers are supported"),
        (torch.ones(2, 3).to_sparse(), "mean", None, "returns a sparse tensor"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_outputs_that_do_not_fit_are_refused(output, pool, mask, sentence):
    with pytest.raises(PoolError) as error:
        rows_of(output, pool, mask)
    assert sentence in str(error.value)
