"""compare_models: a mask is used for its own tokens, in the tower that has them."""

from __future__ import annotations

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import TrainingCKA, compare_models  # noqa: E402
from torch import nn  # noqa: E402

N, LENGTH, WIDTH = 40, 6, 8


def quiet(*arguments, **options):
    return compare_models(*arguments, progress=False, **options)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.mix = nn.Embedding(50, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, input_ids, attention_mask=None):
        return torch.tanh(self.mix(self.embed(input_ids)))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.query, self.key = nn.Embedding(50, WIDTH), nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 4)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, input_ids, states, states_mask):
        hidden = self.embed(input_ids)
        scores = self.query(hidden) @ self.key(states).transpose(1, 2)
        scores = scores.masked_fill(states_mask[:, None] == 0, -torch.inf)
        return self.out(hidden + scores.softmax(-1) @ states)


class Translator(nn.Module):
    """Two towers with the same number of tokens, like T5."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def forward(self, input_ids, attention_mask, decoder_input_ids, decoder_attention_mask=None):
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        return self.decoder(decoder_input_ids, states, attention_mask)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Translator().eval()


def ids(seed):
    return torch.randint(1, 50, (N, LENGTH), generator=torch.Generator().manual_seed(seed))


def mask(seed):
    lengths = torch.randint(2, LENGTH + 1, (N,), generator=torch.Generator().manual_seed(seed))
    return (torch.arange(LENGTH) < lengths[:, None]).long()


@pytest.fixture
def batch():
    return {"input_ids": ids(0), "attention_mask": mask(1), "decoder_input_ids": ids(2)}


LAYERS = ["encoder.mix", "decoder.query", "decoder.key", "decoder.out"]


def kept_outputs(net, batch):
    kept = {}
    handles = [
        net.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: kept.update({name: o}))
        for name in LAYERS
    ]
    with torch.no_grad():
        net(**batch)
    for handle in handles:
        handle.remove()
    return kept


def expected(net, batch, masks):
    outputs = kept_outputs(net, batch)
    rows = []
    for name in LAYERS:
        valid = torch.ones(N, LENGTH) if masks[name] is None else masks[name]
        rows.append(((outputs[name] * valid[:, :, None]).sum(1) / valid.sum(1, keepdim=True)).numpy())
    return gramless.cka_matrix(rows)


def by_tower(encoder, decoder):
    """The keys of cross-attention are of the encoder's tokens."""
    return dict(zip(LAYERS, (encoder, decoder, encoder, decoder), strict=True))


def test_the_encoders_mask_does_not_pool_the_decoder(net, batch):
    truth = expected(net, batch, by_tower(batch["attention_mask"], None))
    found = quiet(net, None, [batch], layers=LAYERS).matrix
    assert found == pytest.approx(truth, abs=1e-6)
    wrong = expected(net, batch, by_tower(batch["attention_mask"], batch["attention_mask"]))
    assert abs(truth[0, 3] - wrong[0, 3]) > 1e-3


def test_a_decoder_has_a_mask_of_its_own(net, batch):
    both = batch | {"decoder_attention_mask": mask(3)}
    truth = expected(net, both, by_tower(both["attention_mask"], both["decoder_attention_mask"]))
    assert quiet(net, None, [both], layers=LAYERS).matrix == pytest.approx(truth, abs=1e-6)
    halves = [{name: value[part] for name, value in both.items()} for part in (slice(0, 15), slice(15, N))]
    assert quiet(net, None, halves, layers=LAYERS).matrix == pytest.approx(truth, abs=1e-6)


def test_a_mask_in_a_tuple_is_for_the_tokens_it_enters_a_module_with(net, batch):
    """The encoder gets the first two inputs, which have no names."""
    truth = expected(net, batch, by_tower(batch["attention_mask"], None))
    options = {"forward": lambda model, entries: model(*entries), "attention_mask": 1}
    found = quiet(net, None, [tuple(batch.values())], layers=LAYERS, **options)
    assert found.matrix == pytest.approx(truth, abs=1e-6)


def test_masks_by_pattern_of_layers(net, batch):
    both = batch | {"other": mask(3)}
    where = {"encoder": "attention_mask", "decoder.key": "attention_mask", "decoder.*": "other"}
    options = {"forward": lambda model, entries: model(**{k: v for k, v in entries.items() if k != "other"})}
    truth = expected(net, batch, by_tower(both["attention_mask"], both["other"]))
    found = quiet(net, None, [both], layers=LAYERS, attention_mask=where, **options)
    assert found.matrix == pytest.approx(truth, abs=1e-6)
    plain = quiet(net, None, [both], layers=LAYERS, attention_mask={}, **options)
    assert plain.matrix == pytest.approx(expected(net, batch, by_tower(None, None)), abs=1e-6)
    with pytest.raises(ValueError, match=r"attention_mask\['nothing'\] matches none of"):
        quiet(net, None, [both], layers=LAYERS, attention_mask={"nothing": "other"}, **options)


@pytest.mark.parametrize("where", ["mask", 3, {"encoder.*": "attention_mask", "decoder.*": "decoder_mask"}])
def test_a_mask_that_no_batch_has_is_refused(net, batch, where):
    """Padding was averaged; a name that no batch has is probably misspelt."""
    place = list(where.values())[-1] if isinstance(where, dict) else where
    sentence = (
        f"^compare_models: a batch has no attention mask at {place!r}; its tensors are at 'input_ids', "
    )
    with pytest.raises(ValueError, match=sentence):
        quiet(net, None, [batch], layers=LAYERS, attention_mask=where)
    with pytest.raises(ValueError, match=sentence.replace("compare_models", "TrainingCKA")):
        TrainingCKA(net, [batch], layers=LAYERS, attention_mask=where)


def test_a_mask_that_one_of_two_loaders_has_is_taken(net, batch):
    plain = {name: batch[name] for name in ("input_ids", "decoder_input_ids")}
    named = plain | {"valid": batch["attention_mask"]}
    options = {"forward": lambda model, entries: model.encoder.mix(model.encoder.embed(entries["input_ids"]))}
    found = quiet(
        net, net, [named], [plain], attention_mask={"encoder.mix": "valid"}, layers=["encoder.mix"], **options
    ).matrix
    hidden = net.encoder.mix(net.encoder.embed(batch["input_ids"])).detach()
    valid = batch["attention_mask"][:, :, None]
    rows = (hidden * valid).sum(1) / valid.sum(1), hidden.mean(1)
    assert found[0, 0] == pytest.approx(float(gramless.cka(*rows)), abs=1e-6)
    assert found[0, 0] < 0.99


class TwoTowers(nn.Module):
    """Text and pictures, as in CLIP."""

    def __init__(self):
        super().__init__()
        self.text, self.patches, self.vision = Encoder(), nn.Conv2d(3, WIDTH, 4, 4), nn.Linear(WIDTH, WIDTH)

    def forward(self, input_ids, pixel_values, attention_mask):
        text = self.text(input_ids, attention_mask)
        patches = self.patches(pixel_values).flatten(2).transpose(1, 2)
        return text.mean(1) @ self.vision(patches).mean(1).T


@pytest.mark.parametrize("size", [8, 12])
def test_a_text_mask_drops_no_layer_of_the_vision_tower(size):
    torch.manual_seed(0)
    net = TwoTowers()
    pixels = torch.randn(N, 3, size, 2 * size, generator=torch.Generator().manual_seed(5))
    batch = {"input_ids": ids(0), "pixel_values": pixels, "attention_mask": mask(1)}
    layers = ["text.mix", "patches", "vision"]
    found = quiet(net, None, [batch], layers=layers)
    with torch.no_grad():
        patches = net.patches(pixels)
        text = net.text.mix(net.text.embed(batch["input_ids"]))
        valid = batch["attention_mask"][:, :, None]
        rows = [(text * valid).sum(1) / valid.sum(1), patches.mean((2, 3))]
        rows.append(net.vision(patches.flatten(2).transpose(1, 2)).mean(1))
    assert found.matrix == pytest.approx(gramless.cka_matrix([r.numpy() for r in rows]), abs=1e-6)
    everything = quiet(net, None, [batch], layers="leaves")
    assert set(layers) < set(everything.layers_a)


class Mixed(nn.Module):
    """Text behind a class token: one token more than the mask has."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix = nn.Embedding(50, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, input_ids, attention_mask):
        hidden = self.embed(input_ids)
        return self.mix(torch.cat([hidden[:, :1] * 0, hidden], 1))


def test_tokens_that_no_mask_fits_are_refused(batch):
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with pytest.raises(
        ValueError, match=r"layer 'mix' of model_a returns shape \(40, 7, 8\), which does not match the"
    ):
        quiet(Mixed(), None, [batch], layers=["mix"])
    assert quiet(Mixed(), None, [batch], layers=["mix"], attention_mask=None).matrix.shape == (1, 1)
    with pytest.warns(UserWarning, match=r"'mix' \(returns shape"):
        assert quiet(Mixed(), None, [batch]).layers_a == ["embed"]


def test_masks_of_tokens_first(batch):
    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.rnn = nn.Embedding(50, WIDTH), nn.GRU(WIDTH, 5)

        def forward(self, input_ids, attention_mask):
            return self.rnn(self.embed(input_ids.T))[0]

    torch.manual_seed(0)
    net, batch = First(), {name: batch[name] for name in ("input_ids", "attention_mask")}
    found = quiet(net, None, [batch])
    valid = batch["attention_mask"].T[:, :, None]
    with torch.no_grad():
        outputs = [net.embed(batch["input_ids"].T), net(**batch)]
    rows = [((t * valid).sum(0) / valid.sum(0)).numpy() for t in outputs]
    assert found.matrix == pytest.approx(gramless.cka_matrix(rows), abs=1e-6)


def test_a_pool_callable_gets_its_towers_mask(net, batch):
    seen = {}

    def pool(tensor, name, mask):
        seen[name] = mask
        return tensor.mean(1)

    quiet(net, None, [batch], layers=LAYERS, pool=pool)
    assert [name for name, found in seen.items() if found is not None] == ["encoder.mix", "decoder.key"]
    assert np.array_equal(seen["encoder.mix"], batch["attention_mask"])


def test_a_batch_without_the_mask_of_the_others_is_refused(net, batch):
    """Padding would be averaged."""
    parts = [{name: value[part] for name, value in batch.items()} for part in (slice(0, 15), slice(15, N))]
    options = {
        "layers": ["encoder.mix"],
        "forward": lambda model, entries: model.encoder(entries["input_ids"]),
    }
    bare = [parts[0], {"input_ids": parts[1]["input_ids"]}]
    for batches, first, later in (
        (bare, "'attention_mask'", "none"),
        (bare[::-1], "none", "'attention_mask'"),
    ):
        with pytest.raises(
            ValueError, match=f"^compare_models: .* model_a .* first one has {first} and a later one {later};"
        ):
            quiet(net, None, batches, **options)
    halves = [parts[0], parts[1] | {"attention_mask": None}]  # all tokens are valid, and a message says so
    full = torch.cat([batch["attention_mask"][:15], torch.ones_like(batch["attention_mask"][15:])])
    found = quiet(net, None, halves, **options).matrix
    expected = quiet(net, None, [batch | {"attention_mask": full}], **options).matrix
    assert found == pytest.approx(expected, abs=1e-6)
