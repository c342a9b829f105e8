"""Which earlier results are kept, what is quoted of an alternative, and when a result counts as wrong."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

pytest.importorskip("benchmarks.contenders")
from benchmarks import check
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.measure import Run, summary
from benchmarks.pages import section_tables, tables
from benchmarks.pages.results import quoted
from benchmarks.plan import SECTIONS
from benchmarks.problems import Problem, from_json, quick_problems
from benchmarks.suite import Options, Results, measure, run_section

PLAN = [problem for _, problems in SECTIONS.values() for problem in problems()]
PROBLEM = Problem("pair", "pair", 2048, 512)
ABOUT = {"machine": {"cpu": "x"}, "python": "3", "versions": {}, "commit": "a"}
PEAK = {"one": 100.0, "all": 200.0}


def run(ms: float, cpu: float | None = None) -> dict[str, object]:
    def spread(value: float) -> dict[str, float]:
        return {"median": value, "p20": value, "p80": value}

    return {"samples": 9, "calls": 1, "wall_ms": spread(ms), "cpu_ms": spread(cpu or ms), "rounds_ms": [ms]}


def entry(**contenders: dict[str, object]) -> dict[str, object]:
    described = PROBLEM.as_json() | {"flops": PROBLEM.flops, "peak_gflops": PEAK}
    return described | {"contenders": contenders}


def test_an_alternative_is_quoted_with_its_best_number_of_threads():
    one = {"times": {"default": run(9.0), "1": run(4.0)}}
    assert quoted("numpy", one) == ("1", 4.0)
    assert quoted("gramless", one) == ("default", 9.0)


def test_a_row_where_the_alternative_is_faster_is_bold_and_stays():
    ours = {"times": {"default": run(8.0), "1": run(12.0)}, "errors": None}
    rows = tables.table([entry(gramless=ours, numpy={"times": {"default": run(6.0), "1": run(24.0)}})])
    assert "| numpy | 6 ms |" in rows[-1]
    assert "| **0.75x** |" in rows[-1]
    assert "| 2x |" in rows[-1]


def test_shares_of_the_peak_are_of_the_cores_that_worked():
    floor = PROBLEM.flops / 1e6
    rows = tables.table([entry(gramless={"times": {"default": run(floor / 100), "1": run(floor / 80)}})])
    assert rows[-1].split("|")[7].strip() == "50%"
    assert rows[-1].split("|")[10].strip() == "80%"


def test_a_package_that_is_not_installed_is_named_in_its_row():
    row = tables.table([entry(absent={"failed": tables.ABSENT})])[-1]
    assert row.startswith(
        "| RBF CKA, sigma given, n 2,048, d 512; spectrum 1/i, ReLU | absent | not installed |"
    )
    assert row.count("|") == tables.table([])[0].count("|")


def test_one_kind_of_data_does_not_make_an_answer_wrong():
    found = {"small": {"gaussian": 1e-8, "relu": 1e-8}, "full": {"gaussian": 2.5}, "wrong": ["gaussian"]}
    assert not check.verdict(found)
    assert tables.error({"errors": found, "wrong": False}) == "2.5e+00 on isotropic noise"
    found = {"small": {"gaussian": 1.0, "relu": None}, "full": {}, "wrong": ["gaussian", "relu"]}
    assert check.verdict(found)
    assert tables.error({"errors": found, "wrong": True}).startswith("**wrong: NaN**")


def test_an_answer_that_is_not_checked_is_not_wrong():
    found = {"small": {}, "full": {}, "wrong": []}
    assert not check.verdict(found)
    assert tables.error({"errors": found, "wrong": False}) == ""


def test_where_there_is_one_kind_of_data_it_decides():
    assert check.verdict({"small": {"gaussian": 1.0}, "full": {}, "wrong": ["gaussian"]})


def results(tmp_path, about=ABOUT, fresh=False):
    return Results(tmp_path / "x.json", about, fresh)


def measured(tmp_path):
    found = results(tmp_path)
    one = found.entry(PROBLEM)
    one["contenders"] = {
        name: {"errors": {"small": {}}, "wrong": False, "peak_bytes": 1, "times": {"1": run(1.0)}}
        for name in ("gramless", "numpy")
    }
    one["peak_gflops"] = PEAK
    found.save()


def test_what_was_measured_at_the_same_commit_stays(tmp_path):
    measured(tmp_path)
    assert "times" in results(tmp_path).entry(PROBLEM)["contenders"]["gramless"]
    assert results(tmp_path, fresh=True).entry(PROBLEM)["contenders"] == {}


def test_of_another_commit_errors_and_memory_of_alternatives_stay(tmp_path):
    measured(tmp_path)
    one = results(tmp_path, ABOUT | {"commit": "b"}).entry(PROBLEM)
    assert "peak_gflops" not in one
    assert one["contenders"] == {"numpy": {"errors": {"small": {}}, "wrong": False, "peak_bytes": 1}}


def test_a_problem_that_was_changed_or_another_machine_begins_anew(tmp_path):
    measured(tmp_path)
    changed = from_json(PROBLEM.as_json() | {"estimator": "biased"})
    assert results(tmp_path).entry(changed)["contenders"] == {}
    assert results(tmp_path, ABOUT | {"python": "4"}).entry(PROBLEM)["contenders"] == {}


def test_a_run_of_some_problems_keeps_the_others(tmp_path, monkeypatch):
    measured(tmp_path)
    other = from_json(PROBLEM.as_json() | {"name": "other"})
    monkeypatch.setattr("benchmarks.suite.conditions", lambda: ABOUT)
    monkeypatch.setattr("benchmarks.suite.commit", lambda: "a")
    monkeypatch.setattr("benchmarks.suite.taking", lambda problem: [])
    monkeypatch.setattr("benchmarks.suite.torch_kernels", lambda: "")
    options = Options(prepare=True, only=("other",))
    assert run_section(tmp_path / "x.json", "x", "X", [PROBLEM, other], options)
    found = json.loads((tmp_path / "x.json").read_text())["problems"]
    assert [one["name"] for one in found] == ["pair", "other"]
    assert found[0]["peak_gflops"] == PEAK
    assert run_section(tmp_path / "x.json", "x", "X", [other], options)
    assert [one["name"] for one in json.loads((tmp_path / "x.json").read_text())["problems"]] == ["other"]
    assert not run_section(tmp_path / "x.json", "x", "X", [other], Options(end=0.0))


def test_what_is_not_installed_is_in_the_results(tmp_path, monkeypatch):
    absent = Contender("absent", "no_such_package", "numpy_code:run", lambda problem: True)
    monkeypatch.setattr("benchmarks.suite.taking", lambda problem: [absent])
    found = results(tmp_path)
    measure(PROBLEM, found, SimpleNamespace(), Options(prepare=True))
    kept = json.loads((tmp_path / "x.json").read_text())["problems"][0]["contenders"]
    assert kept == {"absent": {"failed": "not installed"}}


def test_medians_are_over_all_samples_of_all_turns():
    turns = [{"wall_ms": [1.0, 3.0], "cpu_ms": [2.0, 2.0], "share": [], "calls": 5}] * 2
    found = summary([*turns, {"wall_ms": [9.0], "cpu_ms": [2.0], "share": [], "calls": 4}])
    assert found["wall_ms"]["median"] == 3.0
    assert (found["samples"], found["rounds_ms"]) == (5, [2.0, 2.0, 9.0])


def test_contenders_take_turns(monkeypatch):
    turns = []
    from benchmarks import measure as module

    def ask(name):
        def reply(do, **request):
            turns.append(name)
            return {"wall_ms": [1.0], "cpu_ms": [1.0], "share": [], "calls": 1}

        return reply

    contender = SimpleNamespace(compiles=False)
    runs = {(name, "1"): Run(SimpleNamespace(ask=ask(name), contender=contender)) for name in ("a", "b", "c")}
    monkeypatch.setattr(module, "runs_of", lambda *arguments: runs)
    monkeypatch.setattr(module, "fma_peak", lambda *arguments: (1.0, 1.0))
    module.timed(PROBLEM, [], SimpleNamespace(pids=()), most=5, budget_s=0.1, quiet_s=0.0)
    assert turns == ["a", "b", "c"] * 3


def test_every_problem_has_a_contender_of_ours_and_a_name_of_its_own():
    assert len({problem.name for problem in PLAN}) == len(PLAN)
    names = {contender.name for contender in CONTENDERS}
    for problem in PLAN:
        assert set(problem.only) <= names, problem.name
        takes = [contender.name for contender in CONTENDERS if contender.wanted(problem)]
        assert len(takes) == len(set(takes)), problem.name
        assert set(problem.only) <= set(takes), problem.name


def test_the_quick_plan_has_every_contender():
    quick = quick_problems(PLAN)
    assert len(quick) < 50
    every, some = (
        {c.code for c in CONTENDERS for problem in plan if c.wanted(problem)} for plan in (PLAN, quick)
    )
    assert every == some


def test_a_step_says_which_part_of_it_is_the_loss():
    ours, theirs = (run(ms) | {"share": share} for ms, share in ((10.0, 0.1), (20.0, 0.55)))
    step = entry(gramless={"times": {"default": ours}}, other={"times": {"default": theirs}})
    rows = section_tables.training([step | {"kind": "step", "encoder": "resnet"}])
    assert "| 10.0% |" in rows[-2]
    assert "| 55.0% | 2x | 11x |" in rows[-1]
