"""The same path on real photographs and at real size; nothing depends on the micro benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.Image import Transpose
from support import write_folder
from transformers import CLIPConfig, CLIPModel

from gift import Learner, Task
from gift.data import Paths, readable

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "caltech101" / "101_ObjectCategories"

needs_photos = pytest.mark.skipif(
    not PHOTOS.is_dir(), reason=f"needs the category folders of Caltech101 in {PHOTOS}"
)


def link_categories(folder: Path, categories: list[Path]) -> Path:
    folder.mkdir()
    for category in categories:
        (folder / category.name).symlink_to(category)
    return folder


@needs_photos
@pytest.mark.slow
def test_photographs_are_learned(tmp_path):
    """Eight categories of real photographs, taught to the small CLIP inside the package."""
    names = sorted(p for p in PHOTOS.iterdir() if p.name != "BACKGROUND_Google")[10:18]
    folder = link_categories(tmp_path / "photos", names)
    task = Task.from_folder(folder, test_fraction=0.25, follow_links=True)
    learner = Learner.from_pretrained(
        "builtin:micro/clip",
        method="finetune",
        paths=Paths.of(tmp_path / "home"),
        training={"iterations": 60, "batch_size": 32, "learning_rate": 3e-4, "warmup": 5},
    )
    (before,) = learner.evaluate(task)
    learner.learn(task)
    (after,) = learner.evaluate(task)
    assert before < 40
    assert after > before + 20


_STORED = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
"""How a camera stores an upright photo that it tags so."""


@needs_photos
def test_a_messy_folder_of_photographs_shows_them_as_they_were(tmp_path, caplog):
    """Turned by the camera, in four colours, in formats of phones, cut off, and with strays."""
    folder, beavers = tmp_path / "animals", sorted((PHOTOS / "beaver").glob("*.jpg"))[:9]
    (folder / "beaver" / "2024").mkdir(parents=True)
    (folder / "emu").mkdir()
    originals = {}
    for number, path in enumerate(beavers[:8], start=1):
        with Image.open(path) as photo:
            stored = photo.convert("RGB")
        if number > 1:
            stored = stored.transpose(_STORED[number])
        tags = Image.Exif()
        tags[ExifTags.Base.Orientation] = number
        name = f"IMG_{number}.JPG" if number % 2 else f"2024/IMG_{number}.jpeg"
        stored.save(folder / "beaver" / name, quality=95, exif=tags)
        originals[Path(name).name] = path
    cmyk, only = sorted((PHOTOS / "emu").glob("*.jpg"))[:2]
    with Image.open(cmyk) as photo:
        photo.convert("CMYK").save(folder / "emu" / "scan.TIF")
        originals["scan.TIF"] = cmyk
    (folder / "emu" / "broken.jpg").write_bytes(only.read_bytes()[:-2000])
    for stray in (".DS_Store", "emu/Thumbs.db", "beaver/._IMG_1.JPG"):
        (folder / stray).write_bytes(b"x")
    task = Task.from_folder(folder, nested=True, on_bad_image="skip")
    task = readable(task, Paths.of(tmp_path / "home"))
    assert (task.labels.classnames, task.skipped, len(task.train)) == (("beaver", "emu"), 1, 9)
    assert caplog.text.count("broken.jpg cannot be read") == 1
    for file, image in zip(task.train.files, task.train, strict=True):
        with Image.open(originals[file.name]) as original:
            wanted = np.asarray(original.convert("RGB"), dtype=float)
        assert image.size == wanted.shape[1::-1]
        assert np.abs(np.asarray(image, dtype=float) - wanted).mean() < 4


@pytest.mark.slow
def test_a_full_size_model_learns_a_task(tmp_path, save_clip, tiny_pipeline_folder):
    """CLIP ViT-B/16 with random weights: 149,620,737 parameters, two steps of GIFT."""
    text = {"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407}
    config = CLIPConfig(
        text_config={**text, "pad_token_id": 49407, "hidden_act": "quick_gelu"},
        vision_config={"patch_size": 16, "hidden_act": "quick_gelu"},
        projection_dim=512,
    )
    config.vision_config.hidden_size, config.vision_config.intermediate_size = 768, 3072
    save_clip(tmp_path / "vit-b-16", config)
    task = Task.from_folder(write_folder(tmp_path / "colours", count=3, size=300))
    learner = Learner.from_pretrained(
        tmp_path / "vit-b-16",
        method="gift",
        generator=tiny_pipeline_folder,
        paths=Paths.of(tmp_path / "home"),
        training={"iterations": 2, "batch_size": 2, "warmup": 1},
        synthesis={"images": 3, "steps": 1},
    )
    parameters = learner.model.trainable_parameters()
    assert sum(p.numel() for p in parameters.values()) + 1 == 149_620_737
    before = parameters["visual_projection.weight"].detach().clone()
    learner.learn(task)
    moved = (parameters["visual_projection.weight"].detach() - before).abs().max()
    assert 0 < moved < 1e-3
    learner.save(tmp_path / "mine")
    plain = CLIPModel.from_pretrained(tmp_path / "mine" / "learner" / "model")
    assert np.isclose(plain.logit_scale.exp().item(), learner.model.logit_scale.item())
