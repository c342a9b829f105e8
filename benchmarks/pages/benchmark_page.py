"""docs/benchmarks_all.md: conditions, method, and a part for each section of the plan, measured or not."""

from __future__ import annotations

from ..environment import ROOT
from ..plan import SECTIONS
from ..problems import Problem
from . import section_tables
from .conditions import conditions, kernels, of_main_machine
from .results import OURS, Entry, left_out, not_measured, quoted, read, sections, was_timed, without_memory
from .tables import shipping_tables, table
from .words import number

FILE = ROOT / "docs/benchmarks_all.md"
FIGURE = "images/scaling.png"
OWN_TABLES = {
    "training": section_tables.training,
    "models": section_tables.models,
    "sixteen_bits": section_tables.sixteen_bits,
    "beside": section_tables.beside,
}
OPENINGS = {
    "linear": "The code for numpy and torch eager computes three products of feature matrices.",
    "rbf": "Centred Grams: the code published with Kornblith et al. 2019, which centres the Gram matrices.",
    "linear_sweeps": "The code for numpy and torch eager computes one product of all features of all layers.",
    "training": "A step embeds two views of 16 x 16 images by a small network, computes NT-Xent with D 128 "
    "and its gradients, and updates the weights. Memory is that of the whole step.",
    "models": "EfficientNet-Lite0 with -Lite1, 18 x 23 layers, images of 128 x 128 in batches of 64. "
    "gramless receives the images in the channels-last format, the alternatives as they are loaded. "
    "Activations are flattened, except in rows that say means. Errors are differences from float64, on 128 "
    "images.",
    "beside": "Right before every call, threads of the other library have worked in the same process.",
}
METHOD = """
Every contender runs in a process of its own that imports none of the other packages, in an environment
without variables that choose kernels or threads. Contenders take turns (A B A B ...), and the others are
stopped meanwhile. Short calls are warmed up in every turn, calls of 0.3 s or more once, and calls of about a
second by smaller problems in the same process. Each call has other inputs than the call before it; a sample
is as many calls as take 2 ms. "Time" is wall-clock time: of gramless always with its default, all cores; of
an alternative with its own default or one thread, whichever is faster. "CPU time" is that of one thread. "Of
the peak" is the time that the necessary floating-point operations (each pair of rows or features once) take
at the peak rate of fused multiply-adds (FMA) measured in the same rounds, divided by the measured time. A
bold ratio marks a row where the alternative is faster. Memory is the peak above the inputs.
""".strip().replace("\n", " ")
CHECKS = """
Values are checked before times are measured: at a small size against `gramless.reference` in float64, at
full size against gramless in float64. The data are isotropic noise; data whose covariance has the
eigenvalues 1/i ("spectrum 1/i"); the same after a ReLU; and activations of the demo's networks (at every
position of 512 crops of photos; 8,192 rows, 1,280 features). Large problems are checked at full size only on
the data that are timed. The error is the largest of all; "wrong" marks an error above 1e-3 on more than one
kind of data. Errors and memory of alternatives may be from an earlier commit, because they do not depend on
our code.
""".strip().replace("\n", " ")
PACKAGES = """
`pip install -c constraints.txt '.[bench,peers]'` installs the packages but for three. lightly and
thingsvision require torchvision, and one of them numpy below 2, which conflict with the versions measured
here. `pip install --no-deps lightly==1.6.0 thingsvision==2.7.3 torchtyping==0.1.5 typeguard==2.13.3`
installs them without these requirements, which the measured functions do not need; `pip install --no-deps
torch-cka==0.21` likewise. A row says where its package is not installed.
""".strip().replace("\n", " ")


def _median_in_passes(problems: dict[str, Entry]) -> list[str]:
    names = ("median-8192-512", "distances-8192-512")
    found = [quoted(OURS, problems[name]["contenders"][OURS]) for name in names if name in problems]
    if len(found) < 2 or not found[0] or not found[1]:
        return []
    return [
        f"The exact median takes {number(found[0][1] / found[1][1])} times as long as one RBF matrix with "
        "sigma given, `hsic_matrix([x], kernel=RBF(sigma))`, which computes the distance of every pair of "
        "rows once, its exponential, and their sums.",
        "",
    ]


def _names(problems: list[Problem]) -> str:
    return ", ".join(f"`{problem.name}`" for problem in problems)


def _absent(name: str, results: Entry) -> list[str]:
    """What the plan has and the tables of a section lack."""
    lines = []
    if missing := _names(left_out(name, results)):
        lines += [f"{not_measured(name)[:-1]} for {missing}.", ""]
    if missing := _names(without_memory(name, results)):
        command = f"`python -m benchmarks --prepare --section {name}`"
        lines += [f"Peak memory is not measured yet: {command} does for {missing}.", ""]
    if name in OWN_TABLES:  # others have a row for each of these
        failed = {
            f"{contender}: {one['failed']}"
            for problem in results["problems"]
            for contender, one in problem["contenders"].items()
            if "failed" in one
        }
        if failed:
            lines += [f"Not in the table: {'; '.join(sorted(failed))}.", ""]
    return lines


def _part(name: str, title: str, results: Entry | None) -> list[str]:
    """One section of the page."""
    lines = [f"## {title}", ""]
    if results is None:
        return [*lines, not_measured(name), ""]
    problems = [problem for problem in results["problems"] if was_timed(problem) or not problem["timed"]]
    if name in OPENINGS:
        lines += [OPENINGS[name], ""]
    if name == "costs":
        lines += ["The curves are in [what it costs](explanation/numerics.md#what-it-costs).", ""]
        return lines + _absent(name, results)
    lines += [*OWN_TABLES.get(name, table)(problems), "", *_absent(name, results)]
    ratios = section_tables.medians(problems)
    if ratios:
        lines += ["An exact median as bandwidth, compared with a given one:", "", *ratios, ""]
    if name == "rbf":
        lines += _median_in_passes({problem["name"]: problem for problem in problems})
    if name == "scaling":
        lines += [f"![Time and peak memory against n]({FIGURE})", ""]
    return lines


def document(found: dict[str, Entry], shipping: Entry | None) -> str:
    lines = ["# Benchmarks: every row", "", "Generated by `python -m benchmarks.pages`; do not edit.", ""]
    lines += ["[A shorter page](benchmarks.md) has the main rows.", ""]
    for line in [*conditions(of_main_machine(found)), METHOD, CHECKS, PACKAGES]:
        lines += [line, ""]
    lines += kernels(of_main_machine(found))
    for name, (title, _) in SECTIONS.items():
        heading, *part = _part(name, title, found.get(name))
        about = (
            conditions({name: found[name]}) if name in found and name not in of_main_machine(found) else []
        )
        lines += [heading, *(line for paragraph in about for line in ("", paragraph)), *part]
    return "\n".join(lines + shipping_tables(shipping)).rstrip() + "\n"


def redrawn(text: str) -> str:
    """The page from the committed results; all of it is generated."""
    return document(sections(), read("shipping"))
