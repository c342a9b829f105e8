"""python -m benchmarks.whole_models [--images N] [--rounds N] [--out FILE]: two networks compared, as JSON.

EfficientNet-Lite0 with -Lite1, by gramless, pytorch-cka and torch-cka, and the forward passes alone. Answers
first, against float64; then times of one thread, interleaved; then memory, in processes of their own.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import gramless as gl
import numpy as np
import torch
from gramless.cli.networks import crop_photos, layers_of, load_network, load_photos
from gramless.torch import compare_models
from torch.utils.data import DataLoader, Dataset

from .__main__ import RESULTS, _version, conditions
from .measure import OthersLoad, peak_while

BATCH = 64
CHECKED = 128  # images on which answers are compared with float64
WRONG = 1e-3
MEMORY_IMAGES = (128, 512, 2048)
OURS = "gramless, minibatch"
FORWARD, LAST = "forward passes alone", "forward passes alone, channels last"
Networks = tuple[torch.nn.Module, torch.nn.Module]


class Crops(Dataset[torch.Tensor]):
    """Crops of photos (3, 128, 128), made when asked for where they are not `kept`."""

    def __init__(self, count: int, kept: bool, dtype: torch.dtype = torch.float32) -> None:
        self._count, self._dtype, self._photos = count, dtype, load_photos()
        self._kept = [self._crop(i) for i in range(count)] if kept else None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._crop(index) if self._kept is None else self._kept[index]

    def _crop(self, index: int) -> torch.Tensor:
        photo = self._photos[index % len(self._photos)]
        pixels = torch.from_numpy(crop_photos([photo], 1, seed=index)[0])
        return ((pixels.to(self._dtype) - 127) / 128).permute(2, 0, 1).contiguous()


class Batches:
    """What a DataLoader yielded, kept; no list, which pytorch-cka takes for several loaders."""

    dataset: Any = None  # torch-cka asks for it

    def __init__(self, batches: Iterable[list[torch.Tensor]]) -> None:
        self._batches = list(batches)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        return iter(self._batches)


def kept_batches(images: int, dtype: torch.dtype = torch.float32) -> Batches:
    return Batches([batch] for batch in DataLoader(Crops(images, kept=True, dtype=dtype), batch_size=BATCH))


def names_of(network: torch.nn.Module) -> list[str]:
    wanted = {id(module) for module in layers_of(network)[0]}
    return [name for name, module in network.named_modules() if id(module) in wanted]


def forward(networks: Networks, loader: Any, channels_last: bool = False) -> None:
    with torch.no_grad():
        for [batch] in loader:
            given = batch.contiguous(memory_format=torch.channels_last) if channels_last else batch
            for network in networks:
                network(given)


def ours(networks: Networks, loader: Any, method: str, pool: str) -> Any:
    names = [names_of(network) for network in networks]
    options: dict[str, Any] = {"method": method, "pool": pool, "progress": False}
    return compare_models(*networks, loader, layers=names[0], layers_b=names[1], **options).matrix


def pytorch_cka(networks: Networks, loader: Any) -> Any:
    from cka import compute_cka  # type: ignore[import-not-found]

    names = [names_of(network) for network in networks]
    found = compute_cka(*networks, loader, layers=names[0], model2_layers=names[1], progress=False)
    return np.asarray(found)


def torch_cka(networks: Networks, loader: Any) -> Any:
    from torch_cka import CKA  # type: ignore[import-not-found]

    pair = copy.deepcopy(networks)  # its hooks stay
    names = [names_of(network) for network in networks]
    found = CKA(*pair, "a", "b", model1_layers=names[0], model2_layers=names[1])
    found.compare(loader, loader)
    return found.export()["CKA"].detach().numpy()


Contestant = Callable[[Networks, Any], Any]
CONTESTANTS: dict[str, Contestant] = {
    FORWARD: forward,
    LAST: lambda networks, loader: forward(networks, loader, channels_last=True),
    "gramless, exact, means over space": lambda networks, loader: ours(networks, loader, "exact", "mean"),
    OURS: lambda networks, loader: ours(networks, loader, "minibatch", "none"),
    "pytorch-cka": pytorch_cka,
    "torch-cka": torch_cka,
}


def check(networks: Networks) -> dict[str, dict[str, Any]]:
    """How far from float64 the flattened minibatch answers are, and in how many entries beyond WRONG."""
    doubles = tuple(copy.deepcopy(network).double() for network in networks)
    truth = ours(doubles, kept_batches(CHECKED, torch.float64), "minibatch", "none")  # type: ignore[arg-type]
    loader, found = kept_batches(CHECKED), {}
    for name in (OURS, "pytorch-cka", "torch-cka"):
        errors = np.abs(CONTESTANTS[name](networks, loader) - truth)
        found[name] = {
            "error": float(errors.max()),
            "wrong": int((errors > WRONG).sum()),
            "entries": errors.size,
        }
    return found


def timed(networks: Networks, images: int, rounds: int, keep: Callable[[dict[str, Any]], None]) -> None:
    """Seconds and CPU seconds of every contestant in every round, handed over after each."""
    loader = kept_batches(images)
    forward(networks, kept_batches(BATCH))
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    load = OthersLoad()
    for _ in range(rounds):
        for name, run in CONTESTANTS.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            run(networks, loader)
            cpu_seconds[name].append(time.process_time() - cpu_started)
            seconds[name].append(time.perf_counter() - started)
        keep({"seconds": seconds, "cpu_seconds": cpu_seconds, "others_load": load.share()})


def peak_bytes(images: int) -> int:
    """Of the minibatch comparison, crops made on the way; in a process of its own."""
    networks = load_network(0), load_network(1)
    loader = DataLoader(Crops(images, kept=False), batch_size=BATCH)
    ours(networks, DataLoader(Crops(BATCH, kept=False), batch_size=BATCH), "minibatch", "none")
    return peak_while(lambda: ours(networks, loader, "minibatch", "none"))


def peak_alone(images: int) -> int:
    command = [sys.executable, "-m", "benchmarks.whole_models", "--peak", str(images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=RESULTS.parents[1])
    return int(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_models", description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "whole_models.json", metavar="FILE")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    gl.set_num_threads(1)
    torch.set_num_threads(1)
    if arguments.peak:
        print(peak_bytes(arguments.peak))
        return
    networks = load_network(0), load_network(1)
    found = conditions() | {"images": arguments.images, "threads": 1}
    found["versions"]["torch-cka"] = _version("torch-cka")

    def keep(measured: dict[str, Any]) -> None:
        found.update(measured)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
        print({name: [round(s, 1) for s in values] for name, values in found.get("cpu_seconds", {}).items()})

    keep({"answers": check(networks)})
    timed(networks, arguments.images, arguments.rounds, keep)
    keep({"peak_bytes": {str(images): peak_alone(images) for images in MEMORY_IMAGES}})


if __name__ == "__main__":
    main()
