"""Minibatch CKA as a torchmetrics metric, with support for collections, several processes and checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from .._arrays import check_copyable
from .._scaled_sums import ScaledSums, common_units
from ..kernels import KernelLike, as_kernel
from ..minibatch import MinibatchCKA, as_weighting
from ._tensors import on_device
from .sweep import Weighting

try:
    from torchmetrics import Metric
except ModuleNotFoundError as error:
    needs = "CKAMetric: needs torchmetrics: pip install torchmetrics"
    raise ModuleNotFoundError(needs) from error

_SUMS = ("sum_xy", "sum_xx", "sum_yy")
_EXPONENTS = ("exponent_x", "exponent_y")  # of the sums; `sync` makes them equal in all processes
_OPTIONS = "options"  # kernel and weighting in a state_dict, as bytes of JSON because it holds tensors
_UNKNOWN, _TWO, _ITSELF = 0, 1, 2  # whether xs are compared with ys or with themselves


def _add_in_order(of_ranks: Tensor) -> Tensor:
    """The sum over ranks in their order, bitwise identical on all ranks."""
    total: Tensor = reduce(torch.add, of_ranks)
    return total


def _largest(of_ranks: Tensor) -> Tensor:
    return of_ranks.amax(dim=0)


class CKAMetric(Metric):  # type: ignore[misc, unused-ignore]
    """`MinibatchCKA` as a `torchmetrics.Metric`: it returns tensors and accumulates over several processes.

    `update`, `compute`, `reset`, `merge_state`, `state_dict` and collections work as in torchmetrics. As
    there, a state_dict contains the metric only after `persistent(True)`, so that an epoch can be resumed.

    Parameters
    ----------
    kernel : a kernel, such as RBF(scale=0.5), or its name
        A kernel without a given bandwidth uses the median distance of each layer in each batch.
    weighting : {"mean", "pairs"}
        "mean" weighs all batches equally, as in the paper; "pairs" weighs batch t by n_t (n_t - 3), as in the
        authors' code, where n_t is its size.
    **options
        Passed to `torchmetrics.Metric`, such as process_group, the processes whose batches are accumulated.
        Each process updates with its own batches, and all must call `compute`, which adds the sums in the
        order of the ranks, so that the result is bitwise identical on all ranks. Ranks may have no batches.

    Raises
    ------
    ValueError
        If the kernel or weighting is unknown.
    TypeError
        If the kernel is neither a kernel nor a name.

    References
    ----------
    Nguyen, Raghu and Kornblith 2021, "Do wide and deep networks learn the same things?", arXiv:2010.15327.

    Examples
    --------
    >>> x = torch.randn(64, 8, generator=torch.manual_seed(0))
    >>> metric = CKAMetric()
    >>> for batch in x.split(16):
    ...     of_batch = metric([batch, batch.tanh()])
    >>> of_batch.shape, metric.compute().shape
    (torch.Size([2, 2]), torch.Size([2, 2]))
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = None

    def __init__(self, kernel: KernelLike = "linear", weighting: Weighting = "mean", **options: Any) -> None:
        super().__init__(**options)
        self.kernel = as_kernel(kernel, "CKAMetric")
        self.weighting = as_weighting("CKAMetric", weighting)
        for name, default in zip(_SUMS, (torch.zeros(0, 0), torch.zeros(0), torch.zeros(0)), strict=True):
            self.add_state(name, default.double(), dist_reduce_fx=_add_in_order)
        for name in _EXPONENTS:
            self.add_state(name, torch.zeros(0, dtype=torch.int64), dist_reduce_fx=_largest)
        self.add_state("batches", torch.tensor(0), dist_reduce_fx=_add_in_order)
        self.add_state("against", torch.tensor(_UNKNOWN), dist_reduce_fx=_largest)

    def __repr__(self) -> str:
        return f"CKAMetric(kernel={self.kernel!r}, weighting={self.weighting!r})"

    def update(self, xs: Any, ys: Any = None) -> None:
        """Add a batch.

        Parameters
        ----------
        xs, ys : sequence of tensors (n, ...), or one tensor
            The layers of one or two models for the same n >= 4 examples; further dimensions are flattened.
            ys=None compares xs with itself.

        Raises
        ------
        ValueError
            If there are fewer than 4 rows, layers differ in their number of rows, or the number of layers
            differs from that of earlier batches.
        TypeError
            If xs or ys is not a sequence of tensors.
        """
        self._merge(self._of_batch(xs, ys))

    def forward(self, xs: Any, ys: Any = None) -> Tensor:
        """Add a batch as `update` does, and return the CKA of that batch alone, in this process alone."""
        batch = self._of_batch(xs, ys)
        self._merge(batch)
        self._update_count += 1
        self._computed = None
        return self._here(batch.compute())

    def compute(self) -> Tensor:
        """Compute the CKA over all batches of all processes.

        Returns
        -------
        tensor of float64, (layers of xs, layers of ys)

        Raises
        ------
        RuntimeError
            If no process has been updated yet.
        """
        return self._here(self._accumulator(self.metric_state).compute())

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add the batches of another CKAMetric or of its state.

        Raises
        ------
        ValueError
            If kernel, weighting or the number of layers differ.
        TypeError
            If incoming_state is neither a CKAMetric nor a dict.
        """
        if isinstance(incoming_state, dict):
            state = incoming_state
        elif isinstance(incoming_state, CKAMetric):
            self._check_options(incoming_state._options(), "merge_state")
            state = incoming_state.metric_state
        else:
            found = f"must be a CKAMetric or a dict but is {incoming_state!r}"
            raise TypeError(f"CKAMetric.merge_state: incoming_state {found}")
        self._merge(self._accumulator(state))
        self._update_count += 1
        self._computed = None

    def sync(
        self, dist_sync_fn: Any = None, process_group: Any = None, *further: Any, **options: Any
    ) -> None:
        """Synchronize as `Metric.sync` does; a rank without batches takes the shapes of the other ranks."""
        if distributed.is_available() and distributed.is_initialized():
            group = process_group or self.process_group
            shapes: list[Any] = [None] * distributed.get_world_size(group)
            own = [tuple(getattr(self, name).shape) for name in _SUMS], int(self.against)
            distributed.all_gather_object(shapes, (own, self._options()), group)
            for rank, (_, theirs) in enumerate(shapes):
                for name, first in shapes[0][1].items():
                    if theirs[name] != first:
                        raise ValueError(
                            f"CKAMetric.sync: every process must have the same {name}, but it is {first} in "
                            f"process 0 and {theirs[name]} in process {rank}"
                        )
            shape = _one_shape([own for own, _ in shapes])
            if int(self.batches) == 0:
                for name, sides in zip((*_SUMS, *_EXPONENTS), [*shape, *shape[1:]], strict=True):
                    setattr(self, name, getattr(self, name).new_zeros(sides))
            self._share_units(group)
        super().sync(dist_sync_fn, process_group, *further, **options)

    def _share_units(self, group: Any) -> None:
        """Give the sums of all processes the same exponents, so that they can be added."""
        units: list[Any] = [None] * distributed.get_world_size(group)
        own = self._sums(self.metric_state)
        distributed.all_gather_object(units, own.units(), group)
        self._set_sums(own.in_units(*common_units(units)))

    def state_dict(  # type: ignore[override, unused-ignore]
        self, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """The state: empty as in torchmetrics, or after `persistent(True)` the sums and the options."""
        found: dict[str, Any] = super().state_dict(destination, prefix, keep_vars)
        if any(self._persistent.values()):
            found[prefix + _OPTIONS] = torch.tensor(
                list(json.dumps(self._options()).encode()), dtype=torch.uint8
            )
        return found

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Raise ValueError for the checkpoint of another kernel or weighting."""
        saved = state_dict.pop(prefix + _OPTIONS, None)
        if saved is not None:
            self._check_options(json.loads(bytes(saved.tolist())), "load_state_dict")
        for name, sums in zip(_EXPONENTS, ("sum_xx", "sum_yy"), strict=True):
            if prefix + sums in state_dict:  # states of an earlier version have no exponents
                without = torch.zeros(state_dict[prefix + sums].shape, dtype=torch.int64)
                state_dict.setdefault(prefix + name, without)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def _options(self) -> dict[str, str]:
        return {"kernel": repr(self.kernel), "weighting": self.weighting}

    def _check_options(self, other: dict[str, str], method: str) -> None:
        for name, ours in self._options().items():
            if other[name] != ours:
                raise ValueError(f"CKAMetric.{method}: {name} is {ours} here but {other[name]} there")

    def _of_batch(self, xs: Any, ys: Any) -> MinibatchCKA:
        batch = MinibatchCKA(self.kernel, self.weighting)
        batch.update(_flat(xs), None if ys is None else _flat(ys))
        return batch

    def _here(self, values: Any) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _accumulator(self, state: dict[str, Any]) -> MinibatchCKA:
        found = MinibatchCKA(self.kernel, self.weighting)
        entries = {name: state[name].cpu().numpy() for name in (*_SUMS, *_EXPONENTS) if name in state}
        counts = {"batches": int(state["batches"]), "with_itself": int(state["against"]) == _ITSELF}
        found.load_state_dict(self._options() | counts | entries)
        return found

    def _merge(self, other: MinibatchCKA) -> None:
        total = self._accumulator(self.metric_state)
        total.merge(other)
        entries = total.state_dict()
        if entries["batches"] == 0:
            return
        xy, xx, yy, of_x, of_y = (np.array(entries[name]) for name in (*_SUMS, *_EXPONENTS))
        self._set_sums(ScaledSums.of(xy, xx, yy, of_x, of_y))
        self.batches = torch.tensor(entries["batches"], device=self.device)
        against = _ITSELF if entries["with_itself"] else _TWO
        self.against = torch.tensor(against, device=self.device)

    def _sums(self, state: dict[str, Any]) -> ScaledSums:
        xy, xx, yy, of_x, of_y = (state[name].cpu().numpy() for name in (*_SUMS, *_EXPONENTS))
        return ScaledSums.of(xy, xx, yy, of_x, of_y)

    def _set_sums(self, sums: ScaledSums) -> None:
        for name, values in zip((*_SUMS, *_EXPONENTS), sums, strict=True):
            setattr(self, name, torch.from_numpy(values).to(self.device))


def _one_shape(ranks: list[tuple[list[tuple[int, ...]], int]]) -> list[tuple[int, ...]]:
    """The shapes of the sums of the ranks with batches. Raises ValueError if they differ."""
    seen = {rank: (shapes, against) for rank, (shapes, against) in enumerate(ranks) if against != _UNKNOWN}
    if not seen:
        return ranks[0][0]
    first, (shapes, against) = next(iter(seen.items()))
    for rank, (theirs, others) in seen.items():
        if theirs[0] != shapes[0]:
            raise ValueError(
                f"CKAMetric.sync: every process must have the same number of layers, but there are "
                f"{shapes[0]} in process {first} and {theirs[0]} in process {rank}"
            )
        if others != against:
            words = {_TWO: "with ys", _ITSELF: "with themselves"}
            raise ValueError(
                f"CKAMetric.sync: every process must compare xs in the same way, but they are compared "
                f"{words[against]} in process {first} and {words[others]} in process {rank}"
            )
    return shapes


def _flat(layers: Any) -> Any:
    """Tensors (n, features) from a sequence or one tensor; other values unchanged (`update` raises)."""
    if isinstance(layers, (str, Mapping)) or not isinstance(layers, Iterable):
        return layers
    if getattr(layers, "ndim", None) == 1:
        return layers
    single = isinstance(layers, Tensor) and layers.ndim == 2
    rows = [torch.as_tensor(x).detach() for x in ([layers] if single else layers)]
    for i, x in enumerate(rows):
        check_copyable("CKAMetric.update", f"layer {i}", x)
    rows = [x.flatten(1) if x.ndim > 2 else x for x in rows]
    return [x if on_device(x) else x.cpu() for x in rows]
