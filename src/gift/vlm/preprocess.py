"""From an image to the model's input, in two steps.

The geometry gives small ``uint8`` arrays on the CPU, cheap to cache and to move; the arithmetic
runs where the model is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessorPil

Pixels = npt.NDArray[np.uint8]

_AREA = (0.9, 1.0)
_ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Preprocess:
    """How a model wants its images.

    Attributes:
        size: side S of the square input, in pixels.
        mean: mean of each RGB channel, for values in [0, 1].
        std: standard deviation of each RGB channel, for values in [0, 1].
        resample: the interpolation, as one of :class:`PIL.Image.Resampling`.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: int

    @classmethod
    def from_processor(cls, processor: CLIPImageProcessorPil) -> Preprocess:
        """The steps of a checkpoint's image processor.

        Raises:
            ValueError: it does anything else than: shorter side to S, centre crop S x S, values
                to [0, 1], normalise.
        """
        side = processor.size.shortest_edge
        crop = (processor.crop_size.height, processor.crop_size.width)
        steps = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
        skipped = [step for step in steps if not getattr(processor, step)]
        if skipped or crop != (side, side) or not math.isclose(processor.rescale_factor, 1 / 255):
            raise ValueError(
                f"the image processor has size {dict(processor.size)}, crop size {crop}, rescale "
                f"factor {processor.rescale_factor} and skips {', '.join(skipped) or 'nothing'}; "
                "supported is: shorter side to S, centre crop S x S, rescale by 1/255, normalise. "
                "Correct preprocessor_config.json."
            )
        return cls(
            size=side,
            mean=tuple(processor.image_mean),
            std=tuple(processor.image_std),
            resample=int(processor.resample),
        )

    @property
    def key(self) -> str:
        """A file name for caches: the same key means the same :meth:`test_array` of an image."""
        return f"shorter-side-{self.size}-{Image.Resampling(self.resample).name.lower()}-centre"

    def test_array(self, image: Image.Image) -> Pixels:
        """The deterministic transform: shorter side to S, centre crop.

        Args:
            image: of mode RGB, any size.

        Returns:
            uint8 array of shape [S, S, 3], RGB.
        """
        assert image.mode == "RGB"
        width, height = image.size
        shorter = min(width, height)
        new_width = int(self.size * width / shorter)
        new_height = int(self.size * height / shorter)
        resized = image.resize((new_width, new_height), self.resample)
        left, top = (new_width - self.size) // 2, (new_height - self.size) // 2
        return np.array(resized.crop((left, top, left + self.size, top + self.size)))

    def train_array(self, image: Image.Image, rng: np.random.Generator) -> Pixels:
        """The random transform: a crop of 90-100 % of the area, resized to S x S, never flipped.

        Args:
            image: of mode RGB, any size.
            rng: where the crop is drawn from; equal generators give equal crops.

        Returns:
            uint8 array of shape [S, S, 3], RGB.
        """
        assert image.mode == "RGB"
        # Crop first: with resize's own `box`, pixels outside the crop would bleed in at its border.
        crop = image.crop(random_crop_box(*image.size, rng))
        return np.array(crop.resize((self.size, self.size), self.resample))

    def normalize(self, pixels: Tensor) -> Tensor:
        """Scales to [0, 1], then subtracts the mean and divides by the standard deviation.

        Args:
            pixels: uint8 [B, S, S, 3] on any device.

        Returns:
            float32 [B, 3, S, S] on the same device.
        """
        # One small transfer. A tensor as divisor also keeps the division exact on GPUs, where
        # dividing by a Python number multiplies by its rounded reciprocal.
        constants = torch.tensor([(255.0,) * 3, self.mean, self.std], device=pixels.device)
        white, mean, std = constants.view(3, 3, 1, 1)
        values = pixels.permute(0, 3, 1, 2).contiguous().float()
        normalized: Tensor = (values / white - mean) / std
        return normalized


def random_crop_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Draws a crop of 90-100 % of the area, with an aspect ratio log-uniform in [3/4, 4/3].

    After ten draws that do not fit into the image, the largest central crop with an allowed aspect
    ratio is taken.

    Args:
        width: of the image, in pixels.
        height: of the image, in pixels.
        rng: where the crop is drawn from.

    Returns:
        (left, top, right, bottom) in pixels, inside the image.
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
