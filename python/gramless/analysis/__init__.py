"""Analyses of representations and of similarity matrices from the literature. They need numpy only.

- Is each layer most similar to the same layer of another seed? `layer_correspondence`, Kornblith et al. 2019.
- Is there a block of similar layers? `largest_block`, Nguyen et al. 2021.
- Which contiguous layers, or times, belong together? `segment`, `segment_rows`, Arlot et al. 2019.
- Does a dominant component of few examples explain a block? `dominant_component`, Nguyen et al. 2021, 2022.
- How far apart are the classes? `class_separation`, Kornblith et al. 2021.
- How uncertain is a CKA value, or a difference of two? `cka_interval`, `cka_difference`, Efron and
  Tibshirani 1993.
"""

from __future__ import annotations

from .blocks import Block, Segmentation, largest_block, segment, segment_rows
from .components import DominantComponent, dominant_component
from .correspondence import LayerCorrespondence, layer_correspondence
from .intervals import Difference, Interval, cka_difference, cka_interval
from .separation import class_separation

__all__ = [
    "Block",
    "Difference",
    "DominantComponent",
    "Interval",
    "LayerCorrespondence",
    "Segmentation",
    "cka_difference",
    "cka_interval",
    "class_separation",
    "dominant_component",
    "largest_block",
    "layer_correspondence",
    "segment",
    "segment_rows",
]


def __dir__() -> list[str]:
    return sorted(__all__)
