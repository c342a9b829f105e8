"""CKA accumulated over batches: sums of HSIC values and one ratio. Knows no way to compute HSIC."""

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
    """`value` itself, checked to be a weighting."""
    if not isinstance(value, str) or value not in ("mean", "pairs"):
        raise ValueError(f'{function}: weighting must be "mean" or "pairs" but is {value!r}')
    return cast('Literal["mean", "pairs"]', value)


@documented
class MinibatchCKA:
    """CKA between layers from one batch at a time: the ratio of averages, never the average of ratios.

    cka = sum_t w_t hsic_t(K, L) / sqrt(sum_t w_t hsic_t(K, K) sum_t w_t hsic_t(L, L))

    over batches t, hsic_t the unbiased HSIC within batch t, so that the batch size does not bias the answer.

    Parameters
    ----------
    {kernel}
        Here that is each layer's in each batch.
    weighting : {"mean", "pairs"}
        "mean" has w_t = 1, the paper's equation; "pairs" has w_t = n_t (n_t - 3), as its authors' code has.
        They differ only where batches differ in size.

    Raises
    ------
    ValueError
        For an unknown kernel or weighting.

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
        # Sums are never written to: they may be shared.
        self._sums = ScaledSums.of(np.zeros((0, 0)), np.zeros(0), np.zeros(0))

    def update(self, xs: Any, ys: Any = None) -> None:
        """Add one batch.

        Parameters
        ----------
        xs, ys
            The layers of one or two models on the same n examples, as sequences of arrays (n, p_i); one array
            (n, p) stands for one layer. ys=None compares xs with itself. Sums of batches on a GPU stay there,
            and nothing waits for them before `compute`.

        Raises
        ------
        ValueError
            For fewer than 4 rows, rows that differ in number, and another number of layers than in earlier
            batches; what was accumulated stays as it was.
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
        """The CKA of every layer of xs with every layer of ys over the batches so far, (len(xs), len(ys)).

        The sums are kept in float64, so this is a numpy array of float64 whatever the batches came in.

        A layer that is constant in every batch has NaN, with one RuntimeWarning.

        Raises
        ------
        RuntimeError
            Before the first update.
        """
        if self._batches == 0:
            raise RuntimeError("MinibatchCKA.compute: there is no batch to compute from; call update first")
        xy, xx, yy, *_ = self._sums.on_host()
        if np.any(xx <= 0) or np.any(yy <= 0):
            warnings.warn(
                "MinibatchCKA.compute: the CKA is NaN where a layer's HSIC with itself is not positive: in "
                f"every batch {NO_HSIC}",
                RuntimeWarning,
                stacklevel=2,
            )
        return np.asarray(aligned(xy, xx, yy))

    def merge(self, other: MinibatchCKA) -> None:
        """Add the batches that `other` has seen, from another process perhaps.

        The sums of other are added to the sums here, entry by entry. So a.merge(b) and b.merge(a) are bitwise
        the same, and merging single batches in turn gives the bits of updating with them in turn; other
        groupings of the same batches may differ in the last digits.

        Raises
        ------
        ValueError
            Where kernel, weighting or the number of layers differ.
        TypeError
            For another type.
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
        """All that was accumulated, as numbers, strings and lists, for JSON, torch.save and numpy.savez.

        The sums are those of the data divided by 2^(exponents of both layers).
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
        """Continue from a `state_dict`; sums accumulated so far are discarded.

        A state without exponents, of an earlier version, has the sums of the data themselves.

        Raises
        ------
        ValueError
            For a state that lacks an entry, holds no numbers where it should, or is that of another kernel or
            weighting.
        TypeError
            For what is no mapping.
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
        """Raise an error for a batch that cannot be added to the previous ones."""
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
    """A sequence of arrays; one array with two dimensions is a sequence of one."""
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
            f"which may be ordered otherwise in another batch: pass [{argument}[name] for name in names]"
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
