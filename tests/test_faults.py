"""Planted faults match the sources, and rules generate more; tests/mutation plants them."""

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).with_name("mutation")))

from cpu import BROAD_CPP, BROAD_PYTEST, names_including
from faults import ROOT, Fault, kernel_tests, read_equivalents, read_faults
from forked_pytest import ForkedPytest
from generate import generated
from places import code_alone, files_called, function_at, shortest_name, sources
from switched import choice, groups, switched
from trials import Report, Tried, try_faults

FAULTS = [*read_faults("cpu"), *read_faults("cuda")]
KERNELS = {path.stem for path in (ROOT / "csrc").rglob("*.cu")}
CUDA_TESTS = {path.stem for path in (ROOT / "tests/cuda").glob("test_*.cpp")}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "_"))
def test_a_fault_can_be_planted(fault):
    file = fault.file_in(ROOT)
    text = (ROOT / file).read_text(encoding="utf-8")
    planted = fault.planted(text, file.suffix)
    assert fault.replace.strip() in planted != text
    assert fault.cpp or fault.pytest or fault.cuda
    tests = [f"tests/cpp/test_{name}.cpp" for name in fault.cpp]
    tests += [argument for argument in fault.pytest if argument.endswith(".py")]
    assert all((ROOT / test).is_file() for test in tests)
    assert set(fault.cuda) <= KERNELS | CUDA_TESTS
    tests += [f"tests/cuda/{name}.cpp" for name in fault.cuda if name in CUDA_TESTS]
    compiled = [(ROOT / test).read_text(encoding="utf-8") for test in tests if test.endswith(".cpp")]
    assert not compiled or any(fault.only in source for source in compiled)


def test_faults_have_names_of_their_own():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) > 250
    assert set(kernel_tests()) <= KERNELS


def test_some_faults_of_each_kind_are_planted_in_every_run():
    quick = [fault for fault in FAULTS if fault.quick]
    assert any(fault.cpp for fault in quick)
    assert any(fault.race for fault in quick)
    assert {word for fault in quick for stem in fault.cuda if (word := kernel_tests().get(stem))} == set(
        kernel_tests().values()
    )


@pytest.fixture
def tree(tmp_path):
    """A small tree of sources."""
    folder = tmp_path / "csrc/engine"
    folder.mkdir(parents=True)
    (tmp_path / "csrc/ops").mkdir()
    (folder / "walk.hpp").write_text(
        "int first(int a) {\n  return a - 1;\n}\nint second(int a) { return a - 1; }\n"
    )
    (tmp_path / "csrc/ops/walk.hpp").write_text("// nothing\n")
    (folder / "sum.hpp").write_text("float sum(float a,\n          float b) {\n  return a + b;  // + c\n}\n")
    return tmp_path


def fault(**changed):
    return Fault(**{"name": "x", "file": "sum.hpp", "find": "a + b", "replace": "a - b"} | changed)


def planted(tree, one):
    file = one.file_in(tree)
    return one.planted((tree / file).read_text(), file.suffix)


def test_a_place_is_found_however_it_is_spaced_and_wherever_its_file_has_gone(tree):
    assert "float sum(double" in planted(tree, fault(find="sum(float a, float b)", replace="sum(double a)"))
    (tree / "csrc/engine/sum.hpp").rename(tree / "csrc/ops/total.hpp")
    sources.cache_clear()
    assert "return a - b;" in planted(tree, fault())


def test_a_place_that_is_not_one_is_an_error_with_its_name(tree):
    with pytest.raises(ValueError, match=r"x: 'a \* b' stands 0 times in sum\.hpp"):
        planted(tree, fault(find="a * b"))
    with pytest.raises(ValueError, match=r"x: 'a - 1' stands 2 times in engine/walk\.hpp"):
        planted(tree, fault(file="engine/walk.hpp", find="a - 1"))
    with pytest.raises(ValueError, match=r"x: 2 files are called walk\.hpp: csrc/engine/walk\.hpp, csrc/ops"):
        planted(tree, fault(file="walk.hpp"))
    with pytest.raises(ValueError, match=r"x: no file is called gone\.hpp, and 'a \* b' stands in 0 files"):
        planted(tree, fault(file="gone.hpp", find="a * b"))


def test_a_function_tells_places_of_the_same_text_apart(tree):
    text = planted(tree, fault(file="engine/walk.hpp", find="a - 1", replace="a", within="second"))
    assert text.count("a - 1") == 1
    assert "second(int a) { return a; }" in text
    assert shortest_name(tree, Path("csrc/ops/walk.hpp")) == "ops/walk.hpp"
    assert shortest_name(tree, Path("csrc/engine/sum.hpp")) == "sum.hpp"


PROGRAM = """#include <cstdio>
static int first(int a) {
  if (a > 1) return a - 1;
  return a;
}
constexpr int second(int a) { return a + 4; }
static_assert(second(1) == 5);
struct Third {
  int value;
  explicit Third(int a) : value(a) { value += 2; }
};
constexpr int fourth = 8;
int main() { std::printf("%d %d %d %d", first(3), second(3), Third(3).value, fourth); }
"""


def in_program(find, replace):
    return fault(name=find, file="program.cpp", find=find, replace=replace)


def test_faults_are_compiled_together_and_chosen_one_by_one(tmp_path):
    together = [
        in_program("return a - 1;", "return a + 1;"),
        in_program("a > 1", "a < 1"),
        in_program("+= 2", "-= 2"),
    ]
    source = tmp_path / "program.cpp"
    source.write_text(switched(PROGRAM, source, dict(enumerate(together, 1))))
    compiler = shutil.which("g++") or shutil.which("c++") or pytest.skip("there is no compiler")
    subprocess.run([compiler, "-std=c++20", source, "-o", tmp_path / "program"], check=True)
    for chosen, said in [(None, "2 7 5 8"), *zip(together, ("4 7 5 8", "3 7 5 8", "2 7 1 8"), strict=True)]:
        environment = os.environ | choice(together, chosen)
        assert subprocess.check_output([tmp_path / "program"], env=environment, text=True) == said


def test_what_is_no_copy_of_a_function_is_planted_alone(tree, monkeypatch):
    (tree / "csrc/program.cpp").write_text(PROGRAM)
    monkeypatch.setattr("switched.ROOT", tree)
    sources.cache_clear()
    alone = [in_program("a + 4", "a - 4"), in_program("fourth = 8", "fourth = 9")]
    together = [in_program("a > 1", "a < 1"), in_program("+= 2", "-= 2")]
    assert groups([alone[0], *together, alone[1]], lambda one: one.file) == [[alone[0]], together, [alone[1]]]
    assert groups(together, lambda one: one.name) == [[one] for one in together]
    assert [len(group) for group in groups([together[0]] * 15, lambda one: "")] == [12, 3]


class OneByOne:
    """A target on which the tests called b notice every fault."""

    one_tree = True

    def together(self, fault):
        return None

    def notices(self, faults):
        yield from (fault.pytest == ["b"] for fault in faults)


def test_what_some_tests_overlook_is_tried_with_the_next_ones(tree, monkeypatch, capsys):
    monkeypatch.setattr("switched.ROOT", tree)
    sources.cache_clear()
    attempts = [
        [fault(name=f"{first}{second}", pytest=[first]), fault(name=f"{first}{second}", pytest=[second])]
        for first, second in ("ab", "ba", "ac")
    ]
    report = Report()
    try_faults(OneByOne(), attempts, report, 1)
    assert [one.name for one in report.missed] == ["ac"]
    assert report.noticed == 2
    assert report.end(lenient=False) == 1
    assert "3 faults, 1 not noticed" in capsys.readouterr().out


def test_what_an_earlier_run_tried_is_left_out_and_counted(capsys):
    first, second, third, fourth = (fault(name=name) for name in ("a", "b", "c", "d"))
    report = Report()
    report.add(third, True, 0.5)
    report.add(first, None, 1200.0)
    before = Tried(capsys.readouterr().out + "no fault\n")
    assert before.rest(3, [first, second, third, fourth]) == (2, [second, fourth])
    assert before.rest(1, [third, fourth]) == (0, [fourth])
    assert first in before
    assert second not in before


RUNS = """
import os, signal, time

def test_passes(): assert os.environ["GRAMLESS_FAULT"] == "3"
def test_fails(): assert False
def test_crashes(): os.kill(os.getpid(), signal.SIGKILL)
def test_hangs(): time.sleep(60)
"""


def test_each_run_of_pytest_is_a_fork_with_an_end_of_its_own(tmp_path):
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--slow', nargs='?')"
    )
    (tmp_path / "test_runs.py").write_text(RUNS)
    with closing(ForkedPytest(tmp_path, os.environ, imported=[])) as pytest_runs:

        def run(name, limit=None):
            return pytest_runs.run(["test_runs.py", "-k", name], {"GRAMLESS_FAULT": "3"}, limit)

        assert [run(name) for name in ("passes", "fails", "crashes", "passes")] == [0, 1, -9, 0]
        assert run("hangs", 1) is None
        assert run("absent") == 5  # no test


CODE = """
#include <x>  // a - b
template <int Size>
struct Walk {
  explicit Walk(int n) : n_(n) { std::fill(a, a + n, 0); }
  int tiles(const int* at) const {
    for (int i = 0; i < n_; i++) {
      if (at[i] > 2) return std::min(at[i], 3) - 1;
    }
    __syncthreads();
    return run([&](int j) { return j; });
  }
};
"""


def rules(text, name, target):
    folder = Path(name).parent
    folder.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
    sources.cache_clear()
    return [one.name.partition(":")[0] for one in generated(Path("."), target)]


def test_rules_make_faults_of_code_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = rules(CODE, "csrc/walk.cuh", "cuda")
    assert sorted(made) == [
        "barrier in tiles",
        "bound in tiles",
        "bound in tiles",
        "first iteration of a loop in tiles",
        "last iteration of a loop in tiles",
        "minimum and maximum in tiles",
        "sign in Walk",
        "sign in tiles",
    ]
    made = [one.planted(CODE, ".cuh") for one in generated(Path("."), "cuda")]
    for line in ("for (int i = 1; i < n_; i++)", "i < n_ - 1; i++", "i <= n_; i++", "std::max(at[i], 3) - 1"):
        assert any(line in text for text in made)
    assert all(len(text.splitlines()) == len(CODE.splitlines()) for text in made)
    python = (
        'def total(n):\n    """n - 1."""\n    return sum(i - 1 for i in range(n)) if n > 0 else -1  # n - 1\n'
    )
    made = rules(python, "python/gramless/total.py", "cpu")
    assert sorted(made) == ["bound in total", "last iteration of a loop in total", "sign in total"]


def test_rules_make_thousands_of_faults_in_the_same_order():
    of_cpu, of_cuda = (list(generated(ROOT, target)) for target in ("cpu", "cuda"))
    assert len(of_cpu) > 1500
    assert len(of_cuda) > 500
    assert of_cuda == list(generated(ROOT, "cuda"))
    for made in (of_cpu, of_cuda):
        assert len({(one.file, one.name) for one in made}) == len(made)


def test_generated_faults_have_tests_that_are_there():
    assert all((ROOT / test).is_file() for test in BROAD_PYTEST)
    assert all((ROOT / f"tests/cpp/test_{name}.cpp").is_file() for name in BROAD_CPP)
    assert names_including("csrc/reductions/times_rows.hpp") == ["times_rows"]
    assert names_including("csrc/ops/hsic/resolve.cpp") == []


def test_what_is_excused_is_in_the_sources_and_says_why():
    for one in read_equivalents():
        files = files_called(ROOT, one.file)
        assert len(files) == 1, one.file
        text = (ROOT / files[0]).read_text(encoding="utf-8")
        assert " ".join(one.line.split()) in " ".join(text.split()), one.line
        functions = {function_at(text, files[0].suffix, at) for at in range(0, len(text), 8)}
        assert not one.within or one.within in functions, one.within
        assert len(one.reason) > 20


def test_comments_and_strings_are_no_code():
    text = "a(); // b - c\n#define X \\\n  1 - 2\nd(\"- e\"); /* - */ f('-');\n"
    code = code_alone(text, ".cpp")
    assert len(code) == len(text)
    assert code.split() == ["a();", "d(", ");", "f(", ");"]
