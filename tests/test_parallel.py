"""Several processes that work together: the same result as one, to the last digits of fp64."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from methods.test_contract import TRAINED
from safetensors.torch import load_file
from two_processes import learned

from gift import parallel

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def together(tmp_path_factory, tiny_clip_folder) -> Path:
    """What two processes stored."""
    folder = tmp_path_factory.mktemp("two-processes")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    result = subprocess.run(
        [*launcher, "--nproc_per_node=2", str(SCRIPT), str(folder), str(tiny_clip_folder)],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_two_processes_learn_what_one_learns(together, tiny_clip_folder, name):
    """Batches of 4, 4 and 1 images, 3 and 4 classes: no share is even."""
    alone = learned(name, str(tiny_clip_folder))
    first, second = (load_file(together / f"{name}-{rank}.safetensors") for rank in range(2))
    for key, wanted in alone.items():
        assert torch.equal(first[key], second[key]), key
        if not key.endswith("k_proj.bias"):  # its gradient is rounding alone, which Adam blows up
            assert (first[key] - wanted).norm() <= 1e-10 * wanted.norm(), key


@pytest.mark.parametrize("count", [0, 1, 2, 5, 64])
def test_a_single_process_has_all_rows(count):
    assert parallel.share(count) == range(count)


def test_shares_cover_all_rows_once(monkeypatch):
    monkeypatch.setattr(parallel, "processes", lambda: 3)
    for count in range(8):
        shares = [parallel.share(count, process) for process in range(3)]
        assert [row for share in shares for row in share] == list(range(count))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert len(shares[0]) == max(map(len, shares))
