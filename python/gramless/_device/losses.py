"""Contrastive losses of device arrays, with their gradients. Only labels of the host wait for the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays
from .._arrays.frameworks import Array, compute_dtype, dense_groups
from .._backends.launch import ContrastLaunch, DeviceContext, place_of
from .._losses import ContrastOptions, Reduction, ScalarReduction, as_groups


@dataclass(frozen=True)
class DeviceContrast:
    """A problem that is enqueued when asked for its value."""

    launch: ContrastLaunch
    counted: Array | None = None  # which anchors have a positive; None: all

    def value(self, reduction: Reduction) -> Array:
        """The losses of the anchors (n,), or their sum, or their mean over those that are counted, 0-d."""
        losses, _, mean = self.launch.forward()
        return self.reduced(losses, mean, reduction)

    def reduced(self, losses: Array, mean: Array, reduction: Reduction) -> Array:
        """What the launch returned as the user asked for it, in the type of the computation."""
        if reduction == "mean" and self.all_alike:
            return self._cast(mean[0])
        n = self.launch.rows
        rows = (losses[:n] + losses[n : 2 * n]) / 2 if self.launch.keys_are_anchors else losses[:n]
        if reduction == "none":
            return self._cast(rows)
        total = rows.sum()
        return self._cast(total / self._count() if reduction == "mean" else total)

    def value_and_grad(
        self, reduction: ScalarReduction, wanted: Sequence[bool] | None = None
    ) -> tuple[Array, tuple[Array, ...]]:
        """The loss, and its gradients by the wanted arrays, in their dtype, and by the temperature."""
        launch = self.launch
        wanted = [True] * (len(launch.anchors) + len(launch.keys)) if wanted is None else wanted
        losses, saved, mean = launch.forward()
        if reduction == "mean" and self.all_alike:
            loss = mean[0]
            grads, by_temperature = launch.backward(saved, wanted, scale_of_mean=launch.place.zeros(1) + 1)
        else:
            weights = self.weights(reduction)
            loss = (losses * weights).sum()
            grads, by_temperature = launch.backward(saved, wanted, weights)
        found = [grad for grad in grads if grad is not None]
        return self._cast(loss), (*found, self._cast(by_temperature[0]))

    @property
    def all_alike(self) -> bool:
        """Whether the mean is over all anchors and nothing else, as the launch itself knows it."""
        return self.counted is None and not self.launch.keys_are_anchors

    def _cast(self, x: Array) -> Array:
        framework = self.launch.place.framework
        return framework.cast(x, compute_dtype(framework.dtype(self.launch.anchors[0])))

    def _count(self) -> Any:
        """How many anchors the mean is over, at least 1."""
        if self.counted is None:
            return self.launch.rows
        return self.launch.place.framework.cast(self.counted, "float64").sum().clip(1)

    def weights(self, reduction: Reduction, of_anchors: Array | None = None) -> Array:
        """What every loss is multiplied by; `of_anchors` where they are not reduced."""
        launch, n = self.launch, self.launch.rows
        weights = launch.place.zeros(launch.losses)
        if of_anchors is None:
            weights[:n] = 1 if self.counted is None else self.counted
        else:
            weights[:n] = of_anchors
        if launch.keys_are_anchors:
            weights[n : 2 * n] = weights[:n]
        return weights / (
            (self._count() if reduction == "mean" else 1) * (2 if self.launch.keys_are_anchors else 1)
        )


def _options(
    options: ContrastOptions, symmetric: bool = False
) -> tuple[float, bool, float | None, str, bool, float | None]:
    kind = "decoupled" if options.decoupled else "softmax"
    chosen = options.temperature, options.normalize, options.exclude_above
    return *chosen, kind, symmetric, options.exclude_hardest


def embeddings(function: str, named: dict[str, Any]) -> tuple[DeviceContext, list[Array]]:
    """Device arrays (n, d) of one width."""
    place, arrays = place_of(function, named.items())
    for name, z in zip(named, arrays, strict=True):
        _arrays.check_columns(function, next(iter(named)), arrays[0], name, z)
    return place, arrays


def two_views(function: str, z_a: Any, z_b: Any, options: ContrastOptions) -> DeviceContrast:
    """Row i of z_a and of z_b are each other's positives."""
    place, (a, b) = embeddings(function, {"z_a": z_a, "z_b": z_b})
    _arrays.check_rows(function, "z_a", a, "z_b", b)
    return DeviceContrast(ContrastLaunch(place, [a, b], [], None, None, *_options(options)))


def labelled(function: str, z: Any, labels: Any, options: ContrastOptions) -> DeviceContrast:
    """Rows of one label are each other's positives."""
    place, (rows,) = embeddings(function, {"z": z})
    groups, counted = groups_of(place, labels, len(rows))
    launch = ContrastLaunch(place, [rows], [], groups, None, *_options(options))
    return DeviceContrast(launch, counted)


def groups_of(place: DeviceContext, labels: Any, rows: int) -> tuple[Array, Array]:
    """Labels as int32 groups on the device, and which rows share theirs; labels of the host are copied."""
    framework = place.framework
    if not framework.owns(labels):
        groups = as_groups(place.function, labels, rows)
        counted = np.bincount(groups)[groups] > 1
        uploaded = (framework.upload(x, place.device) for x in (groups.astype(np.int32), counted))
        return next(uploaded), next(uploaded)
    shape, dtype = tuple(labels.shape), framework.dtype(labels)
    if shape != (rows,):
        raise ValueError(f"{place.function}: z has {rows} rows but labels has shape {shape}")
    if "int" not in dtype and dtype != "bool":
        raise TypeError(f"{place.function}: labels must be integers but has dtype {dtype}")
    if framework.device(labels) != place.device:
        raise ValueError(
            f"{place.function}: z is on device {place.device} "
            f"but labels is on device {framework.device(labels)}"
        )
    return dense_groups(framework, labels, place.device)


def queue_groups(place: DeviceContext, rows: int, queued: int) -> Array | None:
    """The groups of keys (rows,) that belong to the anchors, and of a queue's, which belong to none."""
    if queued == 0:
        return None
    groups = place.zeros(rows + queued, dtype="int32") - 1
    groups[:rows] = place.framework.arange(rows, place.device)
    return groups


def pairs(
    function: str, anchors: Any, keys: Any, queue: Any, options: ContrastOptions, symmetric: bool
) -> DeviceContrast:
    """Row i of the anchors belongs to row i of the keys."""
    named = {"anchors": anchors, "keys": keys} | ({} if queue is None else {"queue": queue})
    place, (a, *others) = embeddings(function, named)
    _arrays.check_rows(function, "anchors", a, "keys", others[0])
    groups = queue_groups(place, len(a), sum(len(z) for z in others[1:]))
    launch = ContrastLaunch(place, [a], others, None, groups, *_options(options, symmetric))
    return DeviceContrast(launch)


def row_log_sum_exp(
    function: str, x: Any, y: Any, temperature: float, normalize: bool, exclude_self: bool
) -> DeviceContrast:
    """log sum_j exp(<x_i, y_j> / temperature); its value with reduction "none" is (n,)."""
    place, (rows, *keys) = embeddings(function, {"x": x} if y is None else {"x": x, "y": y})
    keys = [] if exclude_self else keys or [rows]
    launch = ContrastLaunch(place, [rows], keys, None, None, temperature, normalize, None, "log_sum_exp")
    return DeviceContrast(launch)


def row_log_sum_exp_value_and_grad(
    problem: DeviceContrast, weights: Any, with_y: bool
) -> tuple[Array, tuple[Array, Array | None, Array]]:
    """`gramless.row_log_sum_exp_value_and_grad`."""
    launch, n = problem.launch, problem.launch.rows
    place, framework = launch.place, launch.place.framework
    losses, saved, _ = launch.forward()
    of_losses = place.zeros(n)
    of_losses[:n] = 1 if weights is None else _weights(place, weights, n)
    grads, by_temperature = launch.backward(saved, [True] * (1 + len(launch.keys)), of_losses)
    grad_x, grad_y = grads[0], grads[1] if len(grads) > 1 else None
    if grad_y is not None and not with_y:
        grad_x, grad_y = grad_x + grad_y, None
    dtype = compute_dtype(framework.dtype(launch.anchors[0]))
    return framework.cast(losses[:n], dtype), (grad_x, grad_y, framework.cast(by_temperature[0], dtype))


def _weights(place: DeviceContext, weights: Any, rows: int) -> Array:
    framework = place.framework
    array = (
        weights
        if framework.owns(weights)
        else framework.upload(np.asarray(weights, np.float64), place.device)
    )
    if tuple(array.shape) != (rows,):
        raise ValueError(f"{place.function}: x has {rows} rows but weights has shape {tuple(array.shape)}")
    return framework.cast(array, "float64")
