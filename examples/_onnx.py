"""Weights of torch models that are packaged as ONNX graphs, with the names that they had in torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


def package_folder(name: str) -> Path:
    """The folder of an installed package, which is not imported; raises SystemExit if it is missing."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the package {name} is missing: the example's first lines list what it needs")
    return Path(found.submodule_search_locations[0])


def need(*names: str) -> None:
    """Raises SystemExit, which names the first of these packages that is not installed."""
    for name in names:
        package_folder(name)


def named_weights(path: Path, prefix: str) -> dict[str, Tensor]:
    """Weights by name. Biases and norms keep their names in a graph; a matrix has that of its product."""
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(path).graph
    values = {entry.name: np.array(to_array(entry)) for entry in graph.initializer}
    weights = {name.removeprefix(prefix): torch.tensor(value) for name, value in values.items()}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in values:
            place = node.name.removesuffix("/MatMul").replace("/", ".").partition(prefix)[2]
            weights[f"{place}.weight"] = torch.tensor(values[node.input[1]].T)
    return weights


def load(model: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """The model with these weights; raises SystemExit if one is missing."""
    wanted = model.state_dict()
    missing = [name for name in wanted if name not in weights]
    if missing:
        raise SystemExit(f"the ONNX graph has no {missing[0]}")
    model.load_state_dict({name: weights[name] for name in wanted})
    return model
