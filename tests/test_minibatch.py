"""MinibatchCKA: its averages, saving and merging, and its errors."""

from __future__ import annotations

import io
import itertools
import json
import math
import warnings

import gramless
import numpy as np
import pytest
from gramless import RBF, MinibatchCKA, reference
from kernel_names import ALLOWED_KERNELS

EXACT = 1e-10  # relative error allowed in float64
SIZES = [12, 4, 17, 31]


@pytest.fixture
def batches():
    """Ragged batches of three related layers and of two others, [(xs, ys), ...]."""
    generator = np.random.default_rng(7)
    made = []
    for n in SIZES:
        x = generator.standard_normal((n, 6)) + 3.0
        xs = [x, np.tanh(x), generator.standard_normal((n, 9)) + x[:, :1]]
        made.append((xs, [x**2, np.hstack([x, -x])]))
    return made


def accumulated(batches, **options):
    minibatch = MinibatchCKA(**options)
    for xs, ys in batches:
        minibatch.update(xs, ys)
    return minibatch


@pytest.mark.parametrize("kernel", ["linear", "rbf", RBF(sigma=2.0)], ids=str)
def test_one_batch_is_plain_cka(batches, kernel):
    xs, ys = batches[3]
    expected = reference.cka_matrix(xs, ys, kernel=kernel)
    assert accumulated(batches[3:], kernel=kernel).compute() == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("weighting", ["mean", "pairs"])
def test_batches_are_averaged_before_the_ratio(batches, kernel, weighting):
    expected = reference.MinibatchCKA(kernel, weighting)
    for xs, ys in batches:
        expected.update(xs, ys)
    ours = accumulated(batches, kernel=kernel, weighting=weighting).compute()
    assert ours.shape == (3, 2)
    assert ours.dtype == np.float64
    assert ours == pytest.approx(expected.compute(), rel=EXACT)


def test_weightings_differ_only_where_batches_do(batches):
    ragged = [accumulated(batches, weighting=weighting).compute() for weighting in ("mean", "pairs")]
    assert np.max(np.abs(ragged[0] - ragged[1])) > 1e-3
    even = [([x[:4] for x in xs], [y[:4] for y in ys]) for xs, ys in batches]
    mean, pairs = (accumulated(even, weighting=weighting).compute() for weighting in ("mean", "pairs"))
    assert mean == pytest.approx(pairs, rel=EXACT)


@pytest.mark.parametrize("kernel", ["linear", RBF(sigma=2.0)], ids=str)
def test_all_batches_of_four_average_to_the_whole(kernel):
    """HSIC_1 is a U-statistic: its mean over all small batches is its value on all examples."""
    generator = np.random.default_rng(1)
    x = generator.standard_normal((7, 3))
    y = x[:, :2] ** 2
    minibatch = MinibatchCKA(kernel)
    for rows in itertools.combinations(range(7), 4):
        minibatch.update([x[list(rows)]], [y[list(rows)]])
    assert minibatch.compute()[0, 0] == pytest.approx(gramless.cka(x, y, kernel=kernel), rel=EXACT)


def test_without_ys_xs_meets_itself(batches):
    alone, twice = MinibatchCKA("rbf"), MinibatchCKA("rbf")
    for xs, _ in batches:
        alone.update(xs)
        twice.update(xs, xs)
    matrix = alone.compute()
    assert np.array_equal(matrix, matrix.T)
    assert np.diag(matrix) == pytest.approx(1.0, rel=EXACT)
    assert matrix == pytest.approx(twice.compute(), rel=EXACT)


def test_one_array_is_one_layer(batches):
    by_array, by_list = MinibatchCKA(), MinibatchCKA()
    for xs, ys in batches:
        by_array.update(xs[0], ys[1])
        by_list.update([xs[0]], (ys[1],))
    assert by_array.compute().shape == (1, 1)
    assert np.array_equal(by_array.compute(), by_list.compute())


def test_torch_batches_give_the_numbers_of_numpy(batches):
    torch = pytest.importorskip("torch")
    minibatch = MinibatchCKA()
    for xs, ys in batches:
        minibatch.update([torch.from_numpy(x) for x in xs], [torch.from_numpy(y) for y in ys])
    assert np.array_equal(np.asarray(minibatch.compute()), accumulated(batches).compute())


def test_reset_forgets(batches):
    minibatch = accumulated(batches[:2])
    minibatch.reset()
    for xs, ys in batches[2:]:
        minibatch.update(ys, xs)
    expected = accumulated([(ys, xs) for xs, ys in batches[2:]])
    assert np.array_equal(minibatch.compute(), expected.compute())


@pytest.mark.parametrize("weighting", ["mean", "pairs"])
def test_merging_single_batches_in_turn_gives_the_bits_of_updating(batches, weighting):
    merged = MinibatchCKA(weighting=weighting)
    for batch in batches:
        merged.merge(accumulated([batch], weighting=weighting))
    assert np.array_equal(merged.compute(), accumulated(batches, weighting=weighting).compute())


def test_merging_does_not_mind_which_side_is_which(batches):
    left, right = accumulated(batches[:2]), accumulated(batches[2:])
    other_way = accumulated(batches[2:])
    other_way.merge(left)
    left.merge(right)
    assert np.array_equal(left.compute(), other_way.compute())
    assert left.compute() == pytest.approx(accumulated(batches).compute(), rel=EXACT)
    assert np.array_equal(right.compute(), accumulated(batches[2:]).compute())


def test_merging_with_an_empty_one_changes_nothing(batches):
    full, empty = accumulated(batches), MinibatchCKA()
    full.merge(empty)
    assert np.array_equal(full.compute(), accumulated(batches).compute())
    empty.merge(full)
    assert np.array_equal(empty.compute(), full.compute())


def test_what_was_merged_goes_its_own_way(batches):
    """Sums are copied, not shared: a later batch of one does not reach the other."""
    full, other = accumulated(batches[:2]), MinibatchCKA()
    other.merge(full)
    other.update(*batches[2])
    assert np.array_equal(full.compute(), accumulated(batches[:2]).compute())
    assert np.array_equal(other.compute(), accumulated(batches[:3]).compute())


def through_json(state):
    return json.loads(json.dumps(state))


def through_npz(state):
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    return dict(np.load(file, allow_pickle=False))


def through_torch(state):
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("travel", [dict, through_json, through_npz, through_torch])
@pytest.mark.parametrize("seen", [0, 1, 3])
def test_state_survives_saving_and_goes_on(batches, travel, seen):
    state = travel(accumulated(batches[:seen], kernel="rbf", weighting="pairs").state_dict())
    resumed = MinibatchCKA("rbf", "pairs")
    resumed.update(batches[0][0][:1])  # discarded by reset
    resumed.load_state_dict(state)
    for xs, ys in batches[seen:]:
        resumed.update(xs, ys)
    expected = accumulated(batches, kernel="rbf", weighting="pairs")
    assert np.array_equal(resumed.compute(), expected.compute())
    assert resumed.state_dict() == expected.state_dict()


def test_state_is_a_copy(batches):
    minibatch = accumulated(batches)
    before = minibatch.compute()
    state = minibatch.state_dict()
    state["sum_xy"][0][0] = 1e9
    assert np.array_equal(minibatch.compute(), before)


def test_a_layer_constant_in_every_batch_has_nan_and_one_warning(batches):
    minibatch = MinibatchCKA()
    for xs, ys in batches:
        minibatch.update([*xs, np.full_like(xs[0], 0.1)], ys)
    with pytest.warns(RuntimeWarning, match=r"^MinibatchCKA.compute: ") as caught:
        matrix = minibatch.compute()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.all(np.isnan(matrix[3]))
    # Other layers change the shape of the register blocks, and with it the order of a sum, but no value.
    assert matrix[:3] == pytest.approx(accumulated(batches).compute(), rel=1e-13)


def test_nan_in_one_batch_reaches_the_answer_in_silence(batches):
    batches[1][0][2][3, 4] = math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matrix = accumulated(batches).compute()
    assert np.all(np.isnan(matrix[2]))
    assert not np.any(np.isnan(matrix[:2]))


def message(error, call):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def test_a_refused_batch_leaves_the_sums_as_they_were(batches):
    minibatch = accumulated(batches)
    before = minibatch.state_dict()
    xs, ys = batches[0]
    refusals = {
        "MinibatchCKA.update: xs has 2 layers but in earlier batches it had 3": (xs[:2], ys),
        "MinibatchCKA.update: ys has 1 layers but in earlier batches it had 2": (xs, ys[:1]),
        "MinibatchCKA.update: ys is None but in earlier batches it was given": (xs, None),
    }
    for sentence, batch in refusals.items():
        assert message(ValueError, lambda batch=batch: minibatch.update(*batch)) == sentence
    short = message(ValueError, lambda: minibatch.update([x[:3] for x in xs], [y[:3] for y in ys]))
    assert short.startswith("MinibatchCKA.update: the unbiased estimator needs at least 4 rows but ")
    assert short.endswith(" has 3")
    ragged = message(ValueError, lambda: minibatch.update(xs, [ys[0], ys[1][:5]]))
    assert ragged.startswith("MinibatchCKA.update: ")
    assert "12" in ragged
    assert "5" in ragged
    assert minibatch.state_dict() == before


def test_bad_use_is_one_sentence(batches):
    minibatch = accumulated(batches)
    state = minibatch.state_dict()
    sentences = {
        'MinibatchCKA: weighting must be "mean" or "pairs" but is \'size\'': (
            ValueError,
            lambda: MinibatchCKA(weighting="size"),
        ),
        f"MinibatchCKA: kernel must be {ALLOWED_KERNELS} but is 'sigmoid'": (
            ValueError,
            lambda: MinibatchCKA("sigmoid"),
        ),
        "MinibatchCKA.compute: there is no batch to compute from; call update first": (
            RuntimeError,
            lambda: MinibatchCKA().compute(),
        ),
        "MinibatchCKA.update: xs must be a sequence of arrays, or one array, but is 3": (
            TypeError,
            lambda: MinibatchCKA().update(3),
        ),
        "MinibatchCKA.merge: kernel is Linear() here but " + repr(RBF()) + " in other": (
            ValueError,
            lambda: minibatch.merge(MinibatchCKA("rbf")),
        ),
        "MinibatchCKA.merge: weighting is 'mean' here but 'pairs' in other": (
            ValueError,
            lambda: minibatch.merge(MinibatchCKA(weighting="pairs")),
        ),
        "MinibatchCKA.merge: xs has 2 layers but in earlier batches it had 3": (
            ValueError,
            lambda: minibatch.merge(accumulated([(xs[:2], ys) for xs, ys in batches])),
        ),
        "MinibatchCKA.merge: other must be a MinibatchCKA but is None": (
            TypeError,
            lambda: minibatch.merge(None),
        ),
        "MinibatchCKA.load_state_dict: state has no entry 'kernel'": (
            ValueError,
            lambda: minibatch.load_state_dict({}),
        ),
        "MinibatchCKA.load_state_dict: kernel is " + repr(RBF()) + " here but Linear() in state": (
            ValueError,
            lambda: MinibatchCKA("rbf").load_state_dict(state),
        ),
        "MinibatchCKA.load_state_dict: sum_xy has shape (3, 2) but sum_xx and sum_yy have 1 and 2 entries": (
            ValueError,
            lambda: minibatch.load_state_dict({**state, "sum_xx": [1.0]}),
        ),
        "MinibatchCKA.load_state_dict: sum_yy must hold numbers but is ['a']": (
            ValueError,
            lambda: minibatch.load_state_dict({**state, "sum_yy": ["a"]}),
        ),
        "MinibatchCKA.load_state_dict: state must be a mapping but is 3": (
            TypeError,
            lambda: minibatch.load_state_dict(3),
        ),
    }
    for sentence, (error, call) in sentences.items():
        assert message(error, call) == sentence
