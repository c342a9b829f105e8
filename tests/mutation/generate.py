"""Faults made by rules: a sign, a bound, a loop's first or last iteration, a barrier, minimum for maximum."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from faults import Equivalent, Fault, read_equivalents
from places import code_alone, files_called, function_at, sources

OTHER = {
    "+": "-", "-": "+", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "min": "max", "max": "min",
    "fmin": "fmax", "fmax": "fmin", "fminf": "fmaxf", "fmaxf": "fminf", "minimum": "maximum",
    "maximum": "minimum",
}  # fmt: skip
CPP, CUDA, PYTHON = {".cpp", ".hpp"}, {".cu", ".cuh"}, {".py"}
# The sources of each target.
FAULTY = {"cpu": CPP | PYTHON, "cuda": CUDA}
LEFT_OUT = ("benchmarks", "csrc/bindings")  # measurements; translations only


@dataclass(frozen=True)
class Rule:
    """The replacement of a match of the pattern in the code."""

    name: str
    pattern: re.Pattern[str]
    suffixes: frozenset[str]
    wrong: str | None = None  # None: the other one of a pair of words

    def replacement(self, right: str) -> str:
        return OTHER[right] if self.wrong is None else self.wrong


def _rule(name: str, pattern: str, suffixes: set[str], wrong: str | None = None) -> Rule:
    return Rule(name, re.compile(pattern), frozenset(suffixes), wrong)


RULES = (
    _rule("sign", r"(?<=[\w)\]}] )[+-](?= [\w(*&-])", CPP | CUDA | PYTHON),
    _rule("sign", r"(?<= )[+-](?== )", CPP | CUDA | PYTHON),
    _rule("bound", r"(?<= )(?:<=|>=|<|>)(?= )", CPP | CUDA | PYTHON),
    _rule("first iteration of a loop", r"(?<=\bfor \()[\w:]+ \w+ = 0(?=;)", CPP | CUDA, ""),
    _rule("last iteration of a loop", r"(?<=< )[^;<>]+(?=; (?:\+\+\w|\w+(?:\+\+|\)| \+= )))", CPP | CUDA, ""),
    _rule("last iteration of a loop", r"(?<=\bin range\()[^(),:]+(?=\))", PYTHON, ""),
    _rule("barrier", r"\b(?:__syncthreads|__syncwarp|wait_for_copies<\w+>)\(\);", CUDA, ""),
    _rule(
        "minimum and maximum",
        r"\b(?:(?<=std::)(?:min|max)|fminf?|fmaxf?|(?<=np\.)(?:min|max)imum)\b",
        CPP | CUDA | PYTHON,
    ),
)


def _wrong(rule: Rule, right: str, after: str) -> str:
    """The replacement; the step of a loop is written after its bound."""
    if rule.name == "first iteration of a loop":
        return f"{right[:-1]}1"
    if rule.name == "last iteration of a loop":
        step = re.match(r"; \w+ \+= ([^,)]+)[,)]", after)
        return f"{right} - {step[1] if step else 1}"
    return rule.replacement(right)


def generated(root: Path, target: str) -> Iterator[Fault]:
    """All faults that the rules make in the sources of a target, without equivalent ones."""
    equivalents = read_equivalents()
    for file in sources(root):
        if file.suffix not in FAULTY[target] or file.as_posix().startswith(LEFT_OUT):
            continue
        text = (root / file).read_text(encoding="utf-8")
        code = code_alone(text, file.suffix)
        names: Counter[str] = Counter()
        excused = [one for one in equivalents if file in files_called(root, one.file)]
        for rule in RULES:
            if file.suffix not in rule.suffixes:
                continue
            for match in rule.pattern.finditer(code):
                function = function_at(text, file.suffix, match.start())
                line = _line(text, match.start())
                name = f"{rule.name} in {function}: {line}"
                names[name] += 1
                if function and not any(_same(one, function, line, rule.name) for one in excused):
                    yield Fault(
                        name=name if names[name] == 1 else f"{name} ({names[name]})",
                        file=file.as_posix(),
                        find=match[0],
                        replace=_wrong(rule, match[0], code[match.end() : match.end() + 80]),
                        span=match.span(),
                        race=rule.name == "barrier",
                    )


def _line(text: str, offset: int) -> str:
    start = text.rfind("\n", 0, offset) + 1
    return " ".join(text[start : text.find("\n", offset)].split())


def _same(one: Equivalent, function: str, line: str, rule: str) -> bool:
    return (
        one.within in ("", function)
        and one.operator in ("", rule)
        and (not one.line or " ".join(one.line.split()) in line)
    )
