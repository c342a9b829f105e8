"""Helpers that run the command line in tests."""

from __future__ import annotations

import csv
import io

import numpy as np
from click.testing import CliRunner
from gramless.cli.main import gramless as command


def run(*arguments: object):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """The error message with which the command ends."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    sentence = result.stderr.strip()
    assert sentence.startswith("Error: ")
    assert "\n" not in sentence
    return sentence


def read_csv(text: str) -> tuple[list[str], list[str], np.ndarray]:
    header, *rows = csv.reader(io.StringIO(text))
    return [row[0] for row in rows], header[1:], np.array([list(map(float, row[1:])) for row in rows])
