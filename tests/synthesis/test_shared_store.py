"""Processes that were launched together generate one set: real ones, on a CPU."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from gift.distributed import processes

MEMBER = """
import os, signal, sys
from pathlib import Path
from PIL import Image
from torch import distributed
from gift.synthesis import ImageStore

class Flat:
    identity = {"model": "flat"}
    batch_size = 2
    batches = 0

    def load(self):
        pass

    def generate(self, prompts, seeds):
        if self.batches == 1 and os.environ["RANK"] == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)
        self.batches += 1
        return [Image.new("RGB", (4, 4), (seed % 250 + 1, len(prompt), 9))
                for prompt, seed in zip(prompts, seeds)]

if int(os.environ["WORLD_SIZE"]) > 1:
    distributed.init_process_group("gloo")
found = ImageStore(Path(sys.argv[1])).fetch(
    ["a cat", "two dogs"], generator=Flat(), task_index=1, count=11
)
print(len(found))
if distributed.is_initialized():
    distributed.destroy_process_group()
"""


def launch(root, *, processes=2, victim="nobody"):
    """Generate 11 images; the process with the number ``victim`` is killed at its second batch."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", MEMBER, str(root), str(victim)],
            env={
                **os.environ,
                "RANK": str(rank),
                "WORLD_SIZE": str(processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    shown = [process.communicate(timeout=120) for process in running]
    return [(process.returncode, out) for process, (out, _) in zip(running, shown, strict=True)]


def contents(root):
    files = sorted(path for path in Path(root).rglob("*") if path.name != ".lock")
    return {path.relative_to(root): path.read_bytes() for path in files if path.is_file()}


@pytest.fixture(scope="module")
def made_alone(tmp_path_factory):
    root = tmp_path_factory.mktemp("alone")
    assert launch(root, processes=1) == [(0, "11\n")]
    return contents(root)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_costs_one_round(tmp_path, made_alone, victim):
    ended = launch(tmp_path / "two", victim=victim)
    assert ended[victim][0] == -9
    assert ended[1 - victim][0] != 0  # it does not wait for the other for ever
    (metadata,) = (tmp_path / "two").glob("*/metadata.jsonl")
    assert len(metadata.read_text().splitlines()) == 4
    assert launch(tmp_path / "two") == [(0, "11\n")] * 2
    assert contents(tmp_path / "two") == made_alone


@pytest.mark.slow
def test_two_processes_generate_what_one_generates(tiny_pipeline_folder, tmp_path):
    """Through the command, with a diffusion model: the same bits in the same files."""

    def generate(launcher, out):
        command = [
            *("-m", "gift", "synthesize", str(tmp_path / out), "--classes", "cat,dog,sea"),
            *("--generator", str(tiny_pipeline_folder), "--steps", "2", "--images", "7"),
            *("--batch-size", "2", "--json"),
        ]
        one_thread = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
        return subprocess.run(
            [sys.executable, *launcher, *command],
            env={**os.environ, **one_thread},
            capture_output=True,
            text=True,
            check=True,
        )

    generate([], "one")
    done = generate(["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"], "two")
    assert json.loads(done.stdout)["images"] == 7  # one of them speaks
    assert done.stderr.count("generate: 7 of 7") == 1
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_a_process_that_waits_for_a_lock_meets_the_others_meanwhile(tmp_path, monkeypatch):
    met = []
    meet = processes.on_main
    monkeypatch.setattr(processes, "on_main", lambda make: met.append(1) or meet(make))
    order = []

    def wait():
        with processes.shared_lock(tmp_path / ".lock", meet_every=0.02):
            order.append("waited")

    with FileLock(tmp_path / ".lock"):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)
        order.append("released")
    thread.join()
    assert order == ["released", "waited"]
    assert len(met) > 2
    assert FileLock(tmp_path / ".lock").acquire(timeout=1)  # free again
