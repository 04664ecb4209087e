"""Test images in feature space: what a run keeps, and the picture of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from report.test_page import parsed
from safetensors.numpy import load_file, save_file
from support import NoiseImages, words

from gift.cli import main
from gift.commands import measure
from gift.data import Paths, Task
from gift.evaluate import Protocol
from gift.learner import Learner
from gift.report import write_report
from gift.report.comparison import compare
from gift.report.embedding import embeddings, figure
from gift.report.style import drawing
from gift.runs import RunFolder
from gift.runs.read import read_run

FILE = "features.safetensors"
SLUGS = ("01-birds", "02-script-alert-1-script", "03-50-more")


def features(tasks: int = 3, each: int = 4, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Every task in a place of its own."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.eye(tasks, 8), each, axis=0) + 0.05 * rng.standard_normal((tasks * each, 8))
    return {
        "features": rows.astype(np.float16),
        "task": np.repeat(np.arange(tasks), each),
        "label": np.zeros(tasks * each, dtype=np.int64),
    }


@pytest.fixture
def run(make_run: Any) -> Path:
    """A run of three tasks that kept features at every stage."""
    path: Path = make_run("kept")
    save_file(features(), path / FILE)
    for session, name in enumerate(SLUGS, start=1):
        (path / "tasks" / name).mkdir(parents=True)
        save_file(features(seed=session), path / "tasks" / name / FILE)
    return path


def titles(run: Path, *sessions: int) -> list[str]:
    """The titles of the panels."""
    comparison = compare([read_run(run)])
    ((label, stages),) = embeddings(comparison, sessions).items()
    with drawing():
        return [axes.get_title(loc="left") for axes in figure(comparison, label, stages).axes]


def test_the_first_the_middle_and_the_last_session_are_shown(run: Path) -> None:
    assert titles(run) == [
        "pre-trained",
        "after 1  birds",
        "after 2  <script>alert(1)<…",
        "after 3  50 $ & more_{}",
    ]
    (run / "tasks" / SLUGS[1] / FILE).unlink()
    assert [title[:7] for title in titles(run)] == ["pre-tra", "after 1", "after 3"]


def test_sessions_can_be_chosen(run: Path) -> None:
    assert [title[:7] for title in titles(run, 3)] == ["pre-tra", "after 3"]


def test_points_are_where_their_neighbours_are_and_always_the_same(run: Path) -> None:
    comparison = compare([read_run(run)])
    one, two = embeddings(comparison)["gift"], embeddings(comparison)["gift"]
    for stage, again in zip(one, two, strict=True):
        np.testing.assert_array_equal(stage.points, again.points)
        centres = np.stack([stage.points[stage.tasks == task].mean(axis=0) for task in range(3)])
        distances = np.linalg.norm(stage.points[:, None] - centres, axis=2)
        np.testing.assert_array_equal(distances.argmin(axis=1), stage.tasks)


def test_a_task_has_one_look_in_all_panels_and_is_filled_once_learned(run: Path) -> None:
    comparison = compare([read_run(run)])
    with drawing():
        panels = figure(comparison, "gift", embeddings(comparison)["gift"]).axes
    looks = [[(line.get_color(), line.get_marker()) for line in axes.lines] for axes in panels]
    assert all(look == looks[0] for look in looks)
    assert len(set(looks[0])) == 3
    filled = [[line.get_markerfacecolor() != "none" for line in axes.lines] for axes in panels]
    assert filled == [[False] * 3, [True, False, False], [True, True, False], [True] * 3]


def test_the_page_shows_the_picture_and_the_files_are_there(run: Path, tmp_path: Path) -> None:
    files = write_report([run], tmp_path / "out", embedding=())
    text = files.page.read_text(encoding="utf-8")
    parsed(files.page)
    assert '<section id="embedding">' in text
    assert '<a href="#embedding">' in text
    svg = re.search(r'<figure class="figure" id="embedding-gift">(.*?)</figure>', text, re.DOTALL)
    assert svg is not None
    assert "&lt;script&gt;" in svg[1]
    assert not re.findall(r"#[0-9a-f]{6}\b", svg[1])
    assert {p.name for p in files.figures} >= {"embedding-gift.png", "embedding-gift.pdf"}


def test_methods_that_start_alike_have_one_first_panel(run: Path, make_run: Any) -> None:
    other = make_run("other", method="lwf")
    content = features()
    content["features"][0, 0] += np.float16(5e-4)  # as other threads may round
    save_file(content, other / FILE)
    first, second = embeddings(compare([read_run(run), read_run(other)])).values()
    np.testing.assert_array_equal(first[0].points, second[0].points)
    assert not np.array_equal(first[0].points, first[1].points)


def test_only_methods_with_features_are_drawn(run: Path, make_run: Any) -> None:
    other = read_run(make_run("other", method="lwf"))
    assert list(embeddings(compare([other, read_run(run)]), (1,))) == ["gift"]


def test_runs_without_features_are_refused_with_a_hint(make_run: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--set evaluation\.embedding_images=20"):
        write_report([make_run("old")], tmp_path / "out", embedding=())
    assert not (tmp_path / "out").exists()


def test_a_session_without_features_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"after session 7; it has those after 1, 2, 3\."):
        write_report([run], tmp_path / "out", embedding=(1, 7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.full((12, 8), np.nan, dtype=np.float16)}, "no features of images"),
        ({"features": np.zeros(12, dtype=np.float16)}, "no features of images"),
        ({"task": np.full(12, 3)}, "no features of images"),
        ({"task": np.full(12, -1)}, "no features of images"),
        ({"task": np.zeros(5, dtype=np.int64)}, "no features of images"),
        (features(each=1), "3 images, too few"),
    ],
)
def test_features_that_cannot_be_are_refused(run: Path, change: Any, message: str) -> None:
    save_file(features() | change, run / FILE)
    with pytest.raises(ValueError, match=message):
        titles(run)


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 64])
def test_a_damaged_file_is_named(run: Path, content: bytes) -> None:
    (run / FILE).write_bytes(content)
    with pytest.raises(ValueError, match=f"{FILE} holds no features"):
        titles(run)


def test_a_model_that_collapsed_is_one_point(run: Path) -> None:
    save_file(features() | {"features": np.ones((12, 8), dtype=np.float16)}, run / FILE)
    assert not embeddings(compare([read_run(run)]))["gift"][0].points.any()


@pytest.mark.parametrize("arguments", [["--sessions", "1"], ["--embedding", "--sessions", "1;2"]])
def test_the_command_refuses_wrong_sessions(run: Path, arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as end:
        main(["report", str(run), "--out", str(run / "out"), *arguments])
    assert end.value.code
    assert "--sessions" in capsys.readouterr().err
    assert not (run / "out").exists()


def test_the_command_draws(run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["report", str(run), "--embedding", "--sessions", "1, 3"])
    assert not end.value.code
    assert (tmp_path / "report" / "figures" / "embedding-gift.png").is_file()


@pytest.fixture
def tasks() -> list[Task]:
    return [
        Task(words(name), NoiseImages(9, 3, seed=n), NoiseImages(7 + n, 3, seed=9 - n))
        for n, name in enumerate(("fruit", "birds"))
    ]


def test_a_run_keeps_features_at_every_stage(
    tiny_clip_folder: Path, tmp_path: Path, tasks: list[Task]
) -> None:
    training = {"iterations": 2, "batch_size": 4, "warmup": 1, "learning_rate": 1e-2}
    learner = Learner.from_pretrained(
        tiny_clip_folder,
        method="finetune_individual",
        paths=Paths.of(tmp_path / "home"),
        training=training,
    )
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    given = Protocol(task_id="given", batch_size=4)
    measure(learner, tasks, given, folder, features=5)
    start = load_file(folder.path / FILE)
    assert start["features"].dtype == np.float16
    assert start["task"].tolist() == [0] * 5 + [1] * 5
    taken = {7: [0, 1, 2, 4, 5], 8: [0, 1, 3, 4, 6]}  # evenly spread
    assert start["label"].tolist() == [i % 3 for count in (7, 8) for i in taken[count]]
    pixels = np.stack([learner.model.preprocess.test_array(tasks[1].test[i]) for i in taken[8]])
    batch = learner.model.preprocess.normalize(torch.from_numpy(pixels))
    wanted = learner.model.encode_images(batch).detach().numpy()
    np.testing.assert_allclose(start["features"][5:], wanted, atol=2e-3)

    learner.learn(tasks[0])
    measure(learner, tasks, given, folder, features=5)
    informed = load_file(folder.task(1, "fruit") / FILE)["features"]
    assert np.abs(informed[:5] - start["features"][:5]).max() > 0.01  # by the task's own model
    np.testing.assert_array_equal(informed[5:], start["features"][5:])
    measure(learner, tasks, replace(given, task_id="hidden"), folder, features=5)
    agnostic = load_file(folder.task(1, "fruit") / FILE)["features"]
    np.testing.assert_array_equal(agnostic, start["features"])


def test_no_features_are_kept_unless_asked_for(
    tiny_clip_folder: Path, tmp_path: Path, tasks: list[Task]
) -> None:
    learner = Learner.from_pretrained(
        tiny_clip_folder, method="zero_shot", paths=Paths.of(tmp_path / "home")
    )
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    measure(learner, tasks, Protocol(), folder)
    assert not (folder.path / FILE).exists()
