"""How the documentation is built: sphinx-build -W docs build/docs."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import gramless
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.pages.values import substitutions

project = "gramless"
author = "the gramless authors"
copyright = "2026, the gramless authors"
version = release = gramless.__version__

extensions = [
    "myst_nb",  # Markdown, and notebooks as they were run
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # MathJax itself, so that formulas need no other host
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath", "substitution"]
myst_heading_anchors = 3
myst_substitutions = substitutions()
nb_execution_mode = "off"  # tests/test_notebook.py runs them
exclude_patterns = ["images"]
default_role = "py:obj"

html_theme = "furo"
html_title = f"gramless {version}"
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["pages.css"]

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # torch writes its own in another style
autodoc_mock_imports = ["jax", "lightning", "transformers"]  # which a callback or a module needs, and no page
autodoc_typehints = "none"  # docstrings say what is taken, in words
autodoc_default_options = {"members": True}
napoleon_google_docstring = False
napoleon_use_param = False  # "x, y" stay one entry
napoleon_use_rtype = False

# Formulas in docstrings are plain text, which `help` shows: |x|, a * b and s_{ij} are no markup.
MARKUP = re.compile(r"(`+[^`]+`+)|([|*\\])|(?<=\w)(_)(?!\w)")


def _escaped(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    code = False
    for i, line in enumerate(lines):
        code = bool(line.strip()) and (code or line.lstrip().startswith(">>>"))
        if not code:
            lines[i] = MARKUP.sub(_character, line)


def _character(found: re.Match[str]) -> str:
    return found[1] or f"\\{found[0]}"


class Every(SphinxDirective):
    """`.. every:: modules`: each name of their `__all__`, as a name of the current module."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        lines = []
        for module in map(import_module, self.arguments[0].split()):
            for name in module.__all__:
                kind = "class" if isinstance(getattr(module, name), type) else "function"
                lines.append(f".. auto{kind}:: {name}")
        found = nodes.Element()
        self.state.nested_parse(StringList(lines, self.get_source_info()[0]), self.content_offset, found)
        return found.children


def setup(app: Any) -> None:
    app.add_directive("every", Every)
    app.connect("autodoc-process-docstring", _escaped, priority=400)  # before napoleon reads the sections
