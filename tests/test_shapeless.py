"""An argument without a shape or a truth value raises gramless' error, not that of torch or numpy."""

from __future__ import annotations

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).standard_normal((6, 3))
SHAPELESS = {
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(3, 2), torch.ones(2, 2)]), "nested"),
    "of rows": (lambda: torch.nested.nested_tensor([torch.ones(3), torch.ones(2)]), "nested"),
    "lazy": (lambda: torch.nn.LazyLinear(3).weight, "without values|UninitializedParameter"),
}
GUIDED = {"guide_anchors": X, "guide_positives": X}
ARGUMENTS = {
    "cka_matrix: xs": lambda t: gramless.cka_matrix(t),
    "cka_matrix: xs['a']": lambda t: gramless.cka_matrix({"a": t}),
    "layer_matrix: xs['a']": lambda t: gramless.layer_matrix({"a": t}),
    "layer_matrix: xs[1]": lambda t: gramless.layer_matrix([X, t], pool="mean"),
    "layer_matrix: xs[0]": lambda t: gramless.layer_matrix([t], rows="tokens"),
    "layer_matrix: ys[0]": lambda t: gramless.layer_matrix([X], [t], pool=lambda x: x),
    "layer_matrix: mask": lambda t: gramless.layer_matrix([X], mask=t),
    "mutual_knn_matrix: xs['a']": lambda t: gramless.mutual_knn_matrix({"a": t}),
    "info_nce: ids": lambda t: gramless.info_nce(X, X, ids=t),
    "info_nce: negatives": lambda t: gramless.info_nce(X, X, negatives=t),
    "sup_con: labels": lambda t: gramless.sup_con(torch.from_numpy(X), t),
    "SupConLoss: labels": lambda t: gramless.torch.SupConLoss()(torch.ones(3, 2, 4), t),
    "nt_xent: temperature": lambda t: gramless.nt_xent(X, X, temperature=t),
    "nt_xent: exclude_hardest": lambda t: gramless.nt_xent(X, X, exclude_hardest=t),
    "siglip: logit_scale": lambda t: gramless.siglip(X, X, logit_scale=t, logit_bias=0.0),
    "siglip: logit_bias": lambda t: gramless.siglip(X, X, logit_scale=1.0, logit_bias=t),
    "guided_info_nce: margin": lambda t: gramless.guided_info_nce(X, X, **GUIDED, margin=t),
    "uniformity: x": gramless.uniformity,
    "uniformity: t": lambda t: gramless.uniformity(X, t),
    "alignment: alpha": lambda t: gramless.alignment(X, X, t),
    "vendi_score: q": lambda t: gramless.vendi_score(X, q=t),
    "mutual_knn: k": lambda t: gramless.mutual_knn(X, X, k=t),
    "estimate: n": lambda t: gramless.estimate(t, 3),
    "RBF: sigma": lambda t: gramless.RBF(sigma=t),
    "Polynomial: degree": gramless.Polynomial,
    "Polynomial: coef0": lambda t: gramless.Polynomial(coef0=t),
}
FLAGS = {
    "nt_xent: normalize": lambda b: gramless.nt_xent(X, X, normalize=b),
    "row_log_sum_exp: normalize": lambda b: gramless.row_log_sum_exp(X, X, normalize=b),
    "info_nce: symmetric": lambda b: gramless.info_nce(X, X, symmetric=b),
    "siglip: normalize": lambda b: gramless.siglip(X, X, logit_scale=1.0, logit_bias=0.0, normalize=b),
    "guided_info_nce: contrast_anchors": lambda b: gramless.guided_info_nce(
        X, X, **GUIDED, contrast_anchors=b
    ),
    "uniformity: normalize": lambda b: gramless.uniformity(X, normalize=b),
    "alignment: normalize": lambda b: gramless.alignment(X, X, normalize=b),
    "RBF: include_diagonal": lambda b: gramless.RBF(include_diagonal=b),
    "median_distance: include_diagonal": lambda b: gramless.median_distance(X, include_diagonal=b),
    "NTXentLoss: gather_distributed": lambda b: gramless.torch.NTXentLoss(gather_distributed=b),
    "GISTEmbedLoss: contrast_positives": lambda b: gramless.compat.GISTEmbedLoss(
        None, None, contrast_positives=b
    ),
}


@pytest.mark.filterwarnings("ignore")  # that nested tensors and lazy modules may change
@pytest.mark.parametrize("kind", SHAPELESS)
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_what_has_no_shape_is_named(argument, kind):
    made, what = SHAPELESS[kind]
    value = made()
    with pytest.raises(TypeError, match=what) as caught:
        ARGUMENTS[argument](value)
    assert str(caught.value).startswith(f"{argument} ")


@pytest.mark.parametrize("value", [np.ones(2, bool), torch.ones(2)], ids=["array", "tensor"])
@pytest.mark.parametrize("argument", FLAGS)
def test_several_values_are_no_flag(argument, value):
    with pytest.raises(TypeError) as caught:
        FLAGS[argument](value)
    assert str(caught.value) == f"{argument} must be True or False but is an array of shape (2,)"
    for flag in (True, 0, np.True_, torch.tensor(False)):
        FLAGS[argument](flag)
