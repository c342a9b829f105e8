"""What is wrong in a line of accuracy.jsonl. It needs no torch, because other machines read results, too."""

from __future__ import annotations

from typing import Any


def wrong(entry: dict[str, Any]) -> list[str]:
    """Everything that is wrong, in words; empty if all is right."""
    if "failed" in entry:
        return [entry["failed"]]
    found = [
        f"{name} off by {error:.1e}, {bound:.1e} allowed"
        for name, error, bound in zip(("value", "gradient"), entry["errors"], entry["bounds"], strict=True)
        if not error <= bound
    ]
    found += [] if entry["same_bits"] else ["other bits at the second call"]
    found += [f"{', '.join(entry['expected'])} did not run"] if entry["fallback"] else []
    if entry["kernels"] == []:
        found.append("no kernel was seen")
    return found
