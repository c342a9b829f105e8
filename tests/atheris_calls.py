"""The calls of test_fuzz.py and test_fuzz_losses.py, chosen by coverage of the package instead of at random.

    pip install atheris && python tests/atheris_calls.py -runs=100000 [FOLDER of found inputs]

Options are libFuzzer's. Calls are checked as there: a documented error, or the number of the reference.
"""

from __future__ import annotations

import sys
import warnings

import atheris

with atheris.instrument_imports(include=["gramless"]):
    import gramless  # noqa: F401

import numpy as np
import test_fuzz
import test_fuzz_losses
from fuzzing import DOCUMENTED

KINDS = [test_fuzz, test_fuzz_losses]
SAID_EVERY = 10_000


class Bytes:
    """Choices read from bytes, in place of a numpy Generator; without bytes left, only likely ones."""

    def __init__(self, data):
        self.provider = atheris.FuzzedDataProvider(data)

    def random(self):
        return self.provider.ConsumeIntInRange(0, 65_535) / 65_536 or 0.999

    def integers(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        if size is not None:
            return self._values().integers(low, high, size)
        return self.provider.ConsumeIntInRange(low, high - 1)

    def choice(self, choices):
        return choices[self.integers(len(choices))]

    def standard_normal(self, shape):
        return self._values().standard_normal(shape)

    def _values(self):
        """The numbers of an array, on which no branch depends one by one, take two bytes in total."""
        return np.random.default_rng(self.provider.ConsumeIntInRange(0, 65_535))


class Judge:
    """Checks calls, and prints how many raised errors and how many were compared: neither may be all."""

    def __init__(self):
        self.cases = self.errors = self.compared = 0

    def __call__(self, data):
        kind = KINDS[data[0] % len(KINDS)] if data else KINDS[0]
        outcome = kind.check_outcome(kind.Case(Bytes(data[1:])))
        self.errors += isinstance(outcome, DOCUMENTED)
        self.compared += kind.check_number(kind.Case(Bytes(data[1:]))) is not None
        self.cases += 1
        if self.cases % SAID_EVERY == 0:
            print(
                f"{self.cases} calls: {self.errors} documented errors, {self.compared} compared", flush=True
            )


if __name__ == "__main__":
    warnings.simplefilter("ignore", RuntimeWarning)
    atheris.Setup([sys.argv[0], "-len_control=0", "-max_len=256", *sys.argv[1:]], Judge())
    atheris.Fuzz()
