"""Functions with the signatures of other packages, computed by gramless: change the import, keep the script.

- torch-cka: `CKA(model1, model2, ...).compare(loader1, loader2)`, `.export()`, `.plot_results()`
- pytorch-cka: `compute_cka(model1, model2, *dataloaders, ...)`, `cka_from_features(X, Y)`
- Google, representation_similarity: `MinibatchCKA(...).update_state(activations)`, `.result()`
- open_clip: `ClipLoss(...)`, `SigLipLoss(...)`
- sentence-transformers: `MultipleNegativesRankingLoss(model, ...)`, its cached and its symmetric form,
  `GISTEmbedLoss(model, guide, ...)` and its cached form
- pytorch-metric-learning: `NTXentLoss(...)`, `SupConLoss(...)` of embeddings, labels, ref_emb and ref_labels
- The file CKA.py: `CudaCKA(device).linear_CKA(X, Y)`, `.kernel_CKA(X, Y)`
- Code published with Kornblith et al. 2019: `gram_linear`, `gram_rbf`, `cka`, `feature_space_linear_cka`

They were written from the documentation of these packages, and every docstring names the differences. Values
are not clamped to [0, 1], activations are copied inside the hooks, layers keep the given order, and no n x n
matrix is made.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cuda_cka import CudaCKA
    from .gist_embed import CachedGISTEmbedLoss, GISTEmbedLoss
    from .google import MinibatchCKA
    from .kornblith import Gram, cka, feature_space_linear_cka, gram_linear, gram_rbf
    from .open_clip import ClipLoss, SigLipLoss
    from .pytorch_cka import cka_from_features, compute_cka
    from .pytorch_metric_learning import NTXentLoss, SupConLoss
    from .sentence_transformers import (
        CachedMultipleNegativesRankingLoss,
        MultipleNegativesRankingLoss,
        MultipleNegativesSymmetricRankingLoss,
    )
    from .torch_cka import CKA

__all__ = [
    "CKA",
    "CachedGISTEmbedLoss",
    "CachedMultipleNegativesRankingLoss",
    "ClipLoss",
    "CudaCKA",
    "GISTEmbedLoss",
    "Gram",
    "MinibatchCKA",
    "MultipleNegativesRankingLoss",
    "MultipleNegativesSymmetricRankingLoss",
    "NTXentLoss",
    "SigLipLoss",
    "SupConLoss",
    "cka",
    "cka_from_features",
    "compute_cka",
    "feature_space_linear_cka",
    "gram_linear",
    "gram_rbf",
]

_HOME = dict.fromkeys(["Gram", "cka", "feature_space_linear_cka", "gram_linear", "gram_rbf"], "kornblith")
_HOME |= {"MinibatchCKA": "google", "CKA": "torch_cka", "CudaCKA": "cuda_cka"}
_HOME |= dict.fromkeys(["NTXentLoss", "SupConLoss"], "pytorch_metric_learning")
_HOME |= dict.fromkeys(["ClipLoss", "SigLipLoss"], "open_clip")
_HOME |= dict.fromkeys(["cka_from_features", "compute_cka"], "pytorch_cka")
_HOME |= dict.fromkeys(["CachedGISTEmbedLoss", "GISTEmbedLoss"], "gist_embed")
_HOME |= {name: "sentence_transformers" for name in __all__ if name.endswith("RankingLoss")}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module 'gramless.compat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
