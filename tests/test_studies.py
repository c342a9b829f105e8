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


def another_similarity(numbers):
    numbers["cka"]["softmax"][0][3] = 0.1


def another_layer(numbers):
    next(iter(numbers["seeds"].values()))["SimCLR, crops"]["after it"]["colour"] = 0.01


def another_accuracy(numbers):
    next(iter(numbers["seeds"].values()))["small, all labels"] = 0.99


def another_batch(numbers):
    next(iter(numbers["seeds"].values()))["probes"][0][0] = 0.99


def another_distance(numbers):
    next(iter(numbers["mixes"].values()))["distances"]["number given"] = [0.0] * 3


CHANGES = {
    "sanity_check": another_share,
    "depth_pathology": another_fraction,
    "hard_negatives": another_probe,
    "loss_functions": another_similarity,
    "colour_distortion": another_layer,
    "batch_and_temperature": another_batch,
    "simclr_v2_distillation": another_accuracy,
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
    """Random activations, each layer similar to the previous one."""
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


def of_loss_functions(module):
    names = [(loss, seed) for loss in module.QUICK for seed in range(2)]
    networks = [dict(zip(module.LAYERS, layers(10, seed=i), strict=True)) for i in range(4)]
    return module.compared(module.similarities(networks), names)


def of_colour_distortion(module):
    rows, colours = layers(1, 200)[0], layers(1, 200, seed=1)[0][:, :3]
    return module.explained(rows[:150], colours[:150], rows[150:], colours[150:])


COMPUTED = {"sanity_check": of_sanity_check, "depth_pathology": of_depth_pathology}
COMPUTED |= {"hard_negatives": of_hard_negatives, "dj_mix": of_dj_mix}
COMPUTED |= {"loss_functions": of_loss_functions, "colour_distortion": of_colour_distortion}


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
    assert found[0] == 4 / 5  # the hardest negative of the third row has another class
    assert found[-1] == (1 + 1 + 2 + 2 + 2) / 20  # of all


def test_losses_are_compared_between_seeds_alone(study):
    found = of_loss_functions(study("loss_functions"))
    pairs = {name: len(values) for name, values in found.items()}
    assert pairs == {"softmax": 1, "cosine softmax 0.05": 1, "softmax x cosine softmax 0.05": 2}
    tables = pytest.importorskip("benchmarks.pages.study_tables")
    less = tables.less_alike({"a": [(0.9,)], "b": [(0.7,)], "a x b": [(0.5, 0.6)]}, "a x b")
    assert less == pytest.approx([0.25])


def test_what_is_linear_in_the_features_is_explained(study):
    explained, generator = study("colour_distortion").explained, np.random.default_rng(0)
    x = 1e3 + generator.standard_normal((300, 5))
    y = x @ generator.standard_normal((5, 3)) - 7
    assert explained(x[:200], y[:200], x[200:], y[200:]) == pytest.approx(1)
    assert explained(x[:200], y[:200], x[200:][::-1], y[200:]) < 0.1


def test_colours_of_digits_say_nothing_of_their_class_and_are_distorted(study):
    torch, module = pytest.importorskip("torch"), study("colour_distortion")
    digits = study("_digits").coloured(study("_digits").handwritten(True, 0))
    images = digits.data.test_images
    torch.testing.assert_close(images[:, :, 0, 0], digits.test_colours)  # no ink in this corner
    labels = np.eye(10)[digits.data.test_labels.numpy()]
    colours = digits.test_colours.numpy()
    assert module.explained(labels[:300], colours[:300], labels[300:], colours[300:]) < 0.1
    torch.manual_seed(0)
    views = module.distorted(images)
    assert 0 <= views.min() < views.max() <= 1
    background = views[:, :, 0, 0].numpy()
    assert module.explained(background[:300], colours[:300], background[300:], colours[300:]) < 0.5


def test_networks_come_from_their_seed_and_are_kept(study, tmp_path):
    torch, module = pytest.importorskip("torch"), study("simclr_v2_distillation")
    from_seed = study("_networks").from_seed

    def weights(seed, folder=None):
        model = from_seed(folder, "name", {"seed": seed}, lambda: module.contrastive(2), trained.append)
        return torch.cat([value.flatten() for value in model.state_dict().values()])

    trained = []
    first = weights(0, tmp_path)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)
    assert len(trained) == 3
    assert torch.equal(weights(0, tmp_path), first)
    assert len(trained) == 3
    with pytest.raises(SystemExit, match="name another folder with --keep"):
        weights(1, tmp_path)


def test_a_fine_tuned_network_leaves_the_pre_trained_one_as_it_is(study):
    torch, module = pytest.importorskip("torch"), study("simclr_v2_distillation")
    model = module.contrastive(2)
    before = [parameter.clone() for parameter in model.parameters()]
    tuned = module.tunable(model)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.zero_()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert torch.equal(tuned[0].layers[0].weight, torch.zeros_like(model.encoder.layers[0].weight))
