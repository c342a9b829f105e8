"""The reader of a GPU run's results, on invented folders; nothing in them was measured."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from benchmarks.gpu import read, verdicts
from benchmarks.kernel_names import kernel_name

GPU_FOLDER = Path(__file__).parents[1] / "benchmarks/gpu"
MANGLED = "_ZN8gramless4cuda56_GLOBAL__N__2c6aa69a_17_softmax_hopper_cu_1f982c1e_2990019grad_of_rows_hopperI"
PLAIN = "void gramless::cuda::(anonymous namespace)::"


def case(name="nt_xent", **more):
    """An invented line of accuracy.jsonl, correct by default."""
    line = {
        "case": name, "n": 500, "d": 72, "dtype": "bfloat16", "hopper": False, "expected": [],
        "errors": [1e-5, 1e-4], "plain_errors": [1e-5, 1e-4], "bounds": [1e-3, 1e-2], "same_bits": True,
        "kernels": ["sum_softmax", "grad_of_rows"], "fallback": False, "seconds": 0.1,
    }  # fmt: skip
    return line | more


PROBLEM = "nt_xent 65536x128 bfloat16"


def hopper(**more):
    kernels = ["sum_softmax_hopper", "grad_of_rows_hopper"]
    return case(hopper=True, expected=kernels, kernels=kernels) | more


def timing(contender, problem=PROBLEM, **more):
    line = {"contender": contender, "problem": problem, "error_small": 1e-4, "wrong": False, "ms": 2.0,
            "samples_ms": [2.0], "graph": True, "peak_bytes": 1, "tflops": 1.0}  # fmt: skip
    return line | more


NCU = """==PROF== Connected
"ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"
"0","sum_softmax","GPU Speed Of Light Throughput","Compute (SM) Throughput","%","71.5"
"0","void gramless::cuda::<unnamed>::sum_softmax<T1>(T2)","GPU Speed Of Light","DRAM Throughput","%","3.25"
"0","sum_softmax","GPU Speed Of Light Throughput","Duration","us","1,234.5"
"""


def made_up(folder, accuracy=(), timings=(), steps=(), logs=(), golden=None, rehearsal=False):
    """Both archives in the form that the scripts write."""
    run = {"rehearsal": rehearsal, "device": "cuda", "budget": 300}
    tsv = "name\tstatus\tseconds\tlimit\n"
    jsonl = {
        "correctness": ("accuracy.jsonl", accuracy),
        "speed": ("timings.jsonl", timings),
    }
    for script, (name, lines) in jsonl.items():
        own = [step for step in steps if step[0] == script]
        files = {
            "run.json": json.dumps(run | {"script": script}),
            "steps.tsv": tsv + "".join("\t".join(map(str, step[1:])) + "\n" for step in own),
            name: "".join(json.dumps(line) + "\n" for line in lines),
            **{log: text for where, log, text in logs if where == script},
        }
        if script == "correctness" and golden is not None:
            files["golden/recorded.txt"] = golden
        with tarfile.open(folder / f"{script}.tgz", "w:gz") as tar:
            for path, text in files.items():
                member = tarfile.TarInfo(f"{script}/{path}")
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
    return folder


def test_a_run_without_faults_has_a_verdict_for_each_kernel_and_recommends_tiles(tmp_path):
    timings = [
        {"contender": "gramless", "ceilings": {"product_tflops": 700, "copy_in_l2_tb_s": 5, "copy_tb_s": 4}},
        timing("gramless", ms=10.0),
        timing("gramless, Hopper tiles", ms=4.0),
        timing("torch eager", failed="OutOfMemoryError", ms=None) | {"ms": 3.0},
    ]
    logs = [("speed", "memcheck-0.log", "========= ERROR SUMMARY: 0 errors\n"), ("speed", "ncu-0.log", NCU)]
    steps = [("correctness", "accuracy", 0, 50, 110), ("speed", "memcheck-0", 0, 20, 40)]
    found = read.read(made_up(tmp_path, [case(), hopper()], timings, steps, logs))
    assert found["verdicts"]["sum_softmax"] == {
        "accuracy": "right in 1 cases",
        "sanitizers": "clean",
        "speed": "Compute (SM) Throughput 72 %, DRAM Throughput 3 %",
    }
    assert found["verdicts"]["sum_softmax_hopper"]["accuracy"] == "right in 1 cases"
    assert found["verdicts"]["fill_tiles"]["accuracy"] == "not seen"
    assert read.missing(found) == []
    report = read.report(found)
    assert "faster on 1 of 1 problems: nt_xent 65536x128 bfloat16 2.50 x" in report
    assert "Nothing is wrong or missing." in report


FAULTS = {
    "a value": (case(errors=[1e-2, 1e-4]), "value off by 1.0e-02, 1.0e-03 allowed"),
    "a gradient": (case(errors=[1e-5, 1.0]), "gradient off by 1.0e.00, 1.0e-02 allowed"),
    "NaN": (case(errors=[float("nan"), 1e-4]), "value off by nan"),
    "other bits": (case(same_bits=False), "other bits at the second call"),
    "a silent fallback": (
        hopper(fallback=True, kernels=["sum_softmax"]),
        "sum_softmax_hopper, .* did not run",
    ),
    "no kernel": (case(kernels=[]), "no kernel was seen"),
    "an exception": (case(failed="RuntimeError: too many resources"), "too many resources"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said_and_keeps_the_default_tiles(tmp_path, fault):
    line, sentence = FAULTS[fault]
    other = hopper(errors=[1.0, 1.0]) if not line["hopper"] else case()
    timings = [timing("gramless"), timing("gramless, Hopper tiles", ms=1.0)]
    found = read.read(made_up(tmp_path, [line, other], timings))
    assert re.search(sentence, "\n".join(read.missing(found)))
    assert "The default tiles stay" in verdicts.faster_tiles(found)


CAUSES = {
    "the tiles of compute capability 9.0 alone": [hopper(errors=[1.0, 1.0])],
    "float32 alone": [case(dtype="float32", errors=[1.0, 1.0])],
    "many rows alone": [case(n=8192, errors=[1.0, 1.0])],
    "both kinds of tiles": [hopper(errors=[1.0, 1.0]), case(errors=[1.0, 1.0])],
    "a race": [case(same_bits=False)],
    "no code for 90a": [hopper(fallback=True)],
}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            timing("gramless", failed="RuntimeError: no image"),
            "gramless: PROBLEM failed: RuntimeError: no image",
        ),
        (
            timing("gramless, Hopper tiles", wrong=True),
            "gramless, Hopper tiles: PROBLEM is wrong: error 1.0e-04 at a small size",
        ),
        (timing("torch eager", failed="OutOfMemoryError", wrong=True), ""),
    ],
)
def test_timings_of_ours_have_to_be_right(tmp_path, line, said):
    missing = read.missing(read.read(made_up(tmp_path, [case()], [line])))
    assert missing == ([said.replace("PROBLEM", PROBLEM)] if said else [])


@pytest.mark.parametrize("kind", ["cka", "sweep", "median"])
def test_the_truth_of_timings_is_float64(kind):
    torch = pytest.importorskip("torch")
    from benchmarks.gpu.contenders import eager_run, gramless_run
    from benchmarks.gpu.problems import Problem

    torch.manual_seed(0)
    problem = Problem(kind, 40, 12, "float64", layers=2)
    xs = problem.inputs("cpu")
    for truth, ours in zip(eager_run(problem, xs), gramless_run(problem, xs), strict=True):
        assert truth.dtype == torch.float64
        torch.testing.assert_close(truth, ours.double(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("cause", CAUSES)
def test_wrong_cases_are_told_apart_by_what_they_have_in_common(cause):
    assert cause in "; ".join(verdicts.likely_causes(CAUSES[cause]))


def test_a_sanitizers_finding_belongs_to_the_kernel_it_names(tmp_path):
    log = (
        "========= Invalid __shared__ read of size 4 bytes\n"
        f"=========     at {PLAIN}fill_tiles<gramless::cuda::SplitOperand>(FillTask)+0x40\n"
        "========= ERROR SUMMARY: 1 error\n"
    )
    steps = [("speed", "memcheck-0", 9, 20, 40)]
    found = read.read(made_up(tmp_path, [case()], steps=steps, logs=[("speed", "memcheck-0.log", log)]))
    assert found["verdicts"]["fill_tiles"]["sanitizers"] == "FINDINGS: memcheck-0"
    assert found["verdicts"]["sum_tiles"]["sanitizers"] == "none here; not clean: memcheck-0"
    assert "speed: memcheck-0 ended with 9" in read.missing(found)


def test_a_run_that_was_cut_off_says_what_is_missing(tmp_path):
    folder = made_up(
        tmp_path,
        [case(), {"not_reached": 3, "planned": 9}],
        steps=[("correctness", "tests", "skipped", 0, 60)],
    )
    (folder / "speed.tgz").unlink()
    found = read.read(folder)
    assert read.missing(found) == [
        "correctness: tests ended with skipped",
        "3 cases of accuracy were not reached",
    ]
    assert "| tests | skipped |" in read.report(found)


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    files = read.Files("speed", {"timings.jsonl": json.dumps(timing("gramless")) + '\n{"contender": "torch'})
    assert [line["contender"] for line in files.lines("timings.jsonl")] == ["gramless"]


def test_a_rehearsal_is_no_evidence(tmp_path, monkeypatch):
    folder = made_up(tmp_path, [hopper()], [timing("gramless"), timing("gramless, Hopper tiles", ms=1.0)],
                     golden="# made up\n", rehearsal=True)  # fmt: skip
    report = read.report(read.read(folder))
    assert report.startswith("A rehearsal: nothing here is about a GPU.")
    assert "faster" not in report
    monkeypatch.setattr("sys.argv", ["read", str(folder), "--golden", str(tmp_path / "golden.txt")])
    with pytest.raises(SystemExit, match="no GPU recorded golden vectors"):
        read.main()


def test_golden_vectors_and_json_are_written(tmp_path, monkeypatch):
    folder = made_up(tmp_path, [case()], golden="# made up\nhalf_bits 0 00003c00\n")
    out, golden = tmp_path / "found.json", tmp_path / "golden.txt"
    monkeypatch.setattr("sys.argv", ["read", str(folder), "--golden", str(golden), "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        read.main()
    assert ended.value.code == 0
    assert golden.read_text().endswith("half_bits 0 00003c00\n")
    assert json.loads(out.read_text())["accuracy"][0]["case"] == "nt_xent"


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"has neither correctness\.tgz nor speed\.tgz"):
        read.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        (MANGLED, "grad_of_rows_hopper"),
        (PLAIN + "grad_of_rows<gramless::cuda::HalfOperand>(SoftmaxGradTask)", "grad_of_rows"),
        ("void at::native::vectorized_elementwise_kernel<4>", None),
        ("fill_tiles", None),
    ],
)
def test_kernels_are_named_as_in_the_sources(name, kernel):
    assert kernel_name(name) == kernel


def test_every_kernel_with_a_verdict_is_in_the_sources():
    sources = "\n".join(path.read_text() for path in Path(__file__).parents[1].glob("csrc/ops/*/*.cu"))
    assert [kernel for kernel in verdicts.KERNELS if not re.search(rf"\b{kernel}\(", sources)] == []


def test_both_scripts_end_in_time_and_need_neither_git_nor_a_network():
    for script in ("correctness", "speed"):
        text = (GPU_FOLDER / f"{script}.sh").read_text()
        assert re.search(rf"^name={script} budget=(\d+)$", text, re.MULTILINE)[1] == "300"
        limits = [int(limit) for limit in re.findall(r"^ *step [\w$-]+ (\d+) ", text, re.MULTILINE)]
        assert len(limits) > 3
        assert max(limits) <= 150
    said = "\n".join(path.read_text() for path in GPU_FOLDER.iterdir() if path.suffix in (".sh", ".py"))
    assert re.search(r"\bgit (?!needed)\w|\bcurl\b|\bwget\b", said) is None
