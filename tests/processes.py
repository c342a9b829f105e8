"""Processes of one test, forked from a server that has imported torch: each would take seconds for that."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch


def start_processes(work, arguments, count):
    """Calls work(rank, *arguments) in `count` processes; an error in one is raised here."""
    _server()
    torch.multiprocessing.start_processes(work, arguments, count, start_method="forkserver")


def run_source(source: str, arguments: Sequence[object], folder: Path, timeout: float) -> str:
    """Runs Python source in a process of its own, which must succeed in time; returns its output."""
    output, errors = folder / "output", folder / "errors"
    program = source, [str(argument) for argument in arguments], output, errors
    process = _server().Process(target=_run_here, args=program)
    process.start()
    process.join(timeout)
    ended = process.exitcode is not None
    if not ended:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own processes too
        process.join()
    assert ended, f"no end within {timeout} s: {errors.read_text()}"
    assert process.exitcode == 0, errors.read_text()
    return output.read_text()


def _run_here(source: str, arguments: list[str], output: Path, errors: Path) -> None:
    os.setsid()
    for stream, path in enumerate((output, errors), 1):
        with path.open("w") as file:
            os.dup2(file.fileno(), stream)
    sys.argv = ["-c", *arguments]
    warnings.simplefilter("error")
    exec(compile(source, "<source of a test>", "exec"), {"__name__": "__main__"})


def _server():
    multiprocessing.set_forkserver_preload(["gramless.torch", "pytest"])
    return multiprocessing.get_context("forkserver")
