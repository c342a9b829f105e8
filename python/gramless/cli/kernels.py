"""The command-line options for kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

import click

from ..kernels import DISTANCE_KERNELS, FORMULAS, Kernel
from .terminal import one_sentence_errors

Command = TypeVar("Command", bound=Callable[..., Any])


def _options() -> dict[str, tuple[str, Any, str]]:
    """The option of each kernel parameter that has one, by the name of the field: (name, type, help)."""
    found: dict[str, tuple[str, Any, str]] = {}
    for kernel in (*DISTANCE_KERNELS.values(), *FORMULAS.values()):
        types = get_type_hints(kernel)
        for field in fields(kernel):
            if "help" in field.metadata:
                (kind,) = set(get_args(types[field.name]) or [types[field.name]]) - {NoneType}
                found[field.name] = field.metadata["option"] or field.name, kind, field.metadata["help"]
    return found


_OPTIONS = _options()
_OF_MEDIAN = ("scale", "median_rows")  # parameters without effect if sigma is given


def _option_of(field: str) -> str:
    return f"--{_OPTIONS[field][0].replace('_', '-')}"


def kernel_options(command: Command) -> Command:
    """The command with --kernel and an option for each parameter of the kernels."""
    for field, (_, kind, text) in reversed(_OPTIONS.items()):
        command = click.option(_option_of(field), type=kind, help=text)(command)
    names = click.Choice(list(FORMULAS))
    return click.option("--kernel", type=names, default="linear", show_default=True)(command)


def kernel_of(options: dict[str, Any]) -> Kernel:
    """The kernel from the options that `kernel_options` adds."""
    cls = FORMULAS[options["kernel"]]
    named = {field: options.get(name) for field, (name, *_) in _OPTIONS.items()}
    given = {field: value for field, value in named.items() if value is not None}
    for field in given:
        if field not in _fields(cls):
            *others, last = (name for name, other in FORMULAS.items() if field in _fields(other))
            wanted = f"{', '.join(others)} or {last}" if others else last
            raise click.UsageError(f"{_option_of(field)} needs --kernel {wanted}.")
    for field in _OF_MEDIAN:
        if field in given and "sigma" in given:
            raise click.UsageError(f"pass {_option_of(field)} or --sigma, not both.")
    with one_sentence_errors():
        return cls(**given)


def _fields(cls: type[Kernel]) -> list[str]:
    return [field.name for field in fields(cls)]
