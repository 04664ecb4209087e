import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gift import metrics
from gift.metrics import AccuracyMatrix

DATA = json.loads((Path(__file__).parent / "data_files" / "accuracy_matrices.json").read_text())
RUNS = [pytest.param(run, id=f"{run['method']}-{run['order']}") for run in DATA["mtil_runs"]]
PRINTED = 0.05 + 1e-9  # one decimal

square = st.integers(1, 7).flatmap(
    lambda n: arrays(np.float64, (n, n), elements=st.floats(0, 100, width=32))
)


def matrix_of(run: dict[str, Any]) -> np.ndarray:
    sizes = [DATA["test_size"][name] for name in DATA["datasets"][run["order"]]]
    return 100 * np.array(run["correct"]) / np.array(sizes)


def printed(order: str, method: str) -> dict[tuple[str, str], float]:
    return {
        (row["metric"], row["dataset"]): row["value"]
        for row in DATA["published"]
        if (row["order"], row["method"]) == (order, method)
    }


@pytest.mark.parametrize("run", RUNS)
def test_published_matrices(run: dict[str, Any]) -> None:
    matrix, expected = matrix_of(run), run["expected"]
    found = metrics.summarize(matrix)
    assert found.transfer == pytest.approx(expected["transfer"], abs=1e-4)
    assert found.avg == pytest.approx(expected["avg"], abs=1e-4)
    assert found.last == pytest.approx(expected["last"], abs=1e-4)
    assert found.forgetting == pytest.approx(expected["forgetting"], abs=1e-4)
    assert found.backward_transfer == pytest.approx(expected["bwt"], abs=1e-4)
    columns = metrics.transfer_per_task(matrix)
    assert np.isnan(columns[0])
    assert columns[1:] == pytest.approx(expected["transfer_per_dataset"][1:], abs=1e-4)
    assert metrics.average_per_task(matrix) == pytest.approx(expected["avg_per_dataset"], abs=1e-4)
    assert metrics.last_per_task(matrix) == pytest.approx(expected["last_per_dataset"], abs=1e-4)


@pytest.mark.parametrize("run", [run for run in RUNS if run.values[0]["method"] != "ZSCL*"])
def test_every_printed_number_of_the_paper(run: dict[str, Any]) -> None:
    matrix, names = matrix_of(run), DATA["datasets"][run["order"]]
    paper = printed(run["order"], run["method"])
    assert len(paper) == 35
    whole = metrics.summarize(matrix)
    columns = {
        "transfer": metrics.transfer_per_task(matrix),
        "avg": metrics.average_per_task(matrix),
        "last": metrics.last_per_task(matrix),
    }
    for (metric, dataset), value in paper.items():
        ours = (
            getattr(whole, metric)
            if dataset == "average"
            else columns[metric][names.index(dataset)]
        )
        assert ours == pytest.approx(value, abs=PRINTED), (metric, dataset)


def test_example_of_the_specification() -> None:
    [zscl] = [r for r in DATA["mtil_runs"] if (r["method"], r["order"]) == ("ZSCL", "I")]
    found = metrics.summarize(matrix_of(zscl))
    assert [round(x, 2) for x in vars(found).values() if x is not None] == [
        68.14,
        75.39,
        83.62,
        3.85,
        -3.85,
    ]


@pytest.mark.parametrize(("order", "expected_transfer"), [("I", 69.4), ("II", 65.4)])
def test_zero_shot_row(order: str, expected_transfer: float) -> None:
    paper = printed(order, "Zero-shot")
    assert paper["transfer", "average"] == expected_transfer
    row = [paper["accuracy", name] for name in DATA["datasets"][order]]
    found = metrics.summarize(metrics.zero_shot_matrix(row))
    assert found.transfer == pytest.approx(expected_transfer, abs=PRINTED)
    assert found.avg == pytest.approx(65.3, abs=PRINTED)
    assert found.last == pytest.approx(65.3, abs=PRINTED)
    assert found.forgetting == found.backward_transfer == 0


@given(square)
def test_equals_plain_loops(matrix: np.ndarray) -> None:
    n = len(matrix)
    total = sum(matrix[i][j] for i in range(n) for j in range(n))
    assert metrics.average(matrix) == pytest.approx(total / n**2)
    assert metrics.last(matrix) == pytest.approx(sum(matrix[n - 1]) / n)
    if n == 1:
        return
    before = [sum(matrix[i][j] for i in range(j)) / j for j in range(1, n)]
    drops = [max(matrix[i][j] for i in range(j, n - 1)) - matrix[n - 1][j] for j in range(n - 1)]
    changes = [matrix[n - 1][j] - matrix[j][j] for j in range(n - 1)]
    assert metrics.transfer(matrix) == pytest.approx(sum(before) / (n - 1))
    assert metrics.forgetting(matrix) == pytest.approx(sum(drops) / (n - 1), abs=1e-9)
    assert metrics.backward_transfer(matrix) == pytest.approx(sum(changes) / (n - 1), abs=1e-9)


@given(square)
def test_relations(matrix: np.ndarray) -> None:
    n = len(matrix)
    found = metrics.summarize(matrix)
    if n == 1:
        assert found == metrics.Metrics(None, matrix[0, 0], matrix[0, 0], None, None)
        return
    # Forgetting counts from the best accuracy, backward transfer from the first one.
    assert found.forgetting is not None
    assert found.backward_transfer is not None
    assert found.forgetting >= -found.backward_transfer - 1e-9
    # The last task: Avg_n = ((n - 1) Transfer_n + Last_n) / n.
    mixed = ((n - 1) * metrics.transfer_per_task(matrix)[-1] + matrix[-1, -1]) / n
    assert metrics.average_per_task(matrix)[-1] == pytest.approx(mixed)


@given(st.integers(1, 8), st.floats(0, 100))
def test_constant_matrix(n: int, value: float) -> None:
    found = metrics.summarize(np.full((n, n), value))
    several = n > 1
    assert found.transfer == (pytest.approx(value) if several else None)
    assert (found.avg, found.last) == pytest.approx((value, value))
    assert found.forgetting == found.backward_transfer == (0 if several else None)


@given(square, st.randoms())
def test_each_metric_reads_only_its_own_entries(matrix: np.ndarray, random: Any) -> None:
    n = len(matrix)
    below, above = matrix.copy(), matrix.copy()
    below[np.tril_indices(n)] = random.uniform(0, 100)
    above[np.triu_indices(n, 1)] = random.uniform(0, 100)
    assert metrics.transfer(below) == metrics.transfer(matrix)
    assert metrics.forgetting(above) == metrics.forgetting(matrix)
    assert metrics.backward_transfer(above) == metrics.backward_transfer(matrix)
    order = random.sample(range(n), n)
    assert metrics.average(matrix[order]) == pytest.approx(metrics.average(matrix))
    assert metrics.last(matrix[:, order]) == pytest.approx(metrics.last(matrix))


def test_transfer_is_the_mean_of_columns_and_depends_on_the_order() -> None:
    matrix = [[50, 10, 20], [50, 60, 40], [50, 60, 70]]
    assert metrics.transfer(matrix) == (10 + 30) / 2  # the mean of all entries would be 23.3
    assert metrics.transfer(np.flip(matrix)) != metrics.transfer(matrix)


def test_unfinished_run() -> None:
    rows = [[80.0, 60.0, 30.0], [76.0, 90.0, 20.0]]
    found = metrics.summarize(rows, partial=True)
    assert found.transfer == (60 + 25) / 2
    assert found.avg == pytest.approx(np.mean(rows))
    assert found.last == pytest.approx(62)
    assert found.forgetting == 4
    assert found.backward_transfer == -4
    first = metrics.summarize(rows[:1], partial=True)
    assert (first.forgetting, first.backward_transfer) == (None, None)
    finished = [[80, 60], [76, 90]]
    assert metrics.summarize(finished, partial=True) == metrics.summarize(finished)


@pytest.mark.parametrize("name", DATA["cil_runs"])
def test_published_class_incremental_logs(name: str) -> None:
    run = DATA["cil_runs"][name]
    images, n = run["test_images_per_task"], len(run["acc_per_task"])
    matrix = [[*row, *[None] * (n - len(row))] for row in run["acc_per_task"]]
    # The logs print single tasks with one or two decimals, so their sums have that error.
    assert metrics.seen_accuracy(matrix, images=images) == pytest.approx(run["acc"], abs=0.06)
    found = metrics.summarize(matrix, images=images)
    assert found.avg == pytest.approx(run["avg"], abs=0.03)
    assert found.last == pytest.approx(run["last"], abs=0.06)
    assert found.transfer is None
    after_two = metrics.summarize(matrix[:2], images=images, partial=True)
    assert after_two.forgetting == pytest.approx(matrix[0][0] - matrix[1][0])  # the logs print 0


@given(square, st.data())
def test_class_incremental_equals_counting_images(matrix: np.ndarray, data: Any) -> None:
    n = len(matrix)
    images = data.draw(st.lists(st.integers(1, 500), min_size=n, max_size=n))
    seen = [[matrix[i][j] if j <= i else None for j in range(n)] for i in range(n)]
    steps = [
        sum(matrix[i][j] * images[j] for j in range(i + 1)) / sum(images[: i + 1]) for i in range(n)
    ]
    assert metrics.seen_accuracy(seen, images=images) == pytest.approx(steps)
    found, whole = metrics.summarize(seen, images=images), metrics.summarize(matrix)
    assert found.avg == pytest.approx(sum(steps) / n)
    assert found.last == pytest.approx(steps[-1])
    assert found.transfer is None
    # What happened to a task after it was learned does not depend on what was measured before.
    assert found.forgetting == whole.forgetting
    assert found.backward_transfer == whole.backward_transfer
    assert metrics.last_per_task(seen) == pytest.approx(matrix[-1])
    columns = [np.mean([matrix[i][j] for i in range(j, n)]) for j in range(n)]
    assert metrics.average_per_task(seen) == pytest.approx(columns)
    assert np.isnan(metrics.transfer_per_task(seen)).all()


def test_class_incremental_weights() -> None:
    seen = [[80, None], [60, 90]]
    assert metrics.summarize(seen).last == 75
    assert metrics.summarize(seen, images=[100, 900]).last == 87
    assert metrics.summarize([[80, 50], [60, 90]], images=[100, 900]).last == 75  # no such setting
    assert metrics.average(seen[:1], images=[1, 2], partial=True) == 80
    assert np.isnan(metrics.average_per_task(seen[:1], partial=True)[1])
    for images in ([1], [1, 0], [1, 2, 3]):
        with pytest.raises(ValueError, match="one positive number for each of the 2 tasks"):
            metrics.summarize(seen, images=images)


def test_zero_shot_row_of_a_class_incremental_run() -> None:
    found = metrics.zero_shot_metrics([90.0, 70.0, 50.0], seen_only=True)
    assert found == metrics.Metrics(None, 70.0, 50.0, None, None)
    constant = metrics.zero_shot_metrics([90.0, 70.0, 50.0])
    assert (constant.transfer, constant.last) == (60.0, 70.0)


@pytest.mark.parametrize(
    ("accuracy", "message"),
    [
        ([[1, 2]], "2 tasks needs 2 rows, got 1.*partial=True"),
        ([[1], [2]], "1 tasks needs 1 rows, got 2"),
        ([1, 2], "shape"),
        ([[]], "shape"),
        ([[50, 50], [np.nan, 50]], "row 1, column 0 is nan"),
        ([[50, 100.5], [50, 50]], "row 0, column 1 is 100.5"),
        ([[-1]], "0 to 100"),
        ([[50, None, 50], [50, 50, None], [50, 50, 50]], "row 0, column 1 is nan"),
        ([[None, None], [50, 50]], "row 0, column 0 is nan"),
    ],
)
def test_refuses(accuracy: Any, message: str) -> None:
    for function in (metrics.summarize, metrics.transfer, metrics.last, metrics.average):
        with pytest.raises(ValueError, match=message):
            function(accuracy)


def test_refuses_a_zero_shot_matrix_for_a_row() -> None:
    with pytest.raises(ValueError, match="one per task"):
        metrics.zero_shot_matrix([[1, 2], [3, 4]])


def test_inputs_stay_as_they_are() -> None:
    matrix = np.array([[80.0, 60.0], [76.0, 90.0]])
    metrics.last_per_task(matrix)[:] = 0
    metrics.forgetting_per_task(matrix)[:] = 0
    assert matrix.tolist() == [[80.0, 60.0], [76.0, 90.0]]


def test_a_matrix_survives_its_file():
    setting = {"label_space": "seen", "task_id": "hidden", "split": "test", "draw": 0}
    matrix = AccuracyMatrix(
        "b", 2, ("x", "y"), (90.0, 60.0), setting=setting, images=(10, 20)
    ).with_row([95.0, None])
    assert AccuracyMatrix.from_json(json.loads(json.dumps(matrix.to_json()))) == matrix
    assert matrix.seen_only
    assert not matrix.complete
    assert matrix.with_row([80.0, 90.0]).complete


def test_a_file_of_an_older_version_is_read():
    old = {"benchmark": "b", "version": 1, "tasks": ["x"], "zero_shot": [1.0], "accuracy": [[2.0]]}
    matrix = AccuracyMatrix.from_json(old)
    assert (matrix.images, matrix.setting, matrix.seen_only) == ((), {}, False)
