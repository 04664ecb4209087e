"""Make the pictures of docs/images: the concepts, the tasks and generated images.

python scripts/pictures.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gift.settings import load_recipe, locate
from gift.synthesis import DiffusersGenerator
from gift.text import fill
from gift_micro.concepts import CONCEPTS, TASK_FAMILIES, concepts_of
from gift_micro.images import TASK_TEMPLATES, draw_image
from gift_micro.rendering import render
from gift_micro.styles import CLEAN

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def sheet(rows: Sequence[Sequence[Image.Image]], zoom: int = 2, gap: int = 2) -> Image.Image:
    """Pictures side by side, enlarged without smoothing."""
    cell = 32 * zoom + gap
    page = Image.new("RGB", (cell * max(map(len, rows)) + gap, cell * len(rows) + gap), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            large = picture.resize((32 * zoom, 32 * zoom), Image.Resampling.NEAREST)
            page.paste(large, (gap + x * cell, gap + y * cell))
    return page


def in_rows(pictures: Sequence[Image.Image], width: int = 20) -> list[Sequence[Image.Image]]:
    """The pictures cut into rows."""
    return [pictures[start : start + width] for start in range(0, len(pictures), width)]


def generated() -> list[Image.Image]:
    """One image per concept by the shipped diffusion model, with the recipe's settings."""
    settings = load_recipe("micro", "gift")["synthesis"]
    generator = DiffusersGenerator(
        locate(settings["generator"]), steps=settings["steps"], guidance=settings["guidance"]
    )
    prompts = [
        fill(TASK_TEMPLATES.get(c.family, ("a photo of a {}.",))[0], c.name) for c in CONCEPTS
    ]
    pictures: list[Image.Image] = []
    for start in range(0, len(prompts), 50):
        seeds = range(start, min(start + 50, len(prompts)))
        pictures += generator.generate([prompts[seed] for seed in seeds], list(seeds))
    return pictures


def main() -> None:
    """Write all sheets."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    clean = [render(c, CLEAN, np.random.default_rng(i)) for i, c in enumerate(CONCEPTS)]
    tasks = [[draw_image(c, "train", 0) for c in concepts_of(f)] for f in TASK_FAMILIES]
    sheet(in_rows(clean)).save(IMAGES / "concepts.png", optimize=True)
    sheet(tasks).save(IMAGES / "tasks.png", optimize=True)
    sheet(in_rows(generated())).save(IMAGES / "generated.png", optimize=True)


if __name__ == "__main__":
    main()
