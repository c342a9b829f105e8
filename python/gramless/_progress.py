"""Progress of long calls: the argument `progress`, and a progress bar, which needs rich."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from typing import Self

    from rich.progress import Progress

ProgressLike: TypeAlias = "bool | Callable[[int, int], object] | None"  # as users pass it
Report: TypeAlias = "Callable[[int, int], object] | None"  # called with (done, total)


class Reported:
    """A user's callable of (done, total), or a progress bar, during one call.

    As a context manager it ensures that the last report has done == total, unless an exception is raised, and
    removes a bar from the terminal.
    """

    def __init__(self, report: Callable[[int, int], object]):
        self._report, self._last = report, (0, 1)

    def of(self, total: int) -> Self:
        """Set the total in advance."""
        self._last = 0, total
        return self

    def __call__(self, done: int, total: int) -> None:
        self._last = done, total
        self._report(done, total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        done, total = self._last
        if error is None and done < total:
            self(total, total)
        if isinstance(self._report, ProgressBar):
            self._report.close()


def ends(report: Report, total: int = 1) -> AbstractContextManager[object]:
    """The context in which to use `report`, which may be None. total: the total if nothing is reported."""
    return report.of(total) if isinstance(report, Reported) else nullcontext()


def reporter(function: str, progress: ProgressLike, description: str = "") -> Report:
    """The callable of (done, total) for the argument `progress`; True gives a progress bar."""
    if progress is None or isinstance(progress, Reported):
        return progress
    if callable(progress):
        return Reported(progress)
    if not isinstance(progress, (bool, np.bool_)):
        raise TypeError(
            f"{function}: progress must be True, False or a callable of (done, total) but is {progress!r}"
        )
    return Reported(ProgressBar(description)) if progress else None


class ProgressBar:
    """A progress bar on standard error, from the first report until it is closed or garbage-collected.

    Nothing is drawn if `quiet`, or if standard error is neither a terminal nor a notebook.
    """

    def __init__(self, description: str = "", quiet: bool = False):
        self._progress: Progress | None = None
        try:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
            from rich.progress import TimeRemainingColumn as Remaining
        except ImportError as error:
            raise ImportError("a progress bar needs rich: pip install rich") from error
        console = Console(stderr=True)
        columns: list[Any] = [
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
        ]
        self._progress = Progress(
            *columns,
            TimeElapsedColumn(),
            Remaining(),
            console=console,
            transient=True,
            auto_refresh=False,
            disable=quiet or not (console.is_terminal or console.is_jupyter),
        )
        self._task = self._progress.add_task(description, total=None)

    def __call__(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress.start()
            self._progress.update(self._task, completed=done, total=total, refresh=True)

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
