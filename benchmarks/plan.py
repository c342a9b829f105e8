"""Everything that is measured; a section is a file of results and a part of docs/benchmarks_all.md."""

from __future__ import annotations

from typing import Any

from .problems import ALL, BOTH, ONE, Problem

OURS = ("gramless",)
OBVIOUS = ("gramless", "numpy", "torch eager")
GRAMS = ("gramless", "torch eager", "torch eager, centred Grams", "torch.compile, centred Grams")


def _pair(name: str, n: int, d: int, **more: Any) -> Problem:
    return Problem(f"{name}-{n}-{d}", "pair", n, d, **more)


def linear() -> list[Problem]:
    shown = {(8192, 512), (512, 2048), (2048, 512)}  # with their memory
    return [
        _pair("linear", n, d, kernel="linear", only=OBVIOUS, memory=(n, d) in shown,
              data="photos" if n <= 8192 and d <= 1024 else "relu")
        for n in (512, 2048, 8192, 20_000)
        for d in (32, 64, 128, 512, 1024, 2048)
    ]  # fmt: skip


def rbf() -> list[Problem]:
    ours = {"only": OURS}
    compared: dict[str, Any] = {"only": GRAMS[:3]}
    found = [
        _pair("rbf", 8192, 64, data="photos", alternatives=ALL, **compared),
        _pair("rbf", 8192, 128, data="photos", memory=True, alternatives=ALL, **compared),
        _pair("rbf", 8192, 512, data="photos", memory=True, alternatives=ALL, only=GRAMS),
        _pair("rbf", 4096, 2048, alternatives=ALL, **compared),
        *(_pair("rbf", n, 128, data="photos", only=GRAMS) for n in (256, 512, 1024)),
        _pair("rbf-median", 8192, 128, bandwidth="median", data="photos", **ours),
        _pair("rbf-median", 8192, 512, bandwidth="median", data="photos", memory=True,
              only=("gramless", "torch eager"), threads=ALL),
        _pair("rbf-median", 8192, 64, bandwidth="median", data="photos", **ours),
        *(_pair("rbf-median", n, 128, bandwidth="median", data="photos", **ours) for n in (256, 512, 1024)),
        *(_pair("rbf-median", n, d, bandwidth="median", data="photos", **ours)
          for n in (2048, 4096) for d in (128, 512)),
        *(_pair("rbf", n, d, data="photos", **ours) for n in (2048, 4096) for d in (128, 512)),
        _pair("kornblith", 2048, 512, bandwidth="kornblith", estimator="biased", data="photos",
              only=(*GRAMS, "ckatorch"), memory=True),
    ]  # fmt: skip
    median: dict[str, Any] = {"threads": ALL, "memory": True, "data": "photos"}
    return [
        *found,
        Problem("median-8192-512", "median", 8192, 512, only=OBVIOUS, **median),
        Problem("distances-8192-512", "distances", 8192, 512, only=OURS, **median),
    ]


def sixteen_bits() -> list[Problem]:
    return [
        Problem(f"{kernel}-{dtype}-8192-512", "pair", 8192, 512, kernel=kernel, dtype=dtype, only=OURS,
                data="photos")
        for kernel in ("linear", "rbf")
        for dtype in ("float32", "bfloat16", "float16")
    ]  # fmt: skip


SWEEPS = [(20, 2000, 512), (20, 4000, 512), (50, 4000, 64), (50, 2000, 256), (12, 8000, 768)]
LINEAR_SWEEPS = [*SWEEPS, (12, 10_000, 256), (24, 5000, 128)]


def linear_sweeps() -> list[Problem]:
    found = []
    for layers, n, d in LINEAR_SWEEPS:
        long = n * (layers * d) ** 2 > 2e11  # of the one gemm
        peers = ("pytorch-cka",) if (layers, n) == (20, 2000) else ()
        found.append(
            Problem(f"sweep-linear-{layers}-{n}-{d}", "sweep", n, d, kernel="linear", layers=layers,
                    only=(*OBVIOUS, *peers), threads=ALL if long else BOTH, memory=bool(peers))
        )  # fmt: skip
    peers = ("gramless", "numpy", "torch eager", "pytorch-cka")
    found.append(
        Problem("sweep-linear-offset", "sweep", 2000, 512, kernel="linear", layers=20, offset=1000.0,
                data="gaussian", only=peers, threads=ALL)
    )  # fmt: skip
    return found


def rbf_sweeps() -> list[Problem]:
    found = []
    for layers, n, d in SWEEPS:
        long = n * n * layers * d > 4e11
        sizes: dict[str, Any] = {"n": n, "d": d, "layers": layers, "threads": ALL if long else BOTH}
        given = (*OURS, "torch eager, centred Grams") if n == 2000 else OURS
        found += [
            Problem(f"sweep-rbf-{layers}-{n}-{d}", "sweep", only=given, memory=n == 2000, **sizes),
            Problem(f"sweep-rbf-median-{layers}-{n}-{d}", "sweep", bandwidth="median", only=OURS, **sizes),
        ]
    return found


def nt_xent() -> list[Problem]:
    packages = ("gramless", "torch eager", "torch.compile", "infonce", "lightly")
    found = [
        Problem(f"nt-xent-{n}-128", "nt_xent", n, 128, data="photos", only=packages, memory=n >= 512,
                alternatives=BOTH if n < 8192 else ALL)
        for n in (32, 64, 128, 256, 512, 1024, 2048, 8192)
    ]  # fmt: skip
    two = ("gramless", "torch eager")
    found += [
        Problem("siglip-16384-512", "siglip", 16_384, 512, data="photos", only=two, threads=ALL, memory=True),
        Problem("nt-xent-8192-512", "nt_xent", 8192, 512, data="photos", only=two, threads=ALL, memory=True),
        Problem("nt-xent-cold-2048-128", "nt_xent", 2048, 128, temperature=0.01, only=two, threads=ALL),
        Problem(
            "cka-grad-8192-512", "cka_grad", 8192, 512, data="photos", only=two, threads=ALL, memory=True
        ),
        *(
            Problem(f"cka-grad-16-8-{kernel}", "cka_grad", 16, 8, kernel=kernel, only=two)
            for kernel in ("linear", "rbf")
        ),
        Problem("cka-grad-linear-8192-128", "cka_grad", 8192, 128, kernel="linear", only=OURS),
    ]
    return found


def small() -> list[Problem]:
    return [
        Problem("small-linear", "pair", 16, 8, kernel="linear", only=OBVIOUS),
        Problem("small-rbf", "pair", 16, 8, only=("gramless", "torch eager", "gramless.reference")),
        *(_pair("small", n, 128, only=("gramless", "torch eager")) for n in (64, 128)),
    ]


def field() -> list[Problem]:
    """Problems for every package that has the function."""
    on: dict[str, Any] = {"threads": ALL, "memory": True}
    linear: dict[str, Any] = {"kernel": "linear", **on}
    only = ("gramless", "numpy", "torch eager", "torch eager, centred Grams", "pytorch-cka", "thingsvision")
    rbf = ("gramless", "torch eager", "thingsvision", "scikit-learn", "scipy", "pykeops")
    losses = ("gramless", "torch eager", "torch.compile", "infonce", "lightly", "optax")
    return [
        Problem("field-linear", "pair", 2048, 512, data="photos", only=only, **linear),
        Problem("field-linear-offset", "pair", 2048, 512, offset=1000.0, data="gaussian", only=only,
                **linear),
        Problem("field-rbf", "pair", 2048, 64, data="photos", only=rbf, **on),
        Problem("field-median", "median", 2048, 64, data="photos",
                only=("gramless", "numpy", "torch eager", "scipy"), **on),
        Problem("field-sweep", "sweep", 1000, 256, layers=4,
                only=(*OBVIOUS, "pytorch-cka", "ckatorch", "repsim"), **linear),
        Problem("independence", "pvalue", 2000, 10, bandwidth="median", only=("gramless", "hyppo"), **on),
        Problem("field-mmd", "mmd", 1024, 64, data="photos", only=("gramless", "scikit-learn"), **on),
        Problem("field-rsa", "rsa", 2048, 512, data="photos", only=("gramless", "scipy"), **linear),
        Problem("field-nt-xent-128", "nt_xent", 128, 128, data="photos",
                only=(*losses, "pytorch-metric-learning"), **on),
        Problem("field-nt-xent-512", "nt_xent", 512, 128, data="photos", only=losses, **on),
        Problem("field-info-nce", "info_nce", 2048, 128, data="photos",
                only=("gramless", "torch eager", "torch.compile", "info-nce-pytorch"), **on),
    ]  # fmt: skip


def further() -> list[Problem]:
    """Statistics and losses beside CKA and NT-Xent that have one alternative each."""
    two = ("gramless", "torch eager")
    on: dict[str, Any] = {"data": "photos", "threads": ALL, "memory": True}
    return [
        Problem("mutual-knn-8192-512", "mutual_knn", 8192, 512, only=two, **on),
        Problem("distance-2048-64", "pair", 2048, 64, kernel="distance", only=("gramless", "dcor"), **on),
        Problem(
            "kid-4096-512", "mmd", 4096, 512, kernel="polynomial", only=("gramless", "scikit-learn"), **on
        ),
        Problem("ranking-16384-512", "ranking", 16_384, 512, only=two, **on),
        Problem("guided-8192-512", "guided", 8192, 512, only=two, **on),
    ]


def large() -> list[Problem]:
    on: dict[str, Any] = {"once": True, "only": OURS, "threads": ALL}
    return [
        Problem("sweep-rbf-50-10000-1024", "sweep", 10_000, 1024, layers=50, **on),
        Problem("rbf-100000-256", "pair", 100_000, 256, **on),
        Problem("linear-100000-256", "pair", 100_000, 256, kernel="linear", **on),
        Problem("nt-xent-65536-128", "nt_xent", 65_536, 128, **on),
    ]


def scaling() -> list[Problem]:
    only = ("gramless", "torch eager")
    on: dict[str, Any] = {"threads": ALL, "curve": "scaling"}
    return [
        *(_pair("scaling", n, 512, only=(*only, "gramless.reference"), memory=n >= 256, **on)
          for n in (16, 32, 64, 128, 256, 512)),
        *(_pair("scaling", n, 512, only=only, memory=True, **on) for n in (1024, 2048, 4096, 8192)),
    ]  # fmt: skip


ROWS = (512, 2048, 8192, 16_384)
COLUMNS = (16, 64, 256, 1024, 4096)
LARGEST_MATRIX = 8192  # most rows for the n x n code of torch, which holds several matrices


def costs() -> list[Problem]:
    """CPU time of one thread and peak memory against n and d."""

    def point(curve: str, kind: Any, n: int, d: int, **more: Any) -> Problem:
        only = ("gramless", "torch eager") if n <= LARGEST_MATRIX else OURS
        memory = curve.endswith("rows")
        name = f"{curve}-{n if memory else d}"
        return Problem(name, kind, n, d, curve=curve, only=only, threads=ONE, memory=memory, **more)

    return [
        *(point("rbf_rows", "pair", n, 64) for n in ROWS),
        *(point("linear_rows", "pair", n, 64, kernel="linear") for n in ROWS),
        *(point("nt_xent_rows", "nt_xent", n, 128) for n in ROWS),
        *(point("rbf_columns", "pair", 2048, d) for d in COLUMNS),
        *(point("nt_xent_columns", "nt_xent", 2048, d) for d in COLUMNS),
    ]


def training() -> list[Problem]:
    """Training steps for several numbers of pairs of images."""
    return [
        Problem(f"step-{encoder}-{pairs}", "step", 2 * pairs, 128, encoder=encoder, threads=ALL, memory=True,
                data="gaussian")
        for encoder in ("resnet", "transformer")
        for pairs in (256, 1024, 8192)
    ]  # fmt: skip


def models() -> list[Problem]:
    on: dict[str, Any] = {"d": 1280, "data": "gaussian", "threads": ONE}
    ours = ("gramless, minibatch",)
    return [
        Problem("models-256", "models", 256, **on),
        *(Problem(f"models-memory-{n}", "models", n, timed=False, memory=True, only=ours, **on)
          for n in (128, 512, 2048)),
    ]  # fmt: skip


def beside() -> list[Problem]:
    """The same call alone, and immediately after threads of another library have worked in the process."""
    found = []
    for library in ("", "torch", "numpy", "gramless"):
        only = ("torch eager",) if library == "gramless" else OURS if library else ("gramless", "torch eager")
        on: dict[str, Any] = {"beside": library, "only": only, "threads": ALL}
        found += [
            Problem(f"beside-{library or 'nothing'}-nt-xent", "nt_xent", 64, 128, **on),
            Problem(f"beside-{library or 'nothing'}-linear", "pair", 512, 128, kernel="linear", **on),
        ]
    return found


SECTIONS = {  # in the order of measurement, the most important first
    "nt_xent": ("Losses and similarities one trains through, forward and backward", nt_xent),
    "linear": ("Linear CKA of two representations", linear),
    "rbf": ("RBF CKA of two representations", rbf),
    "linear_sweeps": ("Linear CKA of all layers with all layers", linear_sweeps),
    "rbf_sweeps": ("RBF CKA of all layers with all layers", rbf_sweeps),
    "small": ("Small calls", small),
    "large": ("Where n x n does not fit", large),
    "training": ("A training step", training),
    "sixteen_bits": ("Inputs of 16 bits", sixteen_bits),
    "field": ("Other packages", field),
    "further": ("Further statistics and losses", further),
    "models": ("Whole networks", models),
    "beside": ("Beside threads of another library", beside),
    "costs": ("CPU time of one thread against n and d", costs),
    "scaling": ("Every n, RBF, sigma given", scaling),
}
