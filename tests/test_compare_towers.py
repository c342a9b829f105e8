"""T5 and CLIP of transformers: each tower's tokens are averaged under its own mask, or without one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from by_definition import debiased_cka

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from gramless.torch import compare_models  # noqa: E402

N, LENGTH = 48, 10
pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers


def tokens(seed, low=2):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(low, LENGTH + 1, (N,), generator=generator)
    return torch.randint(2, 60, (N, LENGTH), generator=generator), (
        torch.arange(LENGTH) < lengths[:, None]
    ).long()


def outputs(model, batch, names):
    """What the modules return, and their tokens."""
    kept = {}
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda _module, _given, output, name=name: kept.update(
                {name: (output[0] if isinstance(output, tuple) else output).clone()}
            )
        )
        for name in names
    ]
    with torch.no_grad():
        model(**batch)
    for handle in handles:
        handle.remove()
    return kept


def mean(output, mask=None):
    weights = np.ones(output.shape[:2]) if mask is None else mask.numpy().astype(float)
    return np.einsum("nld,nl->nd", output.double().numpy(), weights) / weights.sum(1, keepdims=True)


@pytest.fixture
def t5():
    torch.manual_seed(0)
    sizes = {"d_model": 24, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 3, "vocab_size": 64}
    return transformers.T5Model(transformers.T5Config(**sizes, decoder_start_token_id=0)).eval()


def test_the_encoders_mask_is_not_the_decoders_in_t5(t5):
    ids, mask = tokens(0)
    decoder_ids, decoder_mask = tokens(1)
    batch = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": decoder_ids}
    layers = ["encoder.block.1", "decoder.block.1"]
    for given, of_decoder in (
        (batch, None),
        (batch | {"decoder_attention_mask": decoder_mask}, decoder_mask),
    ):
        kept = outputs(t5, given, layers)
        encoder = mean(kept[layers[0]], mask)
        right = debiased_cka(encoder, mean(kept[layers[1]], of_decoder))
        wrong = debiased_cka(encoder, mean(kept[layers[1]], mask))
        found = compare_models(t5, None, [given], layers=layers, progress=False).matrix[0, 1]
        assert found == pytest.approx(right, abs=2e-6)
        assert abs(right - wrong) > 5e-3


def test_a_text_mask_drops_no_layer_of_clips_vision_tower():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    text = sizes | {"vocab_size": 64, "max_position_embeddings": LENGTH, "eos_token_id": 1, "bos_token_id": 0}
    vision = sizes | {"image_size": 24, "patch_size": 8}  # 9 patches and a class token: as many as the text
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision)).eval()
    ids, mask = tokens(0)
    pixels = torch.randn(N, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    batch = {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # layers that are left out
        found = compare_models(model, None, [batch], progress=False)
    towers = [f"{tower}_model.encoder.layers.{i}" for tower in ("text", "vision") for i in range(3)]
    assert found.layers_a == towers
    kept = outputs(model, batch, towers)
    rows = [mean(kept[name], mask if name.startswith("text") else None) for name in towers]
    truth = np.array([[debiased_cka(x, y) for y in rows] for x in rows])
    assert found.matrix == pytest.approx(truth, abs=1e-5)
    wrong = debiased_cka(rows[0], mean(kept[towers[-1]], mask))
    assert abs(wrong - truth[0, -1]) > 1e-3
