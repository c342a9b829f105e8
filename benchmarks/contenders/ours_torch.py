"""gramless on torch tensors: losses and similarities forward and backward, and inputs of 16 bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gramless as gl
import numpy as np
import torch

from ..problems import SIGLIP_BIAS, TRAINED, Problem
from . import ours
from .trained import Trained


def _siglip_numbers(problem: Problem) -> dict[str, float]:
    return {"logit_scale": 1 / problem.temperature, "logit_bias": SIGLIP_BIAS}


def _guide(x: Any, y: Any) -> dict[str, Any]:
    return {"guide_anchors": x.detach(), "guide_positives": y.detach()}


def loss_of(problem: Problem, x: Any, y: Any) -> Any:
    if problem.kind == "cka_grad":
        return gl.cka(x, y, kernel=ours.kernel_of(problem), estimator=problem.estimator)
    if problem.kind == "siglip":
        return gl.siglip(x, y, **_siglip_numbers(problem))
    if problem.kind == "ranking":
        half = len(x) // 2
        return gl.info_nce(x[:half], y[:half], negatives=y[half:], temperature=problem.temperature)
    if problem.kind == "guided":
        return gl.guided_info_nce(x, y, **_guide(x, y), temperature=problem.temperature)
    return {"nt_xent": gl.nt_xent, "info_nce": gl.info_nce}[problem.kind](
        x, y, temperature=problem.temperature
    )


def run(problem: Problem, xs: Sequence[Any]) -> Any:
    if problem.kind not in TRAINED:
        return ours.run(problem, xs)
    for x in xs:
        x.grad = None
    loss = loss_of(problem, *xs)
    loss.backward()
    return Trained(problem, loss.detach(), [x.grad for x in xs])


def in_float64(problem: Problem, xs: Sequence[Any]) -> Any:
    doubles = [x.detach().double().requires_grad_(problem.kind in TRAINED) for x in xs]
    return run(problem, doubles)


def reference_run(problem: Problem, xs: Sequence[Any]) -> Any:
    """`gramless.reference`; for CKA, whose reference has no gradient, autograd in float64."""
    from .torch_losses import forward_and_backward, torch_loss

    if problem.kind not in TRAINED:
        return ours.reference_run(problem, [x.double().numpy() for x in xs])
    if problem.kind == "cka_grad":
        doubles = [x.detach().double().requires_grad_() for x in xs]
        return forward_and_backward(torch_loss, problem, doubles)
    arrays = [x.detach().numpy() for x in xs]
    if problem.kind == "siglip":
        loss, *grads = gl.reference.siglip_value_and_grad(*arrays, **_siglip_numbers(problem))
        return Trained(problem, torch.tensor(loss), grads[:2])
    if problem.kind == "ranking":
        (x, y), half = arrays, len(arrays[0]) // 2
        named = {"negatives": y[half:], "temperature": problem.temperature}
        loss, grads = gl.reference.info_nce_value_and_grad(x[:half], y[:half], **named)
        of_x = np.concatenate([grads[0], np.zeros_like(grads[0])])
        return Trained(problem, torch.tensor(loss), [of_x, np.concatenate(grads[1:3])])
    if problem.kind == "guided":
        guide = dict(zip(("guide_anchors", "guide_positives"), arrays, strict=True))
        loss, grads = gl.reference.guided_info_nce_value_and_grad(
            *arrays, **guide, temperature=problem.temperature
        )
        return Trained(problem, torch.tensor(loss), grads[:2])
    value_and_grad = getattr(gl.reference, f"{problem.kind}_value_and_grad")
    loss, grads = value_and_grad(*arrays, temperature=problem.temperature)
    return Trained(problem, torch.tensor(loss), grads[:2])
