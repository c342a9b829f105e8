"""No n x n memory: measured in separate processes, against bounds that a stored matrix would exceed."""

from __future__ import annotations

import gramless
import numpy as np
import pytest

MEASURE = """
import sys
import numpy as np
import gramless

def status(name):  # bytes
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

def inputs(n, d, count=1, dtype=np.float32, order="C"):
    generator, arrays = np.random.default_rng(0), [np.empty((n, d), dtype, order) for _ in range(count)]
    rows = max(1, 2**18 // d)  # a megabyte: nothing larger than the arrays may ever have been resident
    for start in range(0, n, rows):
        for array in arrays:
            block = 9 * generator.standard_normal((min(rows, n - start), d), dtype=np.float32)
            array[start : start + rows] = block.astype(dtype)
    return arrays

def report(work):
    gramless.cka(*inputs(100, 8, 2), kernel="rbf")
    before = status("VmRSS")
    work()
    print((status("VmHWM") - before) / 1e6)
"""


@pytest.fixture
def peak_megabytes(run_script):
    def measure(setup, work, timeout=120, **environment):
        source = f"{MEASURE}\n{setup}\nreport(lambda: {work})"
        return float(run_script(source, timeout=timeout, GRAMLESS_NUM_THREADS="2", **environment))

    return measure


def test_rbf_of_many_rows_stores_no_matrix(peak_megabytes):
    """n x n is 1600 MB in float32."""
    assert peak_megabytes("x, y = inputs(20_000, 8, 2)", "gramless.cka(x, y, kernel='rbf')") < 40


def test_exact_median_stores_no_matrix(peak_megabytes):
    assert peak_megabytes("x, = inputs(20_000, 8)", "gramless.median_distance(x)") < 40


@pytest.mark.parametrize("limit", [0, 2**27])
def test_sweep_stores_tiles_alone(peak_megabytes, limit):
    """Twelve layers of n x n would be 1200 MB, their copies in float64 as much as themselves."""
    setup = f"gramless.set_workspace_limit({limit})\nxs = inputs(5000, 24, 12)"
    assert peak_megabytes(setup, "gramless.cka_matrix(xs, kernel='rbf')") < 60 + limit / 1e6


@pytest.mark.parametrize("call", ["cka(x, y, kernel='rbf')", "hsic(x, y, kernel=gramless.Laplace())"])
def test_a_median_keeps_no_more_than_it_may(peak_megabytes, call):
    """Half of n x n is 145 MB for each layer: the limit allows none, one or both. A matrix unit multiplies
    again instead.
    """
    needs = {}
    vectors = next(one.name for one in gramless.backends() if one.supported and one.name != "amx")
    for limit in (0, 200 << 20, 320 << 20):
        setup = f"gramless.set_workspace_limit({limit})\nx, y = inputs(8192, 8, 2)"
        needs[limit] = peak_megabytes(setup, f"gramless.{call}", GRAMLESS_BACKEND=vectors)
        assert needs[limit] < 40 + limit / 1e6
    assert needs[0] + 100 < needs[200 << 20] < needs[320 << 20] - 100


def test_linear_in_feature_space_copies_nothing(peak_megabytes):
    """The inputs are 2 x 77 MB; not even one column-centred copy is made."""
    assert peak_megabytes("x, y = inputs(300_000, 64, 2)", "gramless.cka(x, y)") < 40


@pytest.mark.parametrize(
    "shape", [(6144, 1024), pytest.param((32_768, 256), marks=pytest.mark.slow)], ids=str
)
@pytest.mark.parametrize("kernel", ["'rbf'", "gramless.RBF(sigma=9.0)", "'linear'"])
def test_two_samples_are_not_concatenated(peak_megabytes, kernel, shape):
    """Together they are 50 or 67 MB, and one of n x n for all rows is 0.6 or 17 GB."""
    setup = f"gramless.set_workspace_limit(0)\nx, y = inputs(*{shape}, 2)"
    assert peak_megabytes(setup, f"gramless.mmd(x, y, kernel={kernel})", timeout=600) < 30


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine", "correlation"])
def test_rsa_copies_no_rows_and_stores_no_distances(peak_megabytes, metric):
    """A layer is 67 MB, distances of 65,536 rows 17 GB; 300 wide rows are 120 MB."""
    setup = "x, y = inputs(65_536, 256, 2)"
    assert peak_megabytes(setup, f"gramless.rsa(x, y, metric='{metric}')") < 40
    assert peak_megabytes("x, = inputs(300, 100_000)", f"gramless.rsa(x, x, metric='{metric}')") < 30


def test_measures_copy_no_rows_and_store_no_matrix(peak_megabytes):
    """65,536 rows are 67 MB, in float64 twice that, and a matrix of them 17 GB."""
    setup = "gramless.set_workspace_limit(0)\nx, y = inputs(65_536, 256, 2)"
    calls = "participation_ratio(x)", "vendi_score(x)", "alignment(x, y)"
    assert peak_megabytes(setup, f"({', '.join(f'gramless.{call}' for call in calls)})") < 40
    assert peak_megabytes("x, = inputs(20_000, 64)", "gramless.uniformity(x)") < 30


@pytest.mark.slow
def test_uniformity_of_many_rows_stores_no_matrix(peak_megabytes):
    setup = "gramless.set_workspace_limit(0)\nx, = inputs(65_536, 256)"
    calls = "uniformity(x)", "uniformity(x, normalize=False)", "vendi_score(x, kernel='laplace')"
    assert peak_megabytes(setup, f"({', '.join(f'gramless.{call}' for call in calls)})", timeout=900) < 40


PAIRED = [
    "value_and_grad(gramless.guided_info_nce)(x, y, guide_anchors=z, guide_positives=z)",
    "value_and_grad(gramless.moco)(x, y, z)",
    "value_and_grad(gramless.info_nce)(x, y, ids=np.arange(4096) // 2)",
]


@pytest.mark.parametrize("call", PAIRED)
def test_rows_of_positives_are_not_copied_to_float64(peak_megabytes, call):
    """An array is 8 MB and a gradient as much; two in float64, with their derivatives, were up to 200 MB."""
    setup = "gramless.set_workspace_limit(0)\nx, y, z = inputs(4096, 512, 3)"
    assert peak_megabytes(setup, f"gramless.{call}") < 80


@pytest.mark.slow
def test_a_guided_loss_of_many_rows_stores_no_matrix(peak_megabytes):
    """One of n x n would be 17 GB."""
    setup = "gramless.set_workspace_limit(0)\nx, y, z = inputs(65_536, 16, 3)"
    assert peak_megabytes(setup, f"gramless.{PAIRED[0]}", timeout=900) < 100


def test_nearest_rows_store_no_similarities(peak_megabytes):
    """n x n is 1600 MB in float32, a layer copied once 5 MB."""
    assert peak_megabytes("xs = inputs(20_000, 64, 2)", "gramless.mutual_knn(*xs)") < 40


def test_wide_data_is_not_copied(peak_megabytes):
    """300 x 100,000 is 120 MB; column means and their roundings are O(d)."""
    assert peak_megabytes("x, = inputs(300, 100_000)", "gramless.hsic(x, x, kernel='rbf')") < 30


CONTRASTIVE = [
    "value_and_grad(gramless.nt_xent)(x, y)",
    "value_and_grad(gramless.nt_xent)(x, y, temperature=0.001)",
    "value_and_grad(gramless.nt_xent)(x, y, exclude_hardest=0.1)",
    "value_and_grad(gramless.sup_con)(x, np.arange(10_000) % 10)",
    "value_and_grad(gramless.info_nce)(x, y, x, symmetric=True)",
    "value_and_grad(gramless.row_log_sum_exp)(x, y, cotangent=np.ones(10_000))",
    "value_and_grad(gramless.similarity_distillation)(x, y, y)",
]


@pytest.mark.parametrize(
    ("call", "limit"),
    [
        pytest.param(call, limit, marks=() if call is CONTRASTIVE[0] or limit == 2**26 else pytest.mark.slow)
        for call in CONTRASTIVE
        for limit in (0, 2**26, 2**28)
    ],
)
def test_contrastive_losses_take_no_more_than_they_may(peak_megabytes, call, limit):
    """From 400 MB for 10,000 x 10,000 in float32 to 1600 MB for both views."""
    setup = f"gramless.set_workspace_limit({limit})\nx, y = inputs(10_000, 32, 2)"
    assert peak_megabytes(setup, f"gramless.{call}") < 64 + limit / 1e6


@pytest.mark.parametrize(
    "made", ["dtype=np.float16", "dtype=np.int8", "order='F'", "dtype=np.float64, order='F'"]
)
def test_other_dtypes_and_layouts_are_converted_by_tile(peak_megabytes, made):
    """As float32 in rows the input is 80 MB."""
    assert peak_megabytes(f"x, = inputs(400, 50_000, 1, {made})", "gramless.hsic(x[::-1], x)") < 30


def test_the_measure_sees_a_stored_matrix(peak_megabytes):
    """The bounds above can be broken: the reference breaks them."""
    setup = "x, = inputs(2000, 8)"
    assert peak_megabytes(setup, "gramless.reference.cka(x, x)") > 60


LIMITED = """
import resource, sys
import numpy as np
import gramless
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
x = np.load(sys.argv[1], mmap_mode="r")
assert x.nbytes > limit
try:
    x.astype(np.float32)
except MemoryError:
    print(repr(float(gramless.cka(x, x[:, :50], estimator=sys.argv[3]))))
"""


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_a_file_larger_than_the_memory_allowed(run_script, tmp_path, estimator):
    """512 MB on disk, mostly holes; the process may allocate 256 MB and cannot hold a copy."""
    path, (n, d) = tmp_path / "x.npy", (512, 1 << 18)
    x = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
    x[:, :200] = values = np.random.default_rng(0).standard_normal((n, 200), dtype=np.float32)
    x.flush()
    printed = run_script(LIMITED, path, 256 << 20, estimator, GRAMLESS_NUM_THREADS="2")
    expected = gramless.cka(values, values[:, :50], estimator=estimator)
    assert float(printed) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_a_hundred_thousand_rows_in_150_megabytes(peak_megabytes, kernel):
    peak = peak_megabytes(
        "x, y = inputs(100_000, 256, 2)", f"gramless.cka(x, y, kernel={kernel!r})", timeout=1200
    )
    print(f"{kernel}: {peak:.0f} MB above the inputs")
    assert peak < 150


WITHOUT_ROOM = """
import resource, sys
import numpy as np
import gramless
x = np.random.default_rng(0).standard_normal((6000, 4), dtype=np.float32)
gramless.cka(x[:50], x[:50], kernel="rbf")
with open("/proc/self/statm") as file:
    data = int(file.read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (data + (60 << 20),) * 2)
print(repr(float(gramless.cka(x, x[::-1], kernel="rbf"))))
"""


def test_a_median_does_without_room_that_the_system_refuses(run_script):
    """Two layers would keep 145 MB."""
    x = np.random.default_rng(0).standard_normal((6000, 4), dtype=np.float32)
    printed = run_script(WITHOUT_ROOM, GRAMLESS_NUM_THREADS="2")
    assert float(printed) == gramless.cka(x, x[::-1], kernel="rbf")
