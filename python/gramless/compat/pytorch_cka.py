"""The functions of the package pytorch-cka (imported there from `cka`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..matrices import cka_matrix
from ..torch.layers import EVERY, bare
from ..torch.models import compare_models
from ..torch.pooling import Pool
from ._paragraphs import documented


@documented
def compute_cka(
    model1: nn.Module,
    model2: nn.Module,
    *dataloaders: Any,
    layers: Sequence[str | int] | None = None,
    model2_layers: Sequence[str | int] | None = None,
    device: torch.device | str | int | None = None,
    progress: bool = True,
    verbose: bool = False,
    pool: Pool = "none",
) -> list[torch.Tensor]:
    """Linear, unbiased minibatch CKA of all layers of two models: one matrix for each dataloader.

    Values are not clamped to [0, 1], in-place operations do not change the recorded outputs, and an offset of
    the activations costs no digits.

    Parameters
    ----------
    model1, model2 : torch.nn.Module
        Both run on every batch, in evaluation mode without gradients.
    *dataloaders
        Each yields batches: tensors, tuples or lists that start with one, or mappings. A list of
        torch.utils.data.DataLoader counts as its entries.
    layers, model2_layers : sequence of str or int, optional
        Names, or positions in `named_modules` after the model itself; model2_layers defaults to layers. None
        takes every module that runs and contains no others, where pytorch-cka takes every module.
    device : torch.device, str or int, optional
        Where the models run; they are moved back afterwards. None runs them where they are.
    progress : bool
        Whether to show a progress bar.
    verbose : bool
        Without effect.
    {models}

    Returns
    -------
    list of tensors of float32, (layers of model1, layers of model2)

    Raises
    ------
    {model_errors}

    References
    ----------
    {nguyen}

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))
    >>> batches = list(torch.randn(64, 4, generator=torch.manual_seed(0)).split(16))
    >>> [matrix] = compute_cka(net, net, batches, layers=["0", "2"], progress=False)
    >>> matrix.shape
    torch.Size([2, 2])
    """
    loaders = [loader for given in dataloaders for loader in _several(given)]
    wanted_b = layers if model2_layers is None else model2_layers
    return [
        torch.from_numpy(
            compare_models(
                model1,
                model2,
                loader,
                layers=_named(model1, layers),
                layers_b=_named(model2, wanted_b),
                method="minibatch",
                pool=pool,
                device=torch.device(device) if device is not None else None,
                progress=progress,
            ).matrix
        ).float()
        for loader in loaders
    ]


@documented
def cka_from_features(
    features_x: torch.Tensor | Sequence[torch.Tensor], features_y: torch.Tensor | Sequence[torch.Tensor]
) -> torch.Tensor:
    """Linear, unbiased CKA of every layer of features_x with every layer of features_y: (L1, L2).

    Parameters
    ----------
    features_x, features_y : tensor or sequence of tensors
        One layer (n, d), layers of one width (L, n, d), or a sequence of layers (n, d_i). Row i of all is one
        example.

    Returns
    -------
    Tensor
        Of float64, (L1, L2).

    Raises
    ------
    ValueError
        If numbers of rows differ.

    References
    ----------
    {kornblith}

    Examples
    --------
    >>> x = torch.randn(50, 8, generator=torch.manual_seed(0))
    >>> cka_from_features([x, x.tanh()], x).shape
    torch.Size([2, 1])
    """
    xs, ys = (_layers(features) for features in (features_x, features_y))
    return torch.as_tensor(cka_matrix(xs, ys))


def _layers(features: Any) -> list[Any]:
    return [features] if getattr(features, "ndim", None) == 2 else list(features)


def _several(given: Any) -> Sequence[Any]:
    """One or several dataloaders: pytorch-cka also accepts a list of them."""
    loaders = isinstance(given, (list, tuple)) and all(
        isinstance(entry, torch.utils.data.DataLoader) for entry in given
    )
    return given if loaders else [given]


def _named(model: nn.Module, layers: Sequence[str | int] | None) -> Any:
    if layers is None:
        return EVERY
    names = [name for name, _ in bare(model).named_modules()][1:]
    places = [layer for layer in layers if isinstance(layer, int) and not -len(names) <= layer < len(names)]
    if places:
        raise ValueError(
            f"compute_cka: {type(model).__name__} has {len(names)} modules but layers has {places[0]}"
        )
    return [names[layer] if isinstance(layer, int) else layer for layer in layers]
