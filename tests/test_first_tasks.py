"""The first tasks of a user, written only from the documentation, work in at most ten lines each."""

from __future__ import annotations

import importlib
import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
TASKS = Path(__file__).parent / "first_tasks"
MODELS = """
import torch
from transformers import BertConfig, BertModel

sizes = {"num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 100}
small = BertModel(BertConfig(hidden_size=32, num_hidden_layers=2, **sizes))
large = BertModel(BertConfig(hidden_size=64, num_hidden_layers=3, **sizes))
mask = (torch.arange(12) < torch.randint(4, 13, (96, 1))).long()
batches = [{"input_ids": torch.randint(0, 100, (48, 12)), "attention_mask": half} for half in mask.split(48)]
"""
NEEDS = {
    "saved_activations": ["matplotlib"],
    "hugging_face": ["torch", "transformers"],
    "lightly_loss": ["torch"],
    "independence": [],
    "chance_level": ["matplotlib"],
}
SAID = {
    "saved_activations": r"\[\[ *1\. ",
    "hugging_face": r"encoder\.layer\.1.*encoder\.layer\.2",
    "lightly_loss": r"^\d\.\d+$",
    "independence": r"e-\d\d chi2",
    "chance_level": r"\[ True  True  True False\]\]\n0\.\d+$",
}


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 8))
    np.savez(tmp_path / "a.npz", first=x, second=np.maximum(x, 0))
    np.savez(tmp_path / "b.npz", first=2 * x + 1, second=rng.standard_normal((50, 8)))
    (tmp_path / "models.py").write_text(MODELS)
    return tmp_path


def run_here(folder, *command):
    options = {"cwd": folder, "capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run([sys.executable, *command], check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", NEEDS)
def test_a_first_task_works(name, folder, monkeypatch, capsys):
    missing = [package for package in NEEDS[name] if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")
    if "matplotlib" in NEEDS[name]:
        importlib.import_module("matplotlib").use("agg")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    runpy.run_path(str(TASKS / f"{name}.py"))
    said = capsys.readouterr().out.strip()
    assert re.search(SAID[name], said, re.DOTALL), said
    if NEEDS[name] == ["matplotlib"]:
        assert (folder / "heatmap.png").stat().st_size > 5000


def test_first_tasks_are_short_and_all_of_them_are_tested():
    lines = {
        file.stem: sum(bool(line.strip()) for line in file.read_text().splitlines())
        for file in TASKS.glob("*.py")
    }
    assert lines.keys() == NEEDS.keys()
    assert max(lines.values()) <= 10


@pytest.mark.slow
@pytest.mark.usefixtures("loopback")
def test_the_program_for_torchrun_runs_on_two_processes(tmp_path):
    pytest.importorskip("torch")
    page = (ROOT / "docs/howto/cookbook.md").read_text(encoding="utf-8")
    program = tmp_path / "train.py"
    program.write_text(re.search(r"<!-- torchrun -->\n```python\n(.*?)```", page, re.DOTALL)[1])
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    assert re.search(r"loss \d\.\d{3}", run_here(tmp_path, *run))
