"""Losses of jax, forward and backward, compiled with jax.jit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import optax

from ..problems import Problem
from .trained import Trained


@cache
def _step(temperature: float) -> Any:
    def loss(x: Any, y: Any) -> Any:
        labels = jax.numpy.tile(jax.numpy.arange(len(x)), 2)
        return optax.losses.ntxent(jax.numpy.concatenate([x, y]), labels, temperature)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))


def optax_run(problem: Problem, xs: Sequence[Any]) -> Trained:
    loss, grads = jax.block_until_ready(_step(problem.temperature)(xs[0], xs[1]))
    return Trained(problem, loss, grads)
