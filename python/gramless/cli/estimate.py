"""`gramless estimate`: the expected time and memory of a call."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, get_args

import click

import gramless

from ..estimates import DType, Quantity
from ..kernels import FORMULAS
from .terminal import one_sentence_errors

EXAMPLES = """
\b
Examples:
  gramless estimate 10000 768 24 --kernel rbf      24 layers with each other
  gramless estimate 4096 128 --quantity nt_xent    loss of 4096 pairs of views
  gramless estimate 4096 768 --quantity info_nce --negatives 8192
  gramless estimate 1000000 512 --json             as JSON
"""


@click.command(short_help="Expected time and memory of a comparison.", epilog=EXAMPLES)
@click.argument("n", type=int)
@click.argument("d", type=int)
@click.argument("layers", type=int, default=2)
@click.option("--quantity", type=click.Choice(get_args(Quantity)), default="cka", show_default=True)
@click.option("--kernel", type=click.Choice(list(FORMULAS)), default="linear", show_default=True)
@click.option(
    "--sigma", type=float, help="Bandwidth, so that no median is computed.  [default: the exact median]"
)
@click.option("--dtype", type=click.Choice(get_args(DType)), default="float32", show_default=True)
@click.option("--gradients", is_flag=True, help="Include the gradients of one CKA.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Number of threads.  [default: all cores]")
@click.option("--gflops", type=float, help="Speed of one thread in float32, GFLOP/s.  [default: measured]")
@click.option("--negatives", type=int, default=0, help="Keys besides the positives, for info_nce.")
@click.option("--k", type=int, default=10, help="Neighbours of each row, for mutual_knn.")
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as JSON.")
def estimate(n: int, d: int, layers: int, sigma: float | None, as_json: bool, **options: Any) -> None:
    """Estimate the time and memory of CKA of LAYERS layers (default: 2) of N rows and D features.

    Work and memory are counted, and the speed of this machine is measured in a few milliseconds. No array of
    that size is allocated.
    """
    with one_sentence_errors():
        if sigma is not None:
            if not FORMULAS[options["kernel"]].has_bandwidth:
                raise click.UsageError(
                    f"--sigma is for kernels with a bandwidth, not for {options['kernel']}."
                )
            options["kernel"] = FORMULAS[options["kernel"]](sigma=sigma)  # type: ignore[call-arg]
        found = gramless.estimate(n, d, layers, **options)
    click.echo(json.dumps(asdict(found), indent=1) if as_json else str(found))
