"""Shared by all commands: results on standard output, all else on standard error, errors of one sentence."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from .._paths import as_path
from .._progress import ProgressBar
from .._text import printable


class Failure(click.ClickException):
    """An error that prints one sentence on standard error and exits with code 2."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class File(click.Path):
    """The type of options for paths; refuses names that no file can have."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        what = "the path" if param is None else param.opts[0]
        with one_sentence_errors():
            path = as_path(what if what.startswith("-") else what.upper(), value)
        return super().convert(path, param, ctx)


def escape_what_cannot_be_encoded() -> None:
    """Make the standard streams write characters that their encoding lacks as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def results() -> Console:
    """The console for results: plain text, up to 200 columns wide if it is not a terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    return console


def messages() -> Console:
    """The console for notes and progress."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


@contextmanager
def one_sentence_errors() -> Iterator[None]:
    """Convert the errors that users can cause to Failure."""
    try:
        yield
    except BrokenPipeError:  # the reader has closed the pipe; click exits silently
        raise
    except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
        raise Failure(" ".join(str(error).split()) or type(error).__name__) from error


@contextmanager
def standard_output() -> Iterator[None]:
    """A context that flushes standard output at its end; raises Failure if it cannot be written."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard_standard_output()
        raise Failure(_unwritten(error)) from error


def run(command: Callable[[], object]) -> None:
    """Run a command that ends by SystemExit; what it wrote is written then, or one sentence says why not."""
    try:
        try:
            command()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has read enough
        _discard_standard_output()
        sys.exit(1)
    except OSError as error:
        _discard_standard_output()
        said = _unwritten(error) if error.filename is None else str(error)
        print(f"Error: {printable(said)}", file=sys.stderr)
        sys.exit(Failure.exit_code)


def _unwritten(error: OSError) -> str:
    return f"standard output cannot be written ({error.strerror or error})"


def _discard_standard_output() -> None:
    """The interpreter would write what is left in the buffer at its end once more, and exit with 120."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def progress_bar(description: str = "", quiet: bool = False) -> ProgressBar:
    """A progress bar on standard error: a callable (done, total) and a context manager that removes it."""
    return ProgressBar(description, quiet)


def require(packages: dict[str, str], why: str) -> None:
    """Fail with the pip command unless all modules are installed. packages: package names by module names."""
    missing = [package for name, package in packages.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise Failure(f"{why} needs {', '.join(missing)}: pip install {' '.join(missing)}")
