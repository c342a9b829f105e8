"""CKA of layers with their own activations at the start of training."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import nn

from .._alignment import NO_HSIC
from .._counts import as_integer
from .._docs import documented
from .._layouts import LayoutLike, Layouts
from ..hsic import cka
from ..kernels import Estimator, KernelLike, as_estimator, as_kernel
from .batches import BatchReader, Forward
from .forward_passes import check_masks, check_widths, warn_of_left_out
from .hooks import Recorder
from .layers import Layers, bare, select
from .masks import MaskWhere
from .placing import placed
from .pooling import Pool, check_pool
from .tensors import moved

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FUNCTION = "TrainingCKA"


@documented
class TrainingCKA:
    """A callback that computes the CKA of every layer with its own activations at the start of training.

    The activations at the start are those when this object is created, for the same examples. `steps` and
    `layers` are the recorded steps and the layers, and `matrix` has the values, (len(steps), len(layers)).
    Raghu et al. 2017 plot training in this way, with SVCCA.

    Parameters
    ----------
    model : torch.nn.Module
        The model in training. At each call it runs in evaluation mode without gradients, and stays unchanged.
    batches : sequence of batches
        A few hundred fixed examples, as a list of batches. A batch is a tensor, a packed sequence, a tuple or
        list that starts with one of these, or a mapping, of which the model receives the entries that its
        forward accepts. The activations are stored and compared on the CPU, because a GPU in training has
        little free memory.
    start : torch.nn.Module, optional
        Another model with the same layers to compare with, such as a checkpoint; None (default) uses the
        model when this object is created.
    layers : str, type, module or sequence of these, optional
        {model_layers}
    every : int
        A call with a step that is not a multiple of it does nothing.
    {kernel}
    {estimator}
    {pool}
    {layout}
    forward : callable, optional
        A function of (model, batch) that runs the model.
    attention_mask : key, index or callable
        {mask}

    Raises
    ------
    ValueError
        If batches is empty, every is below 1, an option is not valid, or a layer does not exist, never runs
        or has an ambiguous layout.
    TypeError
        If an argument has another type.

    References
    ----------
    Raghu, Gilmer, Yosinski and Sohl-Dickstein 2017, "SVCCA: singular vector canonical correlation analysis
    for deep learning dynamics and interpretability", arXiv:1706.05806.

    Examples
    --------
    >>> import torch
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> x = torch.randn(64, 4, generator=torch.manual_seed(0))
    >>> watch = TrainingCKA(net, [x], layers=["0", "2"], every=10)
    >>> optimizer = torch.optim.SGD(net.parameters(), 0.1)
    >>> for step in range(21):
    ...     values = watch(step)
    ...     optimizer.zero_grad()
    ...     (net(x) - x.prod(1, keepdim=True)).square().mean().backward()
    ...     optimizer.step()
    >>> watch.steps, watch.matrix.shape, watch.matrix[0].round(6).tolist()
    ([0, 10, 20], (3, 2), [1.0, 1.0])
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Any,
        *,
        start: nn.Module | None = None,
        layers: Layers = None,
        every: int = 1,
        kernel: KernelLike = "linear",
        estimator: Estimator = "unbiased",
        pool: Pool = "mean",
        layout: LayoutLike = None,
        forward: Forward = None,
        attention_mask: MaskWhere = "attention_mask",
    ) -> None:
        for name, given in (("model", model), ("start", start)):
            if not isinstance(given, nn.Module) and not (name == "start" and given is None):
                kind = type(given).__name__
                raise TypeError(f"{FUNCTION}: {name} must be a torch.nn.Module but is {kind}")
        every = as_integer(FUNCTION, "every", every, "an integer")
        if every < 1:
            raise ValueError(f"{FUNCTION}: every must be at least 1 but is {every}")
        self._kernel, self._estimator = as_kernel(kernel, FUNCTION), as_estimator(estimator, FUNCTION)
        self._pool, self._reader = (
            check_pool(FUNCTION, pool),
            BatchReader(FUNCTION, forward, attention_mask, None),
        )
        self._reader.check_loaders([batches])
        self._model, self._batches, self._wanted = bare(model), list(batches), layers
        self._every, self._layouts = every, Layouts(FUNCTION, layout)
        if not self._batches:
            raise ValueError(f"{FUNCTION}: batches is empty")
        self._reader.check_mask_places(self._batches[:1])
        self.steps: list[int] = []
        self._values: list[list[float]] = []
        recorder, self._start = self._rows("start", self._model if start is None else bare(start))
        self.layers = recorder.names
        warn_of_left_out(FUNCTION, [recorder], stacklevel=3)

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The CKA of every layer at every recorded step, (len(steps), len(layers))."""
        return np.array(self._values, np.float64).reshape(-1, len(self.layers))

    def __call__(self, step: int) -> dict[str, float] | None:
        """The CKA of every layer with its start, by name, for a logger; None if the step is skipped."""
        if step % self._every:
            return None
        recorder, now = self._rows("model", self._model)
        names = recorder.names
        if names != self.layers:
            raise ValueError(f"{FUNCTION}: the model has layers {names} but the start has {self.layers}")
        values = self._values_of(now)
        self.steps.append(step)
        self._values.append(values)
        return dict(zip(names, values, strict=True))

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw layers against steps with `gramless.plot.heatmap`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            The axes to draw into; None creates a figure.
        **options
            Passed to `heatmap`.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ValueError
            If no step has been recorded yet.
        """
        from ..plot import heatmap

        if not self.steps:
            raise ValueError(f"{FUNCTION}.plot: there is no step to draw yet; call it with a step first")
        defaults: dict[str, Any] = {"label_a": "step", "label_b": "layer", "title": "CKA with the start"}
        return heatmap(
            self.matrix, [str(step) for step in self.steps], self.layers, ax, **(defaults | options)
        )

    def _values_of(self, now: list[npt.NDArray[Any]]) -> list[float]:
        """The CKA of every layer with its start; one warning names the layers for which it is not defined."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "cka: not defined", RuntimeWarning)  # it names no layer
            values = [
                float(cka(a, b, kernel=self._kernel, estimator=self._estimator))
                for a, b in zip(now, self._start, strict=True)
            ]
        without = [repr(name) for name, value in zip(self.layers, values, strict=True) if np.isnan(value)]
        if without:
            warnings.warn(
                f"{FUNCTION}: the CKA of layer {', '.join(without)} with its start is NaN: its values "
                f"include NaN, or {NO_HSIC}",
                RuntimeWarning,
                stacklevel=3,
            )
        return values

    def _rows(self, owner: str, model: nn.Module) -> tuple[Recorder, list[npt.NDArray[Any]]]:
        """The recorder with the names of the layers, and the rows of every layer over all batches."""
        wanted = select(FUNCTION, owner, model, self._wanted, "layers")
        recorder = Recorder(FUNCTION, owner, model, wanted, self._pool, self._layouts)
        self._layouts.check_used(recorder.candidates)
        self._reader.check_masks(recorder.candidates)
        with placed(FUNCTION, [model], None) as device, recorder.running():
            found: list[list[npt.NDArray[Any]]] = []
            names: tuple[str, ...] | None = None
            for index, given in enumerate(self._batches):
                batch = moved(FUNCTION, given, device)
                masks, rows = self._reader.masks(batch), self._reader.rows(batch)
                names = masks.names if names is None else names
                check_masks(FUNCTION, owner, masks.names, names)
                found.append(recorder.record(partial(self._reader.run, model), batch, masks, rows))
                check_widths(FUNCTION, recorder, found[-1], [x.shape[1] for x in found[0]], index)
        return recorder, [np.concatenate(parts) for parts in zip(*found, strict=True)]
