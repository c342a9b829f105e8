"""Tensors without values, of meta devices and of tracing, raise one error."""

from __future__ import annotations

import re
from contextlib import nullcontext

import gramless as gl
import pytest

torch = pytest.importorskip("torch")
from gramless.torch import CKALoss, CLIPLoss, NTXentLoss, compare_models  # noqa: E402
from torch import nn  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402

X, Y, *_ = TOKENS = torch.randn(16, 16, 8, generator=torch.Generator().manual_seed(0))
META, LAYER = X.to("meta"), nn.Linear(8, 4)


def mask(**options):
    return torch.ones(16, 16, **options)


def metric():
    pytest.importorskip("torchmetrics")
    from gramless.torch import CKAMetric

    return CKAMetric()


META_CALLS = {
    "layer_matrix: mask is a Tensor without storage": lambda: gl.layer_matrix(
        [TOKENS], [X], mask=mask(device="meta")
    ),
    "layer_matrix: mask must be a dense tensor but has layout torch.sparse_coo": lambda: gl.layer_matrix(
        [TOKENS], [X], mask=mask().to_sparse()
    ),
    "CKAMetric.update: layer 0 is a Tensor without storage": lambda: metric().update([META], [X]),
    "CLIPLoss: logit_scale is on the meta device and holds no value": lambda: CLIPLoss()(
        X, Y, torch.tensor(1.0, device="meta")
    ),
    "nt_xent: z_a is on meta": lambda: gl.nt_xent(META, X),
    "compare_models: a batch has a tensor on the meta device, which holds no values": lambda: compare_models(
        LAYER, None, [META], progress=False
    ),
    "compare_models: layer 'Linear' of model_a returns a tensor on the meta device": lambda: compare_models(
        nn.Linear(8, 4, device="meta"), None, [X], progress=False
    ),
}


@pytest.mark.parametrize("sentence", META_CALLS)
def test_tensors_on_meta_are_one_sentence(sentence):
    with pytest.raises(TypeError, match=re.escape(sentence)):
        META_CALLS[sentence]()


FAKE_CALLS = {
    "cka": lambda x, y: gl.cka(x, y),
    "hsic": lambda x, y: gl.hsic(y, x, kernel="rbf"),
    "nt_xent": lambda x, y: gl.nt_xent(x, y),
    "moco": lambda x, y: gl.moco(Y, y, x),
    "sup_con": lambda x, y: gl.sup_con(y, x[:, 0].long()),
    "CKALoss": lambda x, y: CKALoss()(x, y),
    "NTXentLoss": lambda x, y: NTXentLoss()(x, y),
    "CLIPLoss": lambda x, y: CLIPLoss()(y, y, x[0, 0]),
}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", FAKE_CALLS)
def test_fake_tensors_beside_real_ones_are_one_sentence(name, inside):
    with FakeTensorMode() as mode:
        fake = torch.randn(16, 8)
    where = "and others are not" if inside else "outside of their FakeTensorMode"
    message = f"^{name}: inputs are FakeTensors, which hold no values, {where}; "
    with mode if inside else nullcontext(), pytest.raises(TypeError, match=message):
        FAKE_CALLS[name](fake, Y)


@pytest.mark.parametrize("name", ["cka", "nt_xent", "CKALoss", "CLIPLoss"])
def test_fake_tensors_alone_have_shapes(name):
    with FakeTensorMode():
        x, y = torch.randn(16, 8), torch.randn(16, 8)
        assert FAKE_CALLS[name](x, y).shape == ()


@pytest.mark.parametrize("inside", [False, True])
def test_a_memory_bank_that_holds_values_beside_fake_tensors_is_the_same_sentence(inside):
    """A bank that was made within the mode has a shape, like all tensors there."""
    loss = NTXentLoss(memory_bank_size=(32, 8))
    with FakeTensorMode() as mode:
        fake = torch.randn(16, 8)
        assert NTXentLoss(memory_bank_size=(32, 8))(fake, fake).shape == ()
    where = "and others are not" if inside else "outside of their FakeTensorMode"
    message = f"^NTXentLoss: inputs are FakeTensors, which hold no values, {where}; "
    with mode if inside else nullcontext(), pytest.raises(TypeError, match=message):
        loss(fake, fake)


@pytest.mark.parametrize(
    "loss", [NTXentLoss(), CKALoss("rbf"), CLIPLoss(), NTXentLoss(memory_bank_size=(32, 8))]
)
def test_modules_are_exported(loss):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.loss = loss.eval()

        def forward(self, x, y):
            return self.loss(x, y)

    exported = torch.export.export(Model(), (X, Y)).module()
    assert exported(X, Y).item() == pytest.approx(loss(X, Y).item(), rel=1e-6)
