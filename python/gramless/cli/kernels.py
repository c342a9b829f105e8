"""The kernel options of a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import click

from ..kernels import FORMULAS, Kernel
from .terminal import one_sentence_errors

Command = TypeVar("Command", bound=Callable[..., Any])

_FIELDS: dict[str, tuple[Any, str]] = {
    "scale": (float, "Bandwidth as a multiple of the median distance.  [default: 1]"),
    "sigma": (float, "Bandwidth itself, in the units of the activations."),
    "median_rows": (int, "Take the median of a sample of so many rows.  [default: of all rows]"),
    "exponent": (float, "Of --kernel distance.  [default: 1]"),
    "degree": (int, "Of --kernel polynomial.  [default: 3]"),
    "gamma": (float, "Of --kernel polynomial.  [default: 1 / features]"),
    "coef0": (float, "Of --kernel polynomial.  [default: 1]"),
}


def option_of(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def kernel_options(command: Command) -> Command:
    """The command with --kernel and an option for every number of a kernel."""
    for field, (kind, text) in reversed(_FIELDS.items()):
        command = click.option(option_of(field), type=kind, help=text)(command)
    names = click.Choice(list(FORMULAS))
    return click.option("--kernel", type=names, default="linear", show_default=True)(command)


def kernel_of(options: dict[str, Any]) -> Kernel:
    """The kernel from the options that `kernel_options` adds."""
    cls = FORMULAS[options["kernel"]]
    given = {field: options[field] for field in _FIELDS if options.get(field) is not None}
    for field in given:
        if field not in _fields(cls):
            wanted = " or ".join(name for name, other in FORMULAS.items() if field in _fields(other))
            raise click.UsageError(f"{option_of(field)} needs --kernel {wanted}.")
    if "sigma" in given and len(given) > 1:
        raise click.UsageError(f"{option_of(next(iter(given)))} and --sigma exclude each other.")
    with one_sentence_errors():
        return cls(**given)


def _fields(cls: type[Kernel]) -> list[str]:
    return [field.name for field in fields(cls)]
