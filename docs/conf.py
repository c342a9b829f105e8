"""How the documentation is built: sphinx-build -W docs build/docs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gramless

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from docstrings import to_rst

from benchmarks.pages.values import substitutions

project = "gramless"
author = "the gramless developers"
version = release = gramless.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath", "substitution"]
myst_heading_anchors = 3
myst_substitutions = substitutions()
exclude_patterns = ["images"]
default_role = "py:obj"

html_theme = "furo"
html_title = f"gramless {version}"
html_show_sourcelink = False

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # torch writes its own in another style
autodoc_typehints = "none"  # docstrings say what is taken, in words
autodoc_default_options = {"members": True}


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = to_rst(lines)


def setup(app: Any) -> None:
    """Docstrings are plain text, and become reStructuredText here."""
    app.connect("autodoc-process-docstring", _process)
