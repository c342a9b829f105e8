"""CKA accumulated over batches: sums of HSIC values and their ratio. HSIC is computed elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from ._alignment import NO_HSIC, aligned
from ._arrays.meant import instead_of_shape
from ._docs import documented
from ._layer_calls import layer_values, layers_of
from ._scaled_sums import ScaledSums
from .kernels import KernelLike, as_kernel

__all__ = ["MinibatchCKA"]

_Array = npt.NDArray[np.float64]
_EXPONENTS = ("exponent_x", "exponent_y")


def as_weighting(function: str, value: Any) -> Literal["mean", "pairs"]:
    """`value`, checked to be a weighting."""
    if not isinstance(value, str) or value not in ("mean", "pairs"):
        raise ValueError(f'{function}: weighting must be "mean" or "pairs" but is {value!r}')
    return cast('Literal["mean", "pairs"]', value)


@documented
class MinibatchCKA:
    """CKA between layers, accumulated batch by batch as a ratio of averages.

    cka = sum_t w_t hsic_t(K, L) / sqrt(sum_t w_t hsic_t(K, K) sum_t w_t hsic_t(L, L))

    over batches t, where hsic_t is the unbiased HSIC within batch t, so that the batch size does not bias the
    result.

    Parameters
    ----------
    {kernel}
        The median is computed in each batch.
    weighting : {"mean", "pairs"}
        "mean" uses w_t = 1, as in the paper; "pairs" uses w_t = n_t (n_t - 3), as in the authors' code, where
        n_t is the size of batch t. They differ only if batches differ in size.

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
    >>> import numpy as np
    >>> from gramless import MinibatchCKA
    >>> x = np.random.default_rng(0).standard_normal((64, 8))
    >>> minibatch = MinibatchCKA()
    >>> for start in range(0, 64, 16):
    ...     batch = x[start : start + 16]
    ...     minibatch.update([batch, 2 * batch])
    >>> minibatch.compute().round(6)
    array([[1., 1.],
           [1., 1.]])
    """

    def __init__(self, kernel: KernelLike = "linear", weighting: Literal["mean", "pairs"] = "mean") -> None:
        self.weighting = as_weighting("MinibatchCKA", weighting)
        self.kernel = as_kernel(kernel, "MinibatchCKA")
        self.reset()

    def __repr__(self) -> str:
        return f"MinibatchCKA(kernel={self.kernel!r}, weighting={self.weighting!r})"

    def reset(self) -> None:
        """Discard all batches."""
        self._batches = 0
        self._with_itself = False
        # Sums may be shared between objects, so they are replaced and never modified.
        self._sums = ScaledSums.of(np.zeros((0, 0)), np.zeros(0), np.zeros(0))

    def update(self, xs: Any, ys: Any = None) -> None:
        """Add one batch.

        Parameters
        ----------
        xs, ys : sequence of arrays (n, p_i), or one array (n, p)
            The layers of one or two models for the same n >= 4 examples; one array stands for one layer.
            ys=None compares xs with itself. The sums of batches on a GPU stay there, and only `compute` waits
            for them.

        Raises
        ------
        ValueError
            If there are fewer than 4 rows, layers differ in their number of rows, or the number of layers
            differs from that of earlier batches. The accumulated sums then stay unchanged.
        TypeError
            If xs or ys is not a sequence of arrays, or an array has a dtype that is not supported.
        """
        layers_x = _as_layers("xs", xs)
        layers_y = None if ys is None else _as_layers("ys", ys)
        width_y = len(layers_x if layers_y is None else layers_y)
        self._check_layers("update", layers_y is None, (len(layers_x), width_y))
        options = self.kernel, "unbiased", "hsic", False
        call = layers_of("MinibatchCKA.update", layers_x, layers_y, *options)
        values, n = layer_values(call), int(call.inputs[0].shape[0])
        weight = n * (n - 3) if self.weighting == "pairs" else 1
        own = values.xy, values.xx, values.yy, values.exponent_x, values.exponent_y
        self._add(1, layers_y is None, ScaledSums.of(*own, weight))

    def compute(self) -> _Array:
        """Compute the CKA of every layer of xs with every layer of ys over the batches so far.

        Returns
        -------
        ndarray of float64, (len(xs), len(ys))
            NaN, with one RuntimeWarning, for a layer that is constant in every batch.

        Raises
        ------
        RuntimeError
            If there was no update yet.
        """
        if self._batches == 0:
            raise RuntimeError("MinibatchCKA.compute: there is no batch to compute from; call update first")
        xy, xx, yy, *_ = self._sums.on_host()
        if np.any(xx <= 0) or np.any(yy <= 0):
            warnings.warn(
                "MinibatchCKA.compute: the CKA is NaN for layers whose HSIC with itself is not positive: in "
                f"every batch {NO_HSIC}",
                RuntimeWarning,
                stacklevel=2,
            )
        return np.asarray(aligned(xy, xx, yy))

    def merge(self, other: MinibatchCKA) -> None:
        """Add the batches that `other` has accumulated, for example in another process.

        The sums are added entry by entry. Therefore a.merge(b) and b.merge(a) are bitwise identical, and
        merging single batches in turn is bitwise identical to updating with them in turn; other groupings of
        the same batches may differ in the last digits.

        Parameters
        ----------
        other : MinibatchCKA

        Raises
        ------
        ValueError
            If kernel, weighting or the number of layers differ.
        TypeError
            If other is not a MinibatchCKA.
        """
        if not isinstance(other, MinibatchCKA):
            raise TypeError(f"MinibatchCKA.merge: other must be a MinibatchCKA but is {other!r}")
        for name in ("kernel", "weighting"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                raise ValueError(f"MinibatchCKA.merge: {name} is {ours!r} here but {theirs!r} in other")
        if other._batches == 0:
            return
        self._check_layers("merge", other._with_itself, other._sums.xy.shape)
        self._add(other._batches, other._with_itself, other._sums.on_host())

    def state_dict(self) -> dict[str, Any]:
        """The accumulated state as numbers, strings and lists, for JSON, torch.save and numpy.savez.

        The sums are divided by 2^(sum of the exponents of both layers).
        """
        xy, xx, yy, exponent_x, exponent_y = self._sums.on_host()
        return {
            "kernel": repr(self.kernel),
            "weighting": self.weighting,
            "batches": self._batches,
            "with_itself": self._with_itself,
            "sum_xy": xy.tolist(),
            "sum_xx": xx.tolist(),
            "sum_yy": yy.tolist(),
            "exponent_x": exponent_x.tolist(),
            "exponent_y": exponent_y.tolist(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace the accumulated state by that of a `state_dict`.

        In a state without exponents, from an earlier version, the sums are not divided.

        Parameters
        ----------
        state : mapping

        Raises
        ------
        ValueError
            If an entry is missing or does not hold numbers, or kernel or weighting differ.
        TypeError
            If state is not a mapping.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"MinibatchCKA.load_state_dict: state must be a mapping but is {state!r}")
        missing = [name for name in self.state_dict() if name not in (*state, *_EXPONENTS)]
        if missing:
            raise ValueError(f"MinibatchCKA.load_state_dict: state has no entry {missing[0]!r}")
        for name, ours in {"kernel": repr(self.kernel), "weighting": self.weighting}.items():
            if str(state[name]) != ours:
                raise ValueError(
                    f"MinibatchCKA.load_state_dict: {name} is {ours} here but {state[name]} in state"
                )
        batches, xy, xx, yy = (_entry(state, name) for name in ("batches", "sum_xy", "sum_xx", "sum_yy"))
        if batches > 0 and xy.shape != (len(xx), len(yy)):
            raise ValueError(
                f"MinibatchCKA.load_state_dict: sum_xy has shape {xy.shape} but sum_xx and sum_yy have "
                f"{len(xx)} and {len(yy)} entries"
            )
        units = [_entry(state, name) if name in state else None for name in _EXPONENTS]
        for name, unit, own in zip(_EXPONENTS, units, (xx, yy), strict=True):
            if batches > 0 and unit is not None and unit.shape != own.shape:
                raise ValueError(
                    f"MinibatchCKA.load_state_dict: {name} has shape {unit.shape} for {len(own)} layers"
                )
        self.reset()
        if batches > 0:
            self._add(int(batches), bool(state["with_itself"]), ScaledSums.of(xy, xx, yy, units[0], units[1]))

    def _check_layers(self, method: str, with_itself: bool, layers: tuple[int, ...]) -> None:
        """Raise ValueError for a batch that cannot be added to the previous ones."""
        if self._batches == 0:
            return
        if with_itself != self._with_itself:
            given = ("given", "None")
            raise ValueError(
                f"MinibatchCKA.{method}: ys is {given[with_itself]} but in earlier batches it was "
                f"{given[self._with_itself]}"
            )
        for name, count, before in zip(("xs", "ys"), layers, self._sums.xy.shape, strict=True):
            if count != before:
                raise ValueError(
                    f"MinibatchCKA.{method}: {name} has {count} layers but in earlier batches it had {before}"
                )

    def _add(self, batches: int, with_itself: bool, added: ScaledSums) -> None:
        self._sums = self._sums.plus(added) if self._batches > 0 else added
        self._batches += batches
        self._with_itself = with_itself


def _as_layers(argument: str, layers: Any) -> Sequence[Any]:
    """`layers` as a sequence of arrays; one array with two dimensions becomes a sequence of one."""
    if getattr(layers, "ndim", None) == 2:
        return [layers]
    if getattr(layers, "ndim", None) == 1:
        shape = tuple(layers.shape)
        hint = instead_of_shape("MinibatchCKA.update", argument, layers, shape)
        raise ValueError(
            f"MinibatchCKA.update: {argument} must be a sequence of arrays, or one array (rows, features), "
            f"but has shape {shape}{hint}"
        )
    if isinstance(layers, Mapping):
        raise TypeError(
            f"MinibatchCKA.update: {argument} must be a sequence of arrays but is {type(layers).__name__}, "
            f"whose order may differ in another batch; pass [{argument}[name] for name in names]"
        )
    if isinstance(layers, str) or not isinstance(layers, Iterable):
        raise TypeError(
            f"MinibatchCKA.update: {argument} must be a sequence of arrays, or one array, but is {layers!r}"
        )
    return list(layers)


def _entry(state: Mapping[str, Any], name: str) -> _Array:
    try:
        return np.array(state[name], dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"MinibatchCKA.load_state_dict: {name} must hold numbers but is {state[name]!r}"
        ) from None
