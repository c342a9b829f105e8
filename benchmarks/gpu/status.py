"""python -m benchmarks.gpu.status [--device cpu]: whether the kernels can run here; exits with 1 if not."""

from __future__ import annotations

import argparse
import sys

import gramless

from .device import add_option, prepare


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.status", description=__doc__)
    add_option(parser)
    device = parser.parse_args().device
    prepare(device)
    status = gramless.cuda_status()
    print(status)
    sys.exit(device == "cuda" and not status)


if __name__ == "__main__":
    main()
