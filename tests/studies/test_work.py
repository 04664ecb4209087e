from __future__ import annotations

import shutil

import pytest

from gift import studies
from gift.benchmark import run
from gift.learner import Learner
from gift.progress import listening


def test_nothing_is_run_twice_and_other_experiments_share_the_runs(compare, monkeypatch):
    first = compare(rows=[{"name": "weak", "method": "l2"}])
    monkeypatch.setattr(Learner, "learn", None)
    again = compare(rows=[{"name": "weak", "method": "l2"}])
    other = compare(
        "other",
        rows=[
            {"name": "a", "method": "l2", "settings": {"method_settings": {"penalty_weight": 1.0}}}
        ],
    )
    assert again.table.rows == first.table.rows
    assert other.rows[0].runs[0].folder == first.rows[0].runs[0].folder
    assert other.rows[0].measured


def test_a_failed_row_does_not_stop_the_others_and_resumes_later(compare, monkeypatch):
    def fail_sometimes(config, folder, **more):
        if config.method_settings.model_dump().get("penalty_weight") == 9.0:
            raise RuntimeError("out of something")
        return run(config, folder, **more)

    monkeypatch.setattr("gift.studies.work.run", fail_sometimes)
    result = compare()
    (reason,) = result.failures.values()
    assert reason == "RuntimeError: out of something"
    assert [len(row.measured) for row in result.rows] == [1, 1, 0]
    assert "1 of 3 runs are missing." in result.table.notes
    monkeypatch.undo()
    assert not compare().failures


class Killed(BaseException):
    """Not an Exception, as when a process is stopped."""


def test_a_killed_experiment_resumes_where_it_was(compare, world):
    stages = []

    def kill(now):
        stages.append(now.stage)
        if stages.count("learning shapes") == 2:
            raise Killed

    rows = [{"name": "only", "method": "l2"}]
    with pytest.raises(Killed), listening(kill):
        compare(rows=rows)
    unfinished = compare(rows=rows, workers=None)
    assert unfinished.rows[0].measured == ()
    stages.clear()
    with listening(lambda now: stages.append(now.stage)):
        result = compare(rows=rows)
    assert "learning colours" not in stages
    assert stages.count("runs") == 2
    assert result.rows[0].measured


def test_what_is_kept_makes_the_same_table(compare, tmp_path):
    result = compare(seeds=(0, 1))
    kept = studies.keep(result, tmp_path / "results")
    assert len(kept) == 6
    files = {path.name for path in kept[0].iterdir()}
    members = ("config.yaml", "data.json", "inputs.json", "matrix.json", "summary.json")
    assert files == {*members, "env.json"}
    shutil.rmtree(tmp_path / "runs" / "mine")
    shutil.copytree(tmp_path / "results" / "mine", tmp_path / "runs" / "mine")
    assert compare(workers=None, seeds=(0, 1)).table.rows == result.table.rows


def test_on_a_dask_cluster(compare):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None
    ) as cluster:
        result = compare(workers=studies.Workers(cluster=cluster.scheduler_address))
    assert not result.failures
    assert all(len(row.measured) == 1 for row in result.rows)


@pytest.mark.slow
def test_in_processes(compare):
    result = compare(workers=studies.Workers(2), seeds=(0, 1))
    assert not result.failures
    assert all(len(row.measured) == 2 for row in result.rows)


def test_workers_that_cannot_be_had_are_refused():
    with pytest.raises(ValueError, match="needs --cluster"):
        studies.Workers(2, "dask")
    with pytest.raises(ValueError, match=r"unknown backend 'threading'\. Known: dask, loky"):
        studies.Workers(2, "threading")
