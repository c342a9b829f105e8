"""Common to all commands: results on standard output, all else on standard error, one form of errors."""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from .._paths import as_path
from .._progress import ProgressBar
from .._text import printable


class Failure(click.ClickException):
    """One sentence on standard error and exit code 2."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class File(click.Path):
    """A path, of a file or a folder, under a name that there can be."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        what = "the path" if param is None else param.opts[0]
        with one_sentence_errors():
            path = as_path(what if what.startswith("-") else what.upper(), value)
        return super().convert(path, param, ctx)


def escape_what_cannot_be_encoded() -> None:
    """Let the standard streams write characters that their encoding lacks as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def results() -> Console:
    """The console for results: plain text, without line breaks when it is not a terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    return console


def messages() -> Console:
    """The console for notes and progress."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


@contextmanager
def one_sentence_errors() -> Iterator[None]:
    """Turn the errors that users can cause into Failure."""
    try:
        yield
    except BrokenPipeError:  # whoever reads has read enough: click ends in silence
        raise
    except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
        raise Failure(" ".join(str(error).split()) or type(error).__name__) from error


@contextmanager
def standard_output() -> Iterator[None]:
    """What is written in here has been written at its end; Failure where it cannot be."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failure(f"standard output cannot be written ({error.strerror or error})") from error


def progress_bar(description: str = "", quiet: bool = False) -> ProgressBar:
    """A callable(done, total) that draws itself on standard error, and a context that removes it."""
    return ProgressBar(description, quiet)


def require(packages: dict[str, str], why: str) -> None:
    """Fail with the pip command unless the importable names, mapped to package names, are there."""
    missing = [package for name, package in packages.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise Failure(f"{why} needs {', '.join(missing)}: pip install {' '.join(missing)}")
