"""README.md for a package index: relative links become absolute.

[project.urls] Repository is the address. A build of the package calls `dynamic_metadata`, as
`[[tool.dynamic-metadata]]` of pyproject.toml says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LINK = re.compile(r"(?P<picture>!?)(?P<text>\[[^\]]*\])\((?![a-z]+:|#)(?P<target>[^)\s]+)\)")
BRANCH = "main"


def absolute(text: str, repository: str) -> str:
    """The text with the address of the repository before every relative link and image."""

    def replaced(link: re.Match[str]) -> str:
        kind = "raw" if link["picture"] else "blob"
        return f"{link['picture']}{link['text']}({repository.rstrip('/')}/{kind}/{BRANCH}/{link['target']})"

    return LINK.sub(replaced, text)


def dynamic_metadata(settings: Mapping[str, Any], project: Mapping[str, Any]) -> dict[str, Any]:
    """The readme of the package's metadata."""
    text = Path("README.md").read_text(encoding="utf-8")
    return {
        "readme": {"content-type": "text/markdown", "text": absolute(text, project["urls"]["Repository"])}
    }
