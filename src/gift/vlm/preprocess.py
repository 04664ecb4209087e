"""From an image to the model's input, in two steps.

The geometry gives small ``uint8`` arrays on the CPU, cheap to cache and to move; the arithmetic
runs where the model is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil
from transformers.image_utils import SizeDict

from gift.data.loader import Pixels

ImageProcessor: TypeAlias = CLIPImageProcessorPil | SiglipImageProcessorPil
"""The image processors whose steps are known here."""

Resize = Literal["shorter-side", "squash"]
"""Shorter side to S and the centre of the longer one; or both sides to S, whatever the shape."""

_LONGEST = 64
"""Resized images of at most this aspect ratio are made whole before the centre is cut out."""

_SUPPORT = 3
"""Pixels of the source, or of the result where that has fewer, that any of the filters reaches."""

_AREA = (0.9, 1.0)
_ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Preprocess:
    """How a model wants its images.

    Attributes:
        size: side S of the square input, in pixels.
        resize: how an image becomes a square.
        mean: mean of each RGB channel, for values in [0, 1].
        std: standard deviation of each RGB channel, for values in [0, 1].
        resample: the interpolation, as one of :class:`PIL.Image.Resampling`.
    """

    size: int
    resize: Resize
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: int

    @classmethod
    def from_processor(cls, processor: ImageProcessor) -> Preprocess:
        """The steps of a checkpoint's image processor.

        Raises:
            ValueError: it does anything else than: shorter side to S, centre crop S x S, or both
                sides to S; then values to [0, 1], normalise.
        """
        if not isinstance(processor, ImageProcessor):
            raise ValueError(
                f"the image processor is a {type(processor).__name__}; supported are those of "
                "CLIP and SigLIP. Set image_processor_type in preprocessor_config.json."
            )
        steps = ("do_resize", "do_rescale", "do_normalize")
        skipped = [step for step in steps if not getattr(processor, step)]
        crop = processor.crop_size if processor.do_center_crop else None
        square = _square(processor.size, crop)
        if skipped or square is None or not math.isclose(processor.rescale_factor, 1 / 255):
            sides, cropped = (
                {name: value for name, value in dict(given or {}).items() if value}
                for given in (processor.size, crop)
            )
            raise ValueError(
                f"the image processor has size {sides}, crop size {cropped}, "
                f"rescale factor {processor.rescale_factor} and skips "
                f"{', '.join(skipped) or 'nothing'}; supported is: shorter side to S, centre crop "
                "S x S, or both sides to S; then rescale by 1/255, normalise. Correct "
                "preprocessor_config.json."
            )
        mean, std = tuple(processor.image_mean), tuple(processor.image_std)
        return cls(*square, mean, std, int(processor.resample))

    @property
    def key(self) -> str:
        """A file name for caches: the same key means the same :meth:`test_array` of an image."""
        name = f"{self.resize}-{self.size}-{Image.Resampling(self.resample).name.lower()}"
        return f"{name}-centre" if self.resize == "shorter-side" else name

    def test_array(self, image: Image.Image) -> Pixels:
        """The deterministic transform: an RGB image to uint8 [S, S, 3]."""
        assert image.mode == "RGB"
        if self.resize == "squash":
            return np.array(image.resize((self.size, self.size), self.resample))
        width, height = image.size
        shorter = min(width, height)
        size = int(self.size * width / shorter), int(self.size * height / shorter)
        # Deviation: transformers' image processors round the centre down. The official code has
        # torchvision's rounding, to even. See docs/data.md, "Pitfalls".
        left, top = (round((side - self.size) / 2) for side in size)
        window = (left, top, left + self.size, top + self.size)
        if max(size) > _LONGEST * self.size:
            return np.array(_window(image, size, window, self.resample))
        return np.array(image.resize(size, self.resample).crop(window))

    def train_array(self, image: Image.Image, rng: np.random.Generator) -> Pixels:
        """The random transform: a crop of 90-100 % of the area, resized to S x S, never flipped.

        Args:
            image: of mode RGB, any size.
            rng: where the crop is sampled from; equal generators give equal crops.

        Returns:
            uint8 [S, S, 3].
        """
        assert image.mode == "RGB"
        # Crop first: with resize's own `box`, pixels outside the crop would bleed in at its border.
        crop = image.crop(random_crop_box(*image.size, rng))
        return np.array(crop.resize((self.size, self.size), self.resample))

    def normalize(self, pixels: Tensor) -> Tensor:
        """Scales to [0, 1], then subtracts the mean and divides by the standard deviation.

        uint8 [B, S, S, 3] on any device gives float32 [B, 3, S, S] there.
        """
        # One small transfer. A tensor as divisor also keeps the division exact on GPUs, where
        # dividing by a Python number multiplies by its rounded reciprocal.
        constants = torch.tensor([(255.0,) * 3, self.mean, self.std], device=pixels.device)
        white, mean, std = constants.view(3, 3, 1, 1)
        values = pixels.permute(0, 3, 1, 2).contiguous().float()
        normalized: Tensor = (values / white - mean) / std
        return normalized


def _square(size: SizeDict, crop: SizeDict | None) -> tuple[int, Resize] | None:
    """The side S to which a size and a centre crop bring images, and how; None if to no square."""
    side = size.shortest_edge or size.height
    cropped = (crop.height, crop.width) if crop else None
    if size.shortest_edge and cropped == (side, side):
        return side, "shorter-side"
    if size.width == size.height == side and cropped in {None, (side, side)}:
        return side, "squash"
    return None


def _window(
    image: Image.Image, size: tuple[int, int], window: tuple[int, int, int, int], resample: int
) -> Image.Image:
    """A window of a resized image, made without the rest of it.

    Equal to ``image.resize(size, resample).crop(window)`` but for rounding, with memory for the
    window alone: resized whole, an image of 6000 x 1 pixels would take gigabytes.
    """
    (width, height), (left, top, right, bottom) = image.size, window
    across, down = width / size[0], height / size[1]
    reach = math.ceil(_SUPPORT * max(1.0, across, down))
    near = (
        max(0, math.floor(left * across) - reach),
        max(0, math.floor(top * down) - reach),
        min(width, math.ceil(right * across) + reach),
        min(height, math.ceil(bottom * down) + reach),
    )
    box = (
        max(0.0, left * across - near[0]),
        max(0.0, top * down - near[1]),
        min(right * across, width) - near[0],
        min(bottom * down, height) - near[1],
    )
    return image.crop(near).resize((right - left, bottom - top), resample, box)


def random_crop_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Samples a crop of 90-100 % of the area, with an aspect ratio log-uniform in [3/4, 4/3].

    After ten that do not fit into the image, it is the largest central one of an allowed aspect
    ratio.

    Returns:
        (left, top, right, bottom) in pixels, inside the image of that width and height.
    """
    for _ in range(10):
        area = width * height * rng.uniform(*_AREA)
        aspect = math.exp(rng.uniform(math.log(_ASPECT[0]), math.log(_ASPECT[1])))
        crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left = int(rng.integers(width - crop_width + 1))
            top = int(rng.integers(height - crop_height + 1))
            return left, top, left + crop_width, top + crop_height
    crop_width = min(width, max(1, round(height * _ASPECT[1])))
    crop_height = min(height, max(1, round(width / _ASPECT[0])))
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return left, top, left + crop_width, top + crop_height
