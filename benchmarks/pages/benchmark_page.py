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
    "linear": "numpy and torch eager make three products of features.",
    "rbf": "Centred Grams are those of the code that came with Kornblith et al. 2019.",
    "linear_sweeps": "numpy and torch eager make one product of all features of all layers.",
    "training": "Two views of images of 16 x 16 through a small network, NT-Xent with D 128, backward, an "
    "update. Memory is of the whole step.",
    "models": "EfficientNet-Lite0 with -Lite1, 18 x 23 layers, images of 128 x 128 in batches of 64. Others "
    "take images as they come, we with channels last; what is compared is flattened, except where it says "
    "means. Errors are against float64, on 128 images.",
    "beside": "Right before every call, threads of the other library have worked in the same process.",
}
METHOD = """
Every contender has a process of its own that imports nothing of the others, and runs while the others are
stopped, in turn (A B A B ...), in an environment without variables that choose kernels or threads. Short
calls are warmed up in every turn, those of 0.3 s or more once, those of about a second by smaller problems
in the same process. Each call has other inputs than the last; a sample is as many calls as take 2 ms.
"Time" is by the clock; an alternative has the number of threads that is fastest for it, its own default or
one, ours has always its default, all cores. "CPU time" is of one thread. "Of the peak" is the time of the
necessary FLOPs (each pair of rows or features once) at the FMA peak measured in the same rounds, over the
time. A bold ratio is a row where the alternative is faster. Memory is above the inputs.
""".strip().replace("\n", " ")
CHECKS = """
Answers come before times: at a small size against `gramless.reference` in float64, at full size against
gramless in float64, on isotropic noise, on data whose covariance has the eigenvalues 1/i, on the same through
a ReLU, and on activations of the demo's networks (at every position of 512 crops of photos; 8,192 rows, 1,280
features). Large problems are checked at full size on the data that is timed alone. The error is the worst of
all; "wrong" is further than 1e-3 from the truth on more than one kind of data. Errors and memory of
alternatives may be from an earlier commit, for they do not depend on our code.
""".strip().replace("\n", " ")
PACKAGES = """
`pip install -c constraints.txt '.[bench,peers]'` brings the packages. Two more ask for a torchvision, and one
of them for a numpy below 2, which cannot be installed beside what is measured here. `pip install --no-deps
lightly==1.6.0 thingsvision==2.7.3 torchtyping==0.1.5 typeguard==2.13.3` brings their own files, and of those
the measured ones run without the packages around them; `pip install --no-deps torch-cka==0.21` likewise. A
package that is not installed is named in its row.
""".strip().replace("\n", " ")


def _median_in_passes(problems: dict[str, Entry]) -> list[str]:
    names = ("median-8192-512", "distances-8192-512")
    found = [quoted(OURS, problems[name]["contenders"][OURS]) for name in names if name in problems]
    if len(found) < 2 or not found[0] or not found[1]:
        return []
    return [
        f"The exact median costs {number(found[0][1] / found[1][1])} distance passes, a pass being one RBF "
        "matrix with sigma given: every pair of rows once, its distance, exp and sums "
        "(`hsic_matrix([x], kernel=RBF(sigma))`).",
        "",
    ]


def _names(problems: list[Problem]) -> str:
    return ", ".join(f"`{problem.name}`" for problem in problems)


def _absent(name: str, results: Entry) -> list[str]:
    """What the plan has and the tables of a section have not."""
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
        lines += ["The bandwidth by the exact median against a given one:", "", *ratios, ""]
    if name == "rbf":
        lines += _median_in_passes({problem["name"]: problem for problem in problems})
    if name == "scaling":
        lines += [f"![Time and peak memory against n]({FIGURE})", ""]
    return lines


def document(found: dict[str, Entry], shipping: Entry | None) -> str:
    lines = ["# Benchmarks: every row", "", "Generated by `python -m benchmarks.pages`; do not edit.", ""]
    lines += ["The main rows stand on [a shorter page](benchmarks.md).", ""]
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
    """The page as the committed results have it; all of it is generated."""
    return document(sections(), read("shipping"))
