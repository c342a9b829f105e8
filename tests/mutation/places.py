"""Places of faults: files and functions by name, text regardless of white space, independent of faults."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path

FOLDERS = ("csrc", "python/gramless", "benchmarks")
SUFFIXES = {".py", ".cpp", ".hpp", ".cu", ".cuh"}
_CONTROL = {"if", "for", "while", "switch", "catch", "requires", "constexpr", "alignas", "decltype", "return"}
_HEAD = re.compile(
    r"(\w+|operator\W{1,3})\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)(?:[^(){};:]|::)*(?::(?!:)[^{};]*)?$"
)
_NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|^[ \t]*#(?:\\\n|[^\n])*',
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Function:
    """A function and the place of its body."""

    name: str
    start: int
    stop: int


@lru_cache(maxsize=8)
def sources(root: Path) -> tuple[Path, ...]:
    """Every file in which a fault may be planted, relative to the root."""
    found = [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.suffix in SUFFIXES]
    return tuple(sorted(path.relative_to(root) for path in found))


def files_called(root: Path, name: str) -> list[Path]:
    """The sources of this name, which may have some of its folders before it."""
    return [path for path in sources(root) if f"/{path.as_posix()}".endswith(f"/{name}")]


def shortest_name(root: Path, file: Path) -> str:
    """The name of a source with as few of its folders as make it unique."""
    parts = file.parts
    names = ("/".join(parts[-count:]) for count in range(1, len(parts) + 1))
    return next(name for name in names if files_called(root, name) == [file])


def as_pattern(text: str) -> re.Pattern[str]:
    """Finds the text regardless of white space, because formatters move lines."""
    words = re.findall(r"\w+|[^\w\s]", text)
    gaps = [
        r"\s+" if before[-1].isalnum() and after[0].isalnum() else r"\s*" for before, after in pairwise(words)
    ]
    return re.compile("".join(re.escape(word) + gap for word, gap in zip(words, [*gaps, ""], strict=True)))


def code_alone(text: str, suffix: str) -> str:
    """The text with spaces for comments, strings and preprocessor lines, at the same offsets."""
    if suffix == ".py":
        return _python_code(text)
    return _NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def _python_code(text: str) -> str:
    starts, kept = _line_starts(text), list(text)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            (line, column), (last_line, last_column) = token.start, token.end
            for at in range(starts[line - 1] + column, starts[last_line - 1] + last_column):
                kept[at] = "\n" if kept[at] == "\n" else " "
    return "".join(kept)


def _line_starts(text: str) -> list[int]:
    return [0, *accumulate(map(len, text.splitlines(keepends=True)))]


@lru_cache(maxsize=64)
def functions(text: str, suffix: str) -> tuple[Function, ...]:
    """All functions of a source, outer before inner ones."""
    found = _python_functions(text) if suffix == ".py" else _cpp_functions(code_alone(text, suffix))
    return tuple(sorted(found, key=lambda function: function.start))


def _python_functions(text: str) -> list[Function]:
    starts, kinds = _line_starts(text), (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        Function(node.name, starts[node.lineno - 1], starts[node.end_lineno or node.lineno])
        for node in ast.walk(ast.parse(text))
        if isinstance(node, kinds)
    ]


def _cpp_functions(code: str) -> list[Function]:
    """Functions by braces: the text before one, back to the last statement, ends with parentheses."""
    found, opened, last = [], [], 0
    for match in re.finditer(r"[{};]", code):
        if match[0] == "{":
            head = _HEAD.search(code[max(last, match.start() - 600) : match.start()])
            opened.append((head[1].strip() if head and head[1] not in _CONTROL else "", match.start()))
        elif match[0] == "}" and opened:
            name, start = opened.pop()
            if name:
                found.append(Function(name, start, match.end()))
        last = match.end()
    return found


def function_at(text: str, suffix: str, offset: int) -> str:
    """The name of the innermost function around an offset, empty outside of all."""
    around = [
        function.name for function in functions(text, suffix) if function.start <= offset < function.stop
    ]
    return around[-1] if around else ""


def body_around(text: str, suffix: str, start: int, stop: int) -> Function | None:
    """The innermost body around a place; None where the compiler may evaluate it."""
    around = [body for body in functions(text, suffix) if body.start < start and stop < body.stop]
    if not around:
        return None
    code = code_alone(text, suffix)[: around[-1].start]
    head = code[max(code.rfind(sign) for sign in ";{}") + 1 :]
    return None if re.search(r"\bconste(?:xpr|val)\b", head) else around[-1]


def spans(text: str, suffix: str, find: str, within: str = "") -> list[tuple[int, int]]:
    """All places of the text, or only those in functions of a name."""
    found = [match.span() for match in as_pattern(find).finditer(text)]
    if not within:
        return found
    bodies = [function for function in functions(text, suffix) if function.name == within]
    return [span for span in found if any(body.start <= span[0] < body.stop for body in bodies)]
