"""The class of the package torch-cka."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .._paths import as_path
from ..plot import save_figure
from ..results import LayerMatrix
from ..torch.layers import EVERY
from ..torch.masks import Where
from ..torch.models import compare_models
from ..torch.pooling import Pool
from ._paragraphs import documented


@documented
class CKA:
    """Linear, unbiased minibatch CKA of all layers of two models, on flattened activations.

    `compare` runs the models; `export` and `plot_results` then return and draw the matrix. Values are not
    clamped to [0, 1].

    Parameters
    ----------
    model1, model2 : torch.nn.Module
        They run in evaluation mode without gradients.
    model1_name, model2_name : str, optional
        For `export` and the figure; the name of the model's class by default.
    model1_layers, model2_layers : sequence of str, optional
        Names of layers, whose order is kept. None takes every module of the model that runs and contains no
        others, where torch-cka takes every module.
    device : str or torch.device
        Where the models run. They are moved back afterwards, where torch-cka leaves them there.
    {models}

    Raises
    ------
    {model_errors}

    References
    ----------
    {nguyen}

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))
    >>> cka = CKA(net, net, "one", "two", model1_layers=["2", "0"], model2_layers=["0", "2"])
    >>> cka.compare(list(torch.randn(64, 4, generator=torch.manual_seed(0)).split(16)))
    >>> exported = cka.export()
    >>> exported["model1_layers"], exported["CKA"].shape
    (['2', '0'], torch.Size([2, 2]))
    """

    def __init__(
        self,
        model1: nn.Module,
        model2: nn.Module,
        model1_name: str | None = None,
        model2_name: str | None = None,
        model1_layers: Sequence[str] | None = None,
        model2_layers: Sequence[str] | None = None,
        device: str | torch.device = "cpu",
        pool: Pool = "none",
    ) -> None:
        self.model1, self.model2 = model1, model2
        self.model1_layers, self.model2_layers = model1_layers, model2_layers
        self.model1_name = type(model1).__name__ if model1_name is None else model1_name
        self.model2_name = type(model2).__name__ if model2_name is None else model2_name
        self.device, self.pool = device, pool
        self._result: LayerMatrix | None = None
        self._datasets = ("", "")

    def compare(
        self, dataloader1: Any, dataloader2: Any = None, *, sample_ids: Where = None, paired: bool = False
    ) -> None:
        """Run both models and compute the CKA of their layers.

        Parameters
        ----------
        dataloader1 : iterable of batches
            Tensors, tuples or lists that start with one, or mappings.
        dataloader2 : iterable of batches, optional
            The same examples in the same order for model2; None uses the batches of dataloader1 for both.
        sample_ids : key, index or callable, optional
            Not in torch-cka. Where a batch has the ids of its examples, with which both orders are compared.
        paired : bool
            Not in torch-cka. True states that both dataloaders have one order. This or sample_ids is needed
            if the dataloaders do not show it, for example because they shuffle.

        Raises
        ------
        ValueError, TypeError
            If a layer does not exist or never runs, batches or outputs cannot be interpreted, or the
            dataloaders do not match.
        """
        loaders = [dataloader1] if dataloader2 is None else [dataloader1, dataloader2]
        self._result = compare_models(
            self.model1,
            self.model2,
            *loaders,
            layers=EVERY if self.model1_layers is None else self.model1_layers,
            layers_b=EVERY if self.model2_layers is None else self.model2_layers,
            method="minibatch",
            pool=self.pool,
            device=self.device,
            sample_ids=sample_ids,
            paired=paired,
        )
        self._datasets = (_dataset(loaders[0]), _dataset(loaders[-1]))

    def export(self) -> dict[str, Any]:
        """The result of `compare`, in the form of torch-cka.

        Returns
        -------
        dict
            model1_name, model2_name, CKA (a float32 tensor, layers of model1 by layers of model2),
            model1_layers, model2_layers, dataset1_name and dataset2_name.

        Raises
        ------
        RuntimeError
            Before `compare`.
        """
        result = self._compared("export")
        return {
            "model1_name": self.model1_name,
            "model2_name": self.model2_name,
            "CKA": torch.from_numpy(result.matrix).float(),
            "model1_layers": list(result.layers_a),
            "model2_layers": list(result.layers_b),
            "dataset1_name": self._datasets[0],
            "dataset2_name": self._datasets[1],
        }

    def plot_results(self, save_path: str | os.PathLike[str] | None = None, title: str | None = None) -> None:
        """Draw the matrix with model1 upwards and model2 to the right, and save or show the figure.

        Parameters
        ----------
        save_path : path, optional
            Where to write the figure, in the format of the name's ending; None shows it.
        title : str, optional
            The names of both models by default.

        Raises
        ------
        RuntimeError
            Before `compare`.
        ImportError
            If matplotlib is missing.
        ValueError
            If save_path has an ending that matplotlib does not know.
        OSError
            If save_path cannot be written.
        """
        result = self._compared("plot_results")
        if save_path is not None:
            save_path = as_path("CKA.plot_results: save_path", save_path)
        default = f"{self.model1_name} vs {self.model2_name}"
        ax = result.plot(label_a=self.model1_name, label_b=self.model2_name, title=title or default)
        import matplotlib.pyplot as plt

        if save_path is None:
            plt.show()
            return
        figure = ax.get_figure(root=True)
        assert figure is not None  # it is new
        try:
            save_figure(figure, save_path, dpi=300, bbox_inches="tight")
        finally:
            plt.close(figure)

    def _compared(self, method: str) -> LayerMatrix:
        if self._result is None:
            raise RuntimeError(f"CKA.{method}: there is no result yet; call compare first")
        return self._result


def _dataset(loader: Any) -> str:
    return type(getattr(loader, "dataset", loader)).__name__
