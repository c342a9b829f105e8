"""Processes of one test, forked from a server that has imported torch: each would take seconds for that."""

from __future__ import annotations

import multiprocessing

import torch


def start_processes(work, arguments, count):
    """Calls work(rank, *arguments) in `count` processes; an error in one is raised here."""
    multiprocessing.set_forkserver_preload(["gramless.torch", "pytest"])
    torch.multiprocessing.start_processes(work, arguments, count, start_method="forkserver")
