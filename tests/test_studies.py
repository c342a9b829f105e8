"""The studies of examples/: pictures from numbers, runs that resume, the same results on any threads."""

from __future__ import annotations

import importlib
import json
import sys
from itertools import pairwise
from pathlib import Path

import gramless as gl
import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("torch")
EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBERS = Path(__file__).parents[1] / "docs/images"


@pytest.fixture
def study(monkeypatch):
    """A module of examples/ by its name."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module


def run(study, monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", [study.__name__, *map(str, options)])
    study.main()


def another_share(numbers):
    numbers["indices"]["linear CKA"]["found"] = [0.5] * len(numbers["pairs"])


def another_fraction(numbers):
    depth = next(iter(next(iter(numbers["epochs"].values())).values()))
    next(iter(depth["networks"].values()))["fraction"][0] = 0.99


def another_probe(numbers):
    next(iter(numbers["seeds"].values()))["probes"]["all"] = 0.99


def another_distance(numbers):
    next(iter(numbers["mixes"].values()))["distances"]["number given"] = [0.0] * 3


CHANGES = {
    "sanity_check": another_share,
    "depth_pathology": another_fraction,
    "hard_negatives": another_probe,
    "dj_mix": another_distance,
}


SECONDS = ["depth_pathology", "sanity_check"]  # take seconds to draw


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SECONDS else ()) for name in CHANGES]
)
def test_a_figure_is_drawn_again_from_its_numbers(name, study, tmp_path, monkeypatch):
    numbers = json.loads((NUMBERS / f"{name}.json").read_text())
    assert numbers["record"]["commit"]
    pictures = {}
    for file in ("as it is", "another number"):
        path = tmp_path / f"{file}.json"
        path.write_text(json.dumps(numbers))
        run(study(name), monkeypatch, "--redraw", path)
        pictures[file] = path.with_suffix(".png").read_bytes()
        assert json.loads(path.read_text()) == numbers
        CHANGES[name](numbers)
    assert pictures["as it is"] != pictures["another number"]


def layers(count, rows=40, seed=0):
    """Random activations, each layer much like the one before."""
    generator = np.random.default_rng(seed)
    x, found = generator.standard_normal((rows, 9)), []
    for _ in range(count):
        x = x + 0.5 * generator.standard_normal(x.shape)
        found.append(x.astype(np.float32))
    return found


def of_sanity_check(module):
    networks = [layers(len(module.NAMES), seed=seed) for seed in range(3)]
    found = module.compared(networks, [(0, 1), (0, 2), (1, 2)])
    return {name: module.summary(matrices, [(0, 1), (0, 2), (1, 2)]) for name, matrices in found.items()}


def of_depth_pathology(module):
    networks = [{str(i): x for i, x in enumerate(layers(4, 300, seed))} for seed in range(2)]
    found = [module.described(network) for network in networks]
    labels = np.arange(300) % 10
    probe = module.ridge(networks[0]["0"], networks[1]["0"], labels, labels)
    return [found, probe, module.between(*networks, *found)]


def of_hard_negatives(module):
    return module.own_class(layers(1, 200)[0], np.arange(200) % 10)


def of_dj_mix(module):
    return module.examined(mix(module, np.random.default_rng(0)))


COMPUTED = {"sanity_check": of_sanity_check, "depth_pathology": of_depth_pathology}
COMPUTED |= {"hard_negatives": of_hard_negatives, "dj_mix": of_dj_mix}


@pytest.mark.parametrize("name", COMPUTED)
def test_what_is_computed_from_activations_is_the_same_on_any_number_of_threads(name, study):
    torch, threadpoolctl = pytest.importorskip("torch"), pytest.importorskip("threadpoolctl")
    before, found = torch.get_num_threads(), []
    module = study(name)
    for threads in (1, 2, 3):
        gl.set_num_threads(threads)
        torch.set_num_threads(threads)
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):
            study("_networks").one_thread()
            found.append(json.dumps(COMPUTED[name](module)))
    torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def mix(module, generator, lengths=(240, 180, 200, 280, 160, 220)):
    """Rows around another direction for each track; the last track is the second once more."""
    directions = generator.standard_normal((len(lengths), 12))
    directions[-1] = directions[1]
    rows = [d + 0.4 * generator.standard_normal((n, 12)) for d, n in zip(directions, lengths, strict=True)]
    transitions = [0.5 * edge for edge in np.cumsum(lengths)[:-1]]
    return module.Mix(np.concatenate(rows), [*"abcdeb"], transitions)


def test_a_mix_is_cut_where_its_tracks_end_into_as_many_as_there_are(study):
    module = study("dj_mix")
    for seed in range(2):
        found = module.examined(mix(module, np.random.default_rng(seed)))
        assert found["cuts"]["number given"] == found["cuts"]["number chosen"] == found["transitions"]
        assert set(found["distances"]["number chosen"]) == {0.0}
        assert found["returns"]["number given"] | {"by chance": 0} == {
            "segments": 2,
            "found": 2,
            "by chance": 0,
        }


def test_returns_are_let_in_and_never_beside_themselves(study):
    order_of = study("_mix").order_of
    for seed in range(20):
        order = order_of(9, 3, np.random.default_rng(seed))
        counts = np.bincount(order)
        assert sorted(counts) == [1, 1, 1, 2, 2, 2]
        assert all(a != b for a, b in pairwise(order))


def test_a_run_resumes_from_what_it_kept(study, tmp_path, monkeypatch):
    module = study("dj_mix")
    options = ["--quick", "--seconds", "16", "--keep", tmp_path / "kept", "--out", tmp_path / "mix.png"]
    run(module, monkeypatch, *options)
    first = json.loads((tmp_path / "mix.json").read_text())
    monkeypatch.setattr(module, "mix_of", None)
    monkeypatch.setattr(module, "examined", None)
    run(module, monkeypatch, *options)
    again = json.loads((tmp_path / "mix.json").read_text())
    assert (again["mixes"], again["rows"]) == (first["mixes"], first["rows"])
    with pytest.raises(SystemExit, match="name another folder with --keep"):
        run(module, monkeypatch, *options, "--returns", "0")


def test_the_classes_of_hard_negatives_are_counted(study):
    rows = np.array([[1, 0], [1, 0.1], [1, 0.5], [0, 1], [0.1, 1]])
    found = study("hard_negatives").own_class(rows, np.array([0, 0, 1, 1, 1]))
    assert found[0] == 4 / 5  # of the hardest one: that of the third row has another class
    assert found[-1] == (1 + 1 + 2 + 2 + 2) / 20  # of all
