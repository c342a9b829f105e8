"""gramless.analysis against direct code, and its errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from gramless import analysis, cka_matrix

EXACT = 1e-9


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def refused(error, match, function, *arguments, **options):
    with pytest.raises(error, match=match) as found:
        function(*arguments, **options)
    assert "\n" not in str(found.value)


def test_layers_of_a_copy_correspond_and_shuffled_ones_do_not(generator):
    base = generator.standard_normal((200, 6))
    layers = [base := np.tanh(base @ generator.standard_normal((6, 6))) for _ in range(5)]
    found = analysis.layer_correspondence(cka_matrix(layers, [layer + 0.01 for layer in layers]))
    assert found.accuracy == 1.0
    shuffled = analysis.layer_correspondence(cka_matrix(layers, layers[1:] + layers[:1]))
    assert shuffled.accuracy == 0.0


def test_correspondence_counts_rows_and_columns_of_all_pairs():
    one = [[0.9, 0.5, 0.2], [0.6, 0.8, 0.4], [0.1, 0.85, 0.7]]
    found = analysis.layer_correspondence(one, np.eye(3))
    assert found.rows.tolist() == [[True, True, False], [True, True, True]]
    assert found.columns.tolist() == [[True, False, True], [True, True, True]]
    assert found.accuracy == pytest.approx(10 / 12)


def test_ties_and_nan_are_no_match():
    assert analysis.layer_correspondence(np.ones((3, 3))).accuracy == 0
    assert analysis.layer_correspondence([[np.nan, 0.0], [0.0, 1.0]]).accuracy == 0.5
    assert analysis.layer_correspondence([[1.0, np.nan], [0.0, 1.0]]).accuracy == 0.5


def test_correspondence_refuses_what_is_not_square():
    refused(TypeError, "at least one matrix", analysis.layer_correspondence)
    refused(
        ValueError,
        r"must be a square matrix but has shape \(2, 3\)",
        analysis.layer_correspondence,
        np.ones((2, 3)),
    )
    refused(ValueError, r"shapes \(2, 2\) and \(3, 3\)", analysis.layer_correspondence, np.eye(2), np.eye(3))
    refused(TypeError, "must hold real numbers", analysis.layer_correspondence, [["a"]])


def all_segmentations(size, segments):
    for cuts in itertools.combinations(range(1, size), segments - 1):
        edges = [0, *cuts, size]
        yield list(itertools.pairwise(edges))


def scatter(matrix, blocks):
    return sum(np.trace(b := matrix[i:j, i:j]) - b.sum() / (j - i) for i, j in blocks)


@pytest.mark.parametrize("segments", [1, 2, 3, 4])
def test_segments_are_the_cheapest_of_all(generator, segments):
    x = generator.standard_normal((8, 3))
    similarity = x @ x.T
    found = analysis.segment(similarity, segments)
    cheapest = min(scatter(similarity, blocks) for blocks in all_segmentations(8, segments))
    assert found.cost == pytest.approx(cheapest, rel=EXACT)
    assert scatter(similarity, found.blocks) == pytest.approx(cheapest, rel=EXACT)


@pytest.mark.parametrize("penalty", [0.0, 0.5, 2.0, 100.0])
def test_with_a_penalty_the_number_is_chosen_too(generator, penalty):
    x = generator.standard_normal((7, 3))
    found = analysis.segment(x @ x.T, penalty=penalty)
    totals = [
        scatter(x @ x.T, blocks) + penalty * count
        for count in range(1, 8)
        for blocks in all_segmentations(7, count)
    ]
    assert found.cost + penalty * len(found.blocks) == pytest.approx(min(totals), abs=1e-12)


def test_blocks_have_their_least_length(generator):
    x = generator.standard_normal((9, 3))
    found = analysis.segment(x @ x.T, 3, min_length=3)
    assert found.blocks == [(0, 3), (3, 6), (6, 9)]
    loose = analysis.segment(x @ x.T, penalty=0.0, min_length=2)
    assert min(b.stop - b.start for b in loose.blocks) >= 2


def test_true_blocks_of_a_cka_matrix_are_found(generator):
    bases = generator.standard_normal((3, 100, 5))
    layers = [bases[b] + 0.3 * generator.standard_normal((100, 5)) for b in (0, 0, 0, 1, 1, 2, 2, 2, 2)]
    similarity = cka_matrix(layers)
    found = analysis.segment(similarity, 3)
    assert found.boundaries == [3, 5]
    assert found.labels == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert analysis.segment(similarity, penalty=0.7).boundaries == [3, 5]
    assert analysis.largest_block(similarity, 0.7) == (5, 9)


def test_rows_of_a_series_are_segmented_as_their_cosine_similarity(generator):
    x = generator.standard_normal((30, 4)) + np.repeat(
        5 * generator.standard_normal((3, 4)), [8, 12, 10], axis=0
    )
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    for options in ({"segments": 3}, {"penalty": 0.3}, {"segments": 4, "min_length": 5}):
        rows, matrix = analysis.segment_rows(x, **options), analysis.segment(units @ units.T, **options)
        assert rows.blocks == matrix.blocks
        assert rows.cost == pytest.approx(matrix.cost, rel=1e-8)
    assert analysis.segment_rows(x, 3).boundaries == [8, 20]


@pytest.mark.parametrize("threshold", [-2.0, 0.0, 0.3, 0.6, 2.0])
def test_the_largest_block_is_the_largest(generator, threshold):
    for _ in range(20):
        matrix = generator.uniform(-1, 1, (7, 7)) + 0.5
        sizes = {
            (i, j): j - i
            for i in range(7)
            for j in range(i + 1, 8)
            if j - i == 1
            or all(matrix[a, b] >= threshold for a in range(i, j) for b in range(i, j) if a != b)
        }
        assert analysis.largest_block(matrix, threshold) == max(sizes, key=lambda b: (sizes[b], -b[0]))


def test_segmentation_refuses_what_cannot_be():
    needed = "one of segments and penalty is needed, and not both, but they are"
    refused(ValueError, f"{needed} None and None", analysis.segment, np.eye(3))
    refused(ValueError, f"{needed} 2 and 1", analysis.segment, np.eye(3), 2, penalty=1)
    refused(ValueError, "3 members cannot be 4 blocks of at least 1", analysis.segment, np.eye(3), 4)
    refused(
        ValueError, "3 members cannot be 2 blocks of at least 2", analysis.segment, np.eye(3), 2, min_length=2
    )
    refused(ValueError, "penalty must be finite", analysis.segment, np.eye(3), penalty=-1)
    refused(ValueError, "similarity must be finite", analysis.segment, np.full((2, 2), np.nan), 1)
    refused(ValueError, "x must be finite", analysis.segment_rows, [[np.inf]], 1)


@pytest.mark.parametrize("shape", [(40, 6), (40, 700), (700, 40), (600, 620)], ids=str)
def test_the_dominant_component_is_the_first_singular_vector(generator, shape):
    x = generator.standard_normal(shape) + 3
    x[:5] += 4 * generator.standard_normal(shape[1])
    component = analysis.dominant_component(x)
    left, values, right = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    assert component.fraction == pytest.approx(values[0] ** 2 / np.sum(values**2), rel=1e-8)
    assert abs(component.direction @ right[0]) == pytest.approx(1, abs=1e-7)
    assert np.abs(component.scores) == pytest.approx(np.abs(values[0] * left[:, 0]), rel=1e-4, abs=1e-4)
    rest = analysis.dominant_component(component.remove(x))
    assert rest.fraction == pytest.approx(values[1] ** 2 / np.sum(values[1:] ** 2), rel=1e-6)


def test_a_block_made_by_few_examples_goes_with_its_component(generator):
    outliers = np.zeros((200, 1))
    outliers[:4] = 30
    layers = [generator.standard_normal((200, 10)) + outliers for _ in range(3)]
    components = [analysis.dominant_component(layer) for layer in layers]
    assert all(component.fraction > 0.8 for component in components)
    assert all(component.share_of(4) > 0.9 for component in components)
    assert cka_matrix(layers).min() > 0.9
    removed = cka_matrix([c.remove(layer) for c, layer in zip(components, layers, strict=True)])
    assert removed[0, 1] < 0.2


def test_dominant_component_refuses(generator):
    refused(ValueError, "x has no variance", analysis.dominant_component, np.ones((5, 2)))
    refused(ValueError, "x must be finite", analysis.dominant_component, [[1.0], [np.nan]])
    component = analysis.dominant_component(generator.standard_normal((5, 3)))
    refused(ValueError, r"x has shape \(4, 3\) but", component.remove, np.ones((4, 3)))


def separation_by_pairs(x, labels):
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    distance = 1 - units @ units.T
    classes = np.unique(labels)

    def mean(j, k):
        return distance[np.ix_(labels == j, labels == k)].mean()

    within = np.mean([mean(k, k) for k in classes])
    return 1 - within / np.mean([mean(j, k) for j in classes for k in classes])


@pytest.mark.parametrize("names", [False, True])
def test_class_separation_is_the_mean_over_all_pairs(generator, names):
    labels = generator.integers(0, 4, 90)
    x = generator.standard_normal((90, 5)) + 2 * generator.standard_normal((4, 5))[labels]
    labels = np.array(["ant", "bee", "cat", "dog"])[labels] if names else labels
    found = analysis.class_separation(x, list(labels))
    assert found == pytest.approx(separation_by_pairs(x, labels), rel=EXACT)
    assert analysis.class_separation(x.astype(np.float32) * 7, labels) == pytest.approx(found, rel=1e-5)


def test_class_separation_reads_rows_in_chunks(generator, monkeypatch):
    x, labels = generator.standard_normal((50, 4)), generator.integers(0, 3, 50)
    whole = analysis.class_separation(x, labels)
    monkeypatch.setattr("gramless.analysis.separation.CHUNK", 7)
    assert analysis.class_separation(x, labels) == pytest.approx(whole, rel=EXACT)
    assert np.isfinite(analysis.class_separation(np.vstack([x, np.zeros((1, 4))]), [*labels, 0]))


def test_class_separation_refuses():
    refused(ValueError, "x has 3 rows but labels have shape", analysis.class_separation, np.eye(3), [0, 1])
    refused(ValueError, "all rows point the same way", analysis.class_separation, np.ones((3, 2)), [0, 1, 0])
    refused(ValueError, "must have rows and features", analysis.class_separation, np.ones(3), [0, 1, 0])
    refused(TypeError, "must hold real numbers", analysis.class_separation, [["a", "b"]], [0])
