"""The tests that should notice a planted fault exist by the names that the tables of faults have."""

import ast
import re
import sys
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).with_name("mutation")))

from faults import ROOT, read_faults

FAULTS = [*read_faults("cpu"), *read_faults("cuda")]


def named_tests(file):
    """Each test of a file: its name, and the text that pytest makes the rest of a name of."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    values = [ast.unparse(node) for node in tree.body if isinstance(node, (ast.Assign, ast.ImportFrom))]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, " ".join(values + [ast.unparse(one) for one in node.decorator_list])


def may_be_chosen(expression, name, values):
    """Whether -k may choose a test: by its name, or for the parts of a word by the values of parameters."""
    found = re.sub(
        r"[^\s()]+",
        lambda word: (
            word[0]
            if word[0] in ("and", "or", "not")
            else str(word[0] in name or all(part in values for part in word[0].split("-")))
        ),
        expression,
    )
    return eval(found)


CHOOSING = {
    (tuple(argument for argument in fault.pytest if argument.endswith(".py")), words): None
    for fault in FAULTS
    for option, words in pairwise(fault.pytest)
    if option == "-k"
}


@pytest.mark.parametrize(("files", "words"), CHOOSING)
def test_the_tests_that_should_notice_a_fault_have_these_names(files, words):
    tests = {file: list(named_tests(file)) for file in files}
    for file in files:
        assert any(may_be_chosen(words, *test) for test in tests[file]), file
    for word in set(words.replace("(", " ").replace(")", " ").split()) - {"and", "or", "not"}:
        assert any(may_be_chosen(word, *test) for file in files for test in tests[file]), word
