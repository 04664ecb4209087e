"""A run that is killed at a random time ends like an uninterrupted one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gift.files import read_json

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "kill_resume.py"


@pytest.mark.slow
def test_a_killed_run_ends_like_an_uninterrupted_one(tmp_path):
    result = subprocess.run(
        [sys.executable, SCRIPT, "--kills", "1", "--out", tmp_path / "outcome.json"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    outcome = read_json(tmp_path / "outcome.json")
    assert outcome["kills"] == 1
    assert outcome["divergences"] == outcome["lost_finished_tasks"] == 0
