"""Inserts paragraphs that several docstrings share, and has those on the bandwidth of a kernel."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T", bound=Callable[..., object])

BANDWIDTH = {
    "median": """
scale : float
    Factor of the median distance; unused if sigma is given.
include_diagonal : bool
    True takes the median over all n^2 entries, including the n zeros of the diagonal, as in the code
    published with Kornblith et al. (2019). False (default) takes it over the off-diagonal pairs.
median_rows : int, optional
    None (default) computes the exact median over all rows. A number computes the median of a seeded
    sample of this many rows if there are more, which is faster but not exact.""",
    "tied": """
separately for each input. If more than half of the distances are 0, or no larger than their rounding
error, the median is taken over the others, with one RuntimeWarning (on a GPU without a warning).""",
}
_PLACE = re.compile(r"^( *)\{(\w+)\}$", re.MULTILINE)


def inserted(described: T, paragraphs: Mapping[str, str]) -> T:
    """The object, in whose docstring paragraphs have replaced their names in braces, each on a line.

    >>> def f():
    ...     '''Do nothing.
    ...
    ...     {nothing}
    ...     '''
    >>> print(inserted(f, {"nothing": "It returns nothing."}).__doc__.splitlines()[2])
        It returns nothing.
    """

    def paragraph(place: re.Match[str]) -> str:
        return textwrap.indent(paragraphs[place[2]].strip("\n"), place[1])

    if described.__doc__ is not None:
        described.__doc__ = _PLACE.sub(paragraph, described.__doc__)
    return described


def documented_bandwidth(described: T) -> T:
    """Insert the paragraphs of BANDWIDTH into a docstring."""
    return inserted(described, BANDWIDTH)
