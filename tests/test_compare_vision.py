"""compare_models on models of torchvision and timm, built from their configurations: all layers of all stages
against a pooling that finds the features another way: leaves by their type, blocks by their architecture.
"""

from __future__ import annotations

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402

TORCHVISION = {
    "resnet18": "NCHW",
    "convnext_tiny": "NCHW",
    "densenet121": "NCHW",
    "efficientnet_b0": "NCHW",
    "mobilenet_v3_small": "NCHW",
    "regnet_y_400mf": "NCHW",
    "swin_t": "NHWC",
    "swin_v2_t": "NHWC",
    "vit_b_32": "NLC",
    "squeezenet1_0": "NCHW",
}
TIMM = {
    "convnext_atto": "NCHW",
    "swin_tiny_patch4_window7_224": "NHWC",
    "mixer_s32_224": "NLC",
    "vit_tiny_patch16_224": "NLC",
    "resmlp_12_224": "NLC",
    "poolformer_s12": "NCHW",
    "coatnet_nano_rw_224": "NCHW",
    "cait_xxs24_224": "NLC",
    "focalnet_tiny_srf": "NCHW",
    "pvt_v2_b0": "NLC",
}
ANY_SIZE = ("convnext_atto", "poolformer_s12", "focalnet_tiny_srf", "pvt_v2_b0")
EXAMPLES, SIZE = 12, 64  # small pictures: every layer of every stage runs all the same
LAST, SECOND = (nn.Linear, nn.LayerNorm), (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm)


def position_axes(module, shape, block_layout):
    """The axes to average over: by the type of a leaf; for blocks by the known architecture."""
    if type(module) in LAST:
        return tuple(range(1, len(shape) - 1))
    if isinstance(module, SECOND):
        return tuple(range(2, len(shape)))
    return tuple(place for place, letter in enumerate(block_layout) if letter not in "NC")


def wanted(model):
    """Leaves of known types, and the blocks."""
    from gramless.torch.blocks import blocks

    named = dict(model.named_modules())
    leaves = {name: m for name, m in named.items() if type(m) in LAST or isinstance(m, SECOND)}
    return leaves, {name: m for name, m in blocks(named).items() if name not in leaves}


def independent(model, images, block_layout):
    """{name: rows} of every layer that runs once with the examples in its first dimension."""
    leaves, stages = wanted(model)
    outputs: dict[str, list] = {}

    def hook(name):
        return lambda module, inputs, output: outputs.setdefault(name, []).append(output.clone())

    handles = [m.register_forward_hook(hook(name)) for name, m in (leaves | stages).items()]
    with torch.no_grad():
        model.eval()(images)
    for handle in handles:
        handle.remove()
    rows = {}
    for name, found in outputs.items():
        shape = found[0].shape
        fits = name in leaves or len(shape) == len(block_layout)
        if len(found) == 1 and len(shape) > 1 and shape[0] == len(images) and fits:
            axes = position_axes((leaves | stages)[name], shape, block_layout)
            rows[name] = (found[0].mean(axes) if axes else found[0]).flatten(1).numpy()
    return rows


def check(model, block_layout):
    images = torch.randn(EXAMPLES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    expected = independent(model, images, block_layout)
    assert len(expected) > 10
    names = list(expected)
    found = compare_models(model, None, [images], layers=names, progress=False)
    truth = gramless.cka_matrix([expected[name] for name in names])
    assert found.layers_a == names
    assert np.nanmax(np.abs(found.matrix - truth)) < 1e-3
    assert compare_models(model, None, [images], progress=False).matrix.shape[0] > 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TORCHVISION)
def test_models_of_torchvision(name):
    models = pytest.importorskip("torchvision", exc_type=ImportError).models
    torch.manual_seed(0)
    options = {"image_size": SIZE} if name.startswith("vit") else {}
    check(models.get_model(name, weights=None, **options), TORCHVISION[name])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TIMM)
def test_models_of_timm(name):
    timm = pytest.importorskip("timm", exc_type=ImportError)
    torch.manual_seed(0)
    options = {} if name in ANY_SIZE else {"img_size": SIZE}
    check(timm.create_model(name, pretrained=False, **options), TIMM[name])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["convnext_tiny", "swin_t"])
def test_every_leaf_where_sizes_tell_features(name):
    """Activations and permutations too: channels are more than the 16 x 16 positions there are at most."""
    models = pytest.importorskip("torchvision", exc_type=ImportError).models
    torch.manual_seed(0)
    model = models.get_model(name, weights=None).eval()
    images = torch.randn(EXAMPLES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    found = compare_models(model, None, [images], layers="leaves", progress=False, pvalue=None)
    kept: dict[str, list] = {}

    def hook(layer):
        return lambda _module, _given, output: kept.setdefault(layer, []).append(output.clone())

    for layer in {shown.partition("[")[0] for shown in found.layers_a}:
        model.get_submodule(layer).register_forward_hook(hook(layer))
    with torch.no_grad():
        model(images)
    rows = []
    for shown in found.layers_a:
        layer, _, call = shown.partition("[")
        output = kept[layer][int(call.strip("]") or 0)]
        sizes = list(output.shape[1:])
        others = [place + 1 for place, size in enumerate(sizes) if size < max(sizes)]
        rows.append((output.mean(others) if len(sizes) > 1 else output).flatten(1).numpy())
    assert len(rows) > 80
    assert np.nanmax(np.abs(found.matrix - gramless.cka_matrix(rows))) < 1e-5
