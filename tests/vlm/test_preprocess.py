from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

from gift.vlm.preprocess import Preprocess, random_crop_box


def processor(side: int = 32, **changes: Any) -> CLIPImageProcessorPil:
    crop = {"height": side, "width": side}
    return CLIPImageProcessorPil(**({"size": {"shortest_edge": side}, "crop_size": crop} | changes))


def noise(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    rgb = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return rgb.quantize(16) if mode == "P" else rgb.convert(mode)


@pytest.mark.parametrize("side", [32, 37, 224])
@pytest.mark.parametrize("size", [(500, 375), (224, 224), (1, 1)])
def test_the_test_transform_is_the_checkpoints_own(side: int, size: tuple[int, int]) -> None:
    ours, theirs, image = Preprocess.from_processor(processor(side)), processor(side), noise(*size)
    pixels = torch.from_numpy(ours.test_array(image))[None]
    expected = theirs(image, return_tensors="pt").pixel_values
    assert pixels.dtype == torch.uint8
    assert ours.normalize(pixels).dtype == torch.float32
    assert torch.equal(ours.normalize(pixels), expected)


def torchvision(image: Image.Image, side: int) -> np.ndarray[Any, Any]:
    """Its Resize and CenterCrop, as the official code composes them for PIL images."""
    width, height = image.size
    if width <= height:
        new_width, new_height = side, int(side * height / width)
    else:
        new_width, new_height = int(side * width / height), side
    resized = np.array(image.resize((new_width, new_height), Image.Resampling.BICUBIC))
    top, left = round((new_height - side) / 2.0), round((new_width - side) / 2.0)
    return resized[top : top + side, left : left + side]


@given(width=st.integers(1, 99), height=st.integers(1, 99), side=st.sampled_from([8, 9]))
def test_the_centre_is_torchvisions(width: int, height: int, side: int) -> None:
    ours, image = Preprocess.from_processor(processor(side)), noise(width, height)
    difference = ours.test_array(image).astype(int) - torchvision(image, side)
    is_thin = max(width, height) > 64 * min(width, height)
    assert abs(difference).max() <= int(is_thin)


@pytest.mark.parametrize("size", [(6000, 1), (1, 6000), (700, 3)])
def test_a_thin_image_is_never_resized_whole(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, image = Preprocess.from_processor(processor(24)), noise(*size)
    expected, made = torchvision(image, 24), []
    resize = Image.Image.resize

    def spy(self: Image.Image, size: tuple[int, int], *arguments: Any) -> Image.Image:
        made.append(size)
        return resize(self, size, *arguments)

    monkeypatch.setattr(Image.Image, "resize", spy)
    assert abs(ours.test_array(image).astype(int) - expected).max() <= 1
    assert made == [(24, 24)]


@pytest.mark.parametrize("resample", list(Image.Resampling))
@pytest.mark.parametrize("size", [(500, 375), (33, 90), (32, 32), (1, 1)])
def test_both_sides_are_squashed_where_the_checkpoint_does_so(
    size: tuple[int, int], resample: Image.Resampling
) -> None:
    square = {"height": 32, "width": 32}
    theirs, image = SiglipImageProcessorPil(size=square, resample=resample), noise(*size)
    ours = Preprocess.from_processor(theirs)
    pixels = torch.from_numpy(ours.test_array(image))[None]
    expected = theirs(image, return_tensors="pt").pixel_values
    assert torch.equal(ours.normalize(pixels), expected)
    assert ours == replace(
        Preprocess.from_processor(processor(size=square)),
        resample=resample,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA", "CMYK", "P"])
def test_images_converted_by_pil_are_seen_as_the_checkpoint_sees_them(mode: str) -> None:
    ours, image = Preprocess.from_processor(processor()), noise(51, 40, mode).convert("RGB")
    expected = processor()(image, return_tensors="pt").pixel_values
    assert torch.equal(ours.normalize(torch.from_numpy(ours.test_array(image))[None]), expected)


def test_normalize_is_exact_for_every_value() -> None:
    ours = Preprocess.from_processor(processor())
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(-1, -1, -1, 3)
    for channel in range(3):
        value = np.arange(256, dtype=np.float32) / np.float32(255)
        mean, std = np.float32(ours.mean[channel]), np.float32(ours.std[channel])
        expected = torch.from_numpy((value - mean) / std).view(16, 16)
        assert torch.equal(ours.normalize(pixels)[0, channel], expected)


def test_the_train_transform_crops_resizes_and_depends_on_the_generator_alone() -> None:
    ours, image = Preprocess.from_processor(processor()), noise(120, 100)
    first = ours.train_array(image, np.random.default_rng(3))
    box = random_crop_box(120, 100, np.random.default_rng(3))
    expected = image.crop(box).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(first, np.array(expected))
    assert first.shape == (32, 32, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, ours.train_array(image, np.random.default_rng(3)))
    assert not np.array_equal(first, ours.train_array(image, np.random.default_rng(4)))


def test_the_train_transform_never_flips() -> None:
    ours = Preprocess.from_processor(processor())
    image = Image.fromarray(np.tile(np.arange(100, dtype=np.uint8) * 2, (100, 1))).convert("RGB")
    rng = np.random.default_rng(0)
    for _ in range(50):
        row = ours.train_array(image, rng)[16, :, 0].astype(int)
        assert row[-1] > row[0]


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 1000))
def test_random_crops_lie_inside_the_image(width: int, height: int, seed: int) -> None:
    left, top, right, bottom = random_crop_box(width, height, np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_random_crops_have_the_published_areas_and_aspects() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([random_crop_box(1000, 1000, rng) for _ in range(2000)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area, log_aspect = width * height / 1e6, np.log(width / height)
    assert 0.899 < area.min() < 0.902
    assert 0.99 < area.max() <= 1
    # Only aspects within 0.9 and 1/0.9 leave room in a square; wide and tall are equally likely.
    assert np.abs(log_aspect).max() < np.log(1 / 0.899)
    assert abs(log_aspect.mean()) < 0.005
    # The position is uniform over the places where the crop fits.
    room = width < 990
    assert abs((boxes[room, 0] / (1000 - width[room])).mean() - 0.5) < 0.03


@pytest.mark.parametrize(
    ("size", "box"), [((33, 90), (0, 23, 33, 67)), ((90, 33), (23, 0, 67, 33))]
)
def test_a_long_image_falls_back_to_its_central_crop(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    assert random_crop_box(*size, np.random.default_rng(0)) == box


def test_the_key_tells_deterministic_transforms_apart() -> None:
    kinds = [processor(), processor(48), processor(resample=Image.Resampling.BILINEAR)]
    kinds.append(processor(size={"height": 32, "width": 32}))
    assert len({Preprocess.from_processor(kind).key for kind in kinds}) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"crop_size": {"height": 30, "width": 32}},
        {"size": {"height": 32, "width": 48}},
        {"size": {"height": 48, "width": 48}},
        {"do_center_crop": False},
        {"do_normalize": False},
        {"rescale_factor": 1 / 127.5},
    ],
)
def test_other_image_processors_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"supported is.*Correct preprocessor_config"):
        Preprocess.from_processor(processor(**changes))
