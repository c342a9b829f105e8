"""Processes of contenders: each contender has its own, and all but the one in turn are stopped."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import IO, Any

from .contenders import Contender
from .environment import ROOT, clean_environment

START_SECONDS = 120.0
ANSWER_SECONDS = 400.0


class Process:
    """A worker that computes for one contender on a number of threads."""

    def __init__(self, contender: Contender, threads: str = "default") -> None:
        self.contender, self.threads = contender, threads
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `close`)
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", contender.code, contender.inputs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=clean_environment(threads),
            cwd=ROOT,
        )
        self.failed = self._read(START_SECONDS).get("failed")
        self._stop()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def _resume(self) -> None:
        if self._popen.poll() is None:
            os.kill(self.pid, signal.SIGCONT)

    def _stop(self) -> None:
        """Returns when all its threads are stopped, or it has ended."""
        if self._popen.poll() is None:
            os.kill(self.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def _read(self, seconds: float) -> dict[str, Any]:
        assert self._popen.stdout is not None
        ready, _, _ = select.select([self._popen.stdout], [], [], seconds)
        if not ready:
            self._popen.kill()
            return {"failed": f"no answer within {seconds:.0f} s"}
        line = self._popen.stdout.readline()
        return dict(json.loads(line)) if line else {"failed": self._last_words()}

    def _last_words(self) -> str:
        status = self._popen.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else f"ended with status {status}"

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """The worker's reply, or {"failed": why} if there is none; the process runs only until its reply."""
        if self.failed:
            return {"failed": self.failed}
        assert self._popen.stdin is not None
        self._resume()
        try:
            self._popen.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            self._popen.stdin.flush()
            reply = self._read(ANSWER_SECONDS)
        except BrokenPipeError:
            reply = {"failed": self._last_words()}
        if self._popen.poll() is not None:
            self.failed = reply.get("failed", "ended")
        self._stop()
        return reply

    @cached_property
    def threads_found(self) -> int | None:
        """The number of threads that its libraries report once they are imported."""
        about = self.ask("describe")
        counts = [pool["num_threads"] for pool in about.get("pools", [])] + [
            *about.get("threads", {}).values()
        ]
        return max(counts, default=None)

    def close(self) -> None:
        self._popen.kill()
        self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout, self._stderr):
            if stream is not None:
                stream.close()


class Processes:
    """One process for each contender and number of threads, started when first asked for."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Process] = {}

    def of(self, contender: Contender, threads: str = "default") -> Process:
        key = (contender.code, contender.inputs, threads)
        if key not in self._found:
            self._found[key] = Process(contender, threads)
        return self._found[key]

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(process.pid for process in self._found.values())

    def close(self) -> None:
        for process in self._found.values():
            process.close()
        self._found.clear()


@contextmanager
def processes() -> Iterator[Processes]:
    found = Processes()
    try:
        yield found
    finally:
        found.close()


@contextmanager
def alone(contender: Contender, threads: str = "default") -> Iterator[Process]:
    """A process for one contender, which ends with the block."""
    process = Process(contender, threads)
    try:
        yield process
    finally:
        process.close()
