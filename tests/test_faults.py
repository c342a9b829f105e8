"""The table of planted faults still fits the sources: see tests/mutation, which plants them."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).with_name("mutation")))

from faults import ROOT, read_faults

FAULTS = read_faults()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "_"))
def test_a_fault_can_be_planted(fault):
    planted = fault.planted((ROOT / fault.file).read_text(encoding="utf-8"))
    assert fault.replace in planted
    assert fault.cpp or fault.pytest
    tests = [f"tests/cpp/test_{name}.cpp" for name in fault.cpp]
    tests += [argument for argument in fault.pytest if argument.endswith(".py")]
    assert all((ROOT / test).is_file() for test in tests)


def test_faults_have_names_of_their_own():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) > 25
