import json
import threading

import datasets
import numpy as np
import pytest
from PIL import Image

from gift.progress import listening
from gift.synthesis import ImageStore, plan

POOL = ("a red square.", "a blue disc.", "une étoile verte.")


class Flat:
    """One flat colour per seed; black for the seeds in ``black``; fails before image ``fail``."""

    def __init__(self, batch_size=2, black=(), fail=None, style="flat"):
        self.identity = {"model": "flat", "style": style}
        self.batch_size = batch_size
        self.black = set(black)
        self.fail = fail
        self.seeds = []

    def load(self):
        pass

    def generate(self, prompts, seeds):
        if self.fail is not None and len(self.seeds) + len(seeds) > self.fail:
            raise RuntimeError("broken")
        self.seeds += seeds
        return [
            Image.new("RGB", (4, 4), (0, 0, 0) if s in self.black else (s % 250 + 1, len(p), 9))
            for p, s in zip(prompts, seeds, strict=True)
        ]


def fetch(root, generator, count, **values):
    return ImageStore(root).fetch(
        POOL, **{"generator": generator, "task_index": 2, "count": count, "seed": 0} | values
    )


def colours(images):
    return [np.asarray(images[i])[0, 0].tolist() for i in range(len(images))]


def metadata(root):
    (file,) = root.glob("*/metadata.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_set_follows_its_plan(tmp_path):
    seen = []
    with listening(seen.append):
        found = fetch(tmp_path, Flat(), 5)
    planned = plan(POOL, task_index=2, count=5, seed=0)
    assert found.captions == tuple(image.prompt for image in planned)
    assert colours(found) == [[i.seed % 250 + 1, len(i.prompt), 9] for i in planned]
    assert [file.name for file in found.files] == [f"00000{i}.png" for i in range(1, 6)]
    assert [now[:3] for now in seen] == [("generate", done, 5) for done in (0, 2, 4, 5)]
    for line, image in zip(metadata(tmp_path), planned, strict=True):
        assert (line["index"], line["text"]) == (image.index, image.prompt)
        assert line["seed"] == image.seed
        assert line["file_name"] == f"{image.index:06d}.png"
        assert line["black"] is False
    (description,) = tmp_path.glob("*/set.json")
    assert json.loads(description.read_text()) == {
        "generator": {"model": "flat", "style": "flat"},
        "pool": list(POOL),
        "seed": 0,
        "task_index": 2,
    }


def test_a_complete_set_needs_no_generator(tmp_path):
    first = fetch(tmp_path, Flat(), 5)
    again = fetch(tmp_path, Flat(fail=0), 5)
    assert (again.files, again.captions) == (first.files, first.captions)
    assert again.fingerprint == first.fingerprint


def test_sets_are_nested(tmp_path):
    small = fetch(tmp_path, Flat(), 3)
    generator = Flat()
    large = fetch(tmp_path, generator, 8)
    assert generator.seeds == [4, 5, 6, 7, 8]
    assert large.files[:3] == small.files
    assert fetch(tmp_path, Flat(fail=0), 3).files == small.files
    assert len({small.fingerprint, large.fingerprint}) == 2


def test_whatever_decides_an_image_decides_the_folder(tmp_path):
    fetch(tmp_path, Flat(), 2)
    fetch(tmp_path, Flat(batch_size=7), 2)
    assert len(list(tmp_path.iterdir())) == 1
    fetch(tmp_path, Flat(style="dotted"), 2)
    fetch(tmp_path, Flat(), 2, seed=1)
    fetch(tmp_path, Flat(), 2, task_index=3)
    ImageStore(tmp_path).fetch(POOL[:2], generator=Flat(), task_index=2, count=2, seed=0)
    assert len(list(tmp_path.iterdir())) == 5


def test_resumes_after_a_kill(tmp_path):
    with pytest.raises(RuntimeError, match="broken"):
        fetch(tmp_path / "killed", Flat(fail=5), 9)
    generator = Flat()
    resumed = fetch(tmp_path / "killed", generator, 9)
    assert generator.seeds == [5, 6, 7, 8, 9]
    assert colours(resumed) == colours(fetch(tmp_path / "whole", Flat(), 9))
    assert metadata(tmp_path / "killed") == metadata(tmp_path / "whole")


def test_a_cut_line_and_a_lost_file_are_generated_again(tmp_path):
    found = fetch(tmp_path, Flat(), 6)
    file = found.files[0].parent / "metadata.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    found.files[1].unlink()
    generator = Flat()
    assert colours(fetch(tmp_path, generator, 6)) == colours(found)
    assert generator.seeds == [2, 6]
    assert sorted(line["index"] for line in metadata(tmp_path)) == [1, 2, 2, 3, 4, 5, 6]


def test_black_images_are_recorded_and_skipped(tmp_path, caplog):
    found = fetch(tmp_path, Flat(black={2, 3}), 5)
    planned = plan(POOL, task_index=2, count=5, seed=0)
    assert found.captions == tuple(planned[i].prompt for i in (0, 3, 4))
    assert [file.name for file in found.files] == ["000001.png", "000004.png", "000005.png"]
    assert [line["black"] for line in metadata(tmp_path)] == [False, True, True, False, False]
    assert "2 of 5 synthetic images are black" in caplog.text
    assert len(fetch(tmp_path, Flat(fail=0), 5)) == 3


def test_nothing_but_black_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"all 2 images in .* are black"):
        fetch(tmp_path, Flat(black={1, 2}), 2)


def test_another_image_changes_the_fingerprint(tmp_path):
    before = fetch(tmp_path, Flat(), 2).fingerprint
    found = fetch(tmp_path, Flat(), 2)
    Image.effect_noise((32, 32), 50).save(found.files[0])
    assert found.fingerprint != before


@pytest.mark.parametrize("name", ["000001.png", "metadata.jsonl", ".lock", "set.json"])
def test_links_in_a_set_are_refused(tmp_path, name):
    found = fetch(tmp_path, Flat(), 2)
    link, outside = found.files[0].parent / name, tmp_path / "outside"
    link.unlink(missing_ok=True)
    outside.write_text("secret")
    link.symlink_to(outside)
    with pytest.raises(ValueError, match=rf"{name} is a link"):
        fetch(tmp_path, Flat(), 3)
    assert outside.read_text() == "secret"


def test_two_at_once_generate_every_image_once(tmp_path):
    generators = [Flat(batch_size=1) for _ in range(2)]
    found = []
    threads = [
        threading.Thread(target=lambda g=generator: found.append(fetch(tmp_path, g, 20)))
        for generator in generators
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert sorted(generators[0].seeds + generators[1].seeds) == list(range(1, 21))
    assert [line["index"] for line in metadata(tmp_path)] == list(range(1, 21))


def test_an_unreadable_image_is_named(tmp_path):
    found = fetch(tmp_path, Flat(), 2)
    found.files[0].write_bytes(b"no image")
    found.files[1].unlink()
    for index in range(2):
        with pytest.raises(OSError, match=rf"00000{index + 1}\.png cannot be read") as caught:
            found[index]
        assert caught.value.errno is None  # not a failed write of whoever reads it


def test_unwritable_store_says_what_to_do(tmp_path):
    (tmp_path / "store").touch()
    with pytest.raises(OSError, match=r"cannot be written .* another folder"):
        fetch(tmp_path / "store", Flat(), 2)


def test_the_model_is_loaded_once_and_only_where_images_are_missing(tmp_path):
    class Loading(Flat):
        loaded = 0

        def load(self):
            assert not self.seeds
            self.loaded += 1

    generator = Loading()
    fetch(tmp_path, generator, 6)
    fetch(tmp_path, generator, 3)
    assert generator.loaded == 1


def test_a_set_is_an_image_folder_with_metadata(tmp_path):
    found = fetch(tmp_path / "store", Flat(black={2}), 5)
    read = datasets.load_dataset(
        "imagefolder",
        data_dir=str(found.files[0].parent),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    kept = [row for row in read if not row["black"]]
    assert tuple(row["text"] for row in kept) == found.captions
    assert [np.asarray(row["image"])[0, 0].tolist() for row in kept] == colours(found)


def begin(root, generator, count):
    return ImageStore(root).begin(POOL, generator=generator, task_index=2, count=count, seed=0)


def test_the_first_round_is_a_part_of_the_set(tmp_path):
    generator = Flat(batch_size=2)
    assert begin(tmp_path, generator, 5) == 2
    assert begin(tmp_path, generator, 5) == 0
    begun = list(generator.seeds)
    whole = fetch(tmp_path, generator, 5)
    assert whole.cached == 2
    assert len(whole) == 5
    assert len(begun) == 2
    assert len(set(generator.seeds)) == len(generator.seeds) == 5
    fetch(tmp_path / "other", other := Flat(batch_size=2), 5)
    assert generator.seeds == other.seeds


def test_a_first_round_of_black_images_is_refused_where_it_tells_something(tmp_path):
    seeds = [image.seed for image in plan(POOL, task_index=2, count=9, seed=0)]
    assert begin(tmp_path / "few", Flat(batch_size=2, black=seeds), 9) == 2
    with pytest.raises(ValueError, match=r"all 4 images in .* are black"):
        begin(tmp_path / "all", Flat(batch_size=4, black=seeds), 9)
    assert begin(tmp_path / "some", Flat(batch_size=4, black=seeds[:3]), 9) == 4
