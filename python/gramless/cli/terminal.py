"""What the commands share: results on standard output, everything else on standard error, one way to fail."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Failure(click.ClickException):
    """One sentence on standard error and exit code 2."""

    exit_code = 2


def results() -> Console:
    """Where results go: plain text, as wide as it needs when it is not a terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    return console


def messages() -> Console:
    """Where notes and progress go."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


@contextmanager
def one_sentence_errors() -> Iterator[None]:
    """Turn the errors that users can cause into Failure."""
    try:
        yield
    except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
        raise Failure(" ".join(str(error).split()) or type(error).__name__) from error


@contextmanager
def progress_bar(description: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, as the callable(done, total) that the sweeps take."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = messages()
    with Progress(
        *columns, console=console, transient=True, disable=quiet or not console.is_terminal
    ) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def require(packages: dict[str, str], extra: str, why: str) -> None:
    """Fail with the pip command unless the importable names, mapped to package names, are there."""
    missing = [package for name, package in packages.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise Failure(f"{why} needs {', '.join(missing)}: pip install 'gramless[{extra}]'")


def check_writable(path: Path | None) -> None:
    """Fail before the work, not after it, if a result could not be written."""
    if path is not None and not path.absolute().parent.is_dir():
        raise Failure(f"{path}: there is no folder {path.absolute().parent}")
