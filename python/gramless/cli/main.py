"""The group of commands; each command is in the file of its name."""

from __future__ import annotations

import click

import gramless as library

from .compare import compare
from .demo import demo
from .estimate import estimate
from .info import info
from .terminal import escape_what_cannot_be_encoded


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(library.__version__, prog_name="gramless")
def gramless() -> None:
    """CKA and HSIC without the n x n matrix."""
    escape_what_cannot_be_encoded()


for command in (compare, demo, estimate, info):
    gramless.add_command(command)
