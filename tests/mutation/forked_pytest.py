"""Runs of pytest, each in a fork of a process that has imported modules with slow imports."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

IMPORTED = ("numpy", "pytest", "scipy.stats", "torch")  # no pytest plugin: pytest would rewrite its imports
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "--slow")
NOT_RUN = 70  # the exit status of a fork in which pytest itself raised an exception


class ForkedPytest:
    """Runs pytest in a folder, like `python -m pytest` there."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], imported: Sequence[str] = IMPORTED
    ) -> None:
        self._folder, self._imported = folder, imported
        self._environment = {name: x for name, x in environment.items() if name != "PYTEST_ADDOPTS"}
        self._server: subprocess.Popen[str] | None = None

    def run(self, arguments: Sequence[str], chosen: Mapping[str, str], limit: float | None) -> int | None:
        """The exit status, negative for a signal; None if it does not end within the given seconds."""
        self._server = self._server or subprocess.Popen(
            [sys.executable, __file__, *self._imported],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._server.stdin
        assert self._server.stdout
        print(json.dumps([[*OPTIONS, *arguments], chosen, limit]), file=self._server.stdin, flush=True)
        status: int | None = json.loads(self._server.stdout.readline())
        return status

    def close(self) -> None:
        if self._server:
            self._server.communicate()


def _serve() -> None:
    sys.path[0] = os.getcwd()
    for name in sys.argv[1:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for request in sys.stdin:
        arguments, chosen, limit = json.loads(request)
        child = os.fork()
        if child == 0:
            _test(arguments, chosen)
        print(json.dumps(_status(child, limit)), flush=True)


def _test(arguments: list[str], chosen: dict[str, str]) -> None:
    os.setsid()  # so that processes started by tests end with them
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    os.environ.update(chosen)
    status = NOT_RUN
    try:
        status = int(importlib.import_module("pytest").main(arguments))
    finally:
        os._exit(status)


def _status(child: int, limit: float | None) -> int | None:
    end = os.pidfd_open(child)
    ended = select.select([end], [], [], limit)[0]
    os.close(end)
    if not ended:
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    _serve()
