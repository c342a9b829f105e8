"""python -m benchmarks [--prepare] [--minutes M] [--section NAME ...] [--only PROBLEM ...] [--quick]

Measures everything that pages quote, and writes one file of results for each section. A run resumes: it keeps
what was measured on the same machine with the same versions and commit. --prepare does what does not need a
quiet machine (answers, peak memory, inputs, compiled code). Without it a run does what is left of that, and
measures the times.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from .environment import RESULTS
from .plan import SECTIONS
from .problems import quick_problems
from .suite import Options, run_section


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prepare", action="store_true", help="only answers and memory, no times")
    parser.add_argument(
        "--skip-memory",
        action="store_true",
        help="no peak memory; --prepare adds it later, at the same commit",
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no problem later")
    parser.add_argument(
        "--section", action="append", choices=SECTIONS, metavar="NAME", help=", ".join(SECTIONS)
    )
    parser.add_argument("--only", action="append", metavar="PROBLEM", help="only problems of this name")
    parser.add_argument("--quick", action="store_true", help="use small sizes, to check that everything runs")
    parser.add_argument("--fresh", action="store_true", help="discard earlier results")
    parser.add_argument("--rounds", type=int, default=5, help="most rounds of a problem")
    parser.add_argument("--budget", type=float, default=2.0, metavar="S", help="seconds of samples")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER")
    arguments = parser.parse_args()
    options = Options(
        prepare=arguments.prepare,
        memory=not arguments.skip_memory,
        fresh=arguments.fresh or arguments.quick,
        quick=arguments.quick,
        only=tuple(arguments.only or ()),
        rounds=arguments.rounds,
        budget_s=arguments.budget,
        end=time.monotonic() + arguments.minutes * 60,
    )
    chosen = {name: (SECTIONS[name][0], SECTIONS[name][1]()) for name in arguments.section or SECTIONS}
    every = [p for _, problems in chosen.values() for p in problems]
    unknown = set(options.only) - {p.name for p in every}
    if unknown:
        parser.error(f"there is no problem {', '.join(sorted(unknown))}")
    if arguments.quick:
        wanted = [p for p in every if not options.only or p.name in options.only]
        chosen = {"quick": ("Everything, small", quick_problems(wanted))}
        options = replace(options, rounds=min(options.rounds, 2), only=())
    for name, (title, problems) in chosen.items():
        if not run_section(arguments.out / f"{name}.json", name, title, problems, options):
            sys.exit(f"time was up in section {name}; repeat the command to resume")


if __name__ == "__main__":
    main()
