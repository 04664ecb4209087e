"""Checking data sets without opening them."""

from __future__ import annotations

import json
from dataclasses import asdict

from official import miniature
from support import write_folder

from gift.data import DatasetEntry, Paths, check_dataset, load_dataset


def test_all_is_well(tmp_path):
    entry, made = miniature("dtd", tmp_path)
    finding = check_dataset(entry, Paths.of(tmp_path, tmp_path), decode=True)
    assert finding.ok
    assert finding.problems == ()
    assert finding.found_in == str(made.root)
    assert finding.classes == 47
    assert finding.images == finding.expected == {"train": 47, "validation": 47, "test": 47}
    assert finding.looked_in == (
        str(made.root),
        "mcimpoi/dtd_split_1 on the Hugging Face hub (no commit chosen)",
    )
    json.dumps(asdict(finding))


def test_what_is_missing_is_told(tmp_path):
    finding = check_dataset(load_dataset("sun397"), Paths.of(data=tmp_path))
    assert not finding.ok
    assert finding.found_in is None
    assert finding.expected == {"train": 87003, "test": 21751}
    assert "SUN397.tar.gz" in finding.problems[0]


def test_all_problems_are_told_at_once(tmp_path):
    _, made = miniature("aircraft", tmp_path)
    listing = made.root / "images_variant_test.txt"
    listing.write_text(listing.read_text().replace("Yak-42", "Yak-43"))
    path = made.root / "images" / "0000007.jpg"
    path.write_bytes(b"?")
    finding = check_dataset(load_dataset("aircraft"), Paths.of(tmp_path, tmp_path), decode=True)
    labels, counts, unreadable = finding.problems
    assert "missing none; unexpected Yak-43" in labels
    assert "3334 train images expected" in counts
    assert "3333 test images expected" in counts
    assert str(path) in unreadable
    assert finding.classes is None
    assert finding.images == {"train": 100, "validation": 100, "test": 100}


def test_folders_are_checked_too(tmp_path):
    write_folder(tmp_path / "mine" / "train")
    entry = DatasetEntry.model_validate({"name": "mine", "source": {"path": "mine"}})
    finding = check_dataset(entry, Paths.of(data=tmp_path))
    assert (finding.ok, finding.classes, finding.images) == (True, 2, {"train": 8})
