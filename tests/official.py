"""Miniatures of public data sets in the layouts in which they are published."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from gift.data import DatasetEntry, class_list, label_list, load_dataset
from gift.data.entries import Counts

Labels = Mapping[str, int]
"""Path below the data set's folder -> label."""


@dataclass(frozen=True)
class Miniature:
    """What was written: its folder, and the label of every image by part."""

    root: Path
    parts: Mapping[str, Labels]

    def count(self, part: str) -> int:
        return len(self.parts[part])


def jpeg() -> bytes:
    stream = BytesIO()
    Image.effect_noise((24, 24), 60).convert("RGB").save(stream, "JPEG")
    return stream.getvalue()


JPEG = jpeg()


def write_images(root: Path, parts: Mapping[str, Labels]) -> Miniature:
    for labels in parts.values():
        for name in labels:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(JPEG)
    return Miniature(root, parts)


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def aircraft(root: Path) -> Miniature:
    names, parts, number = class_list("aircraft"), {}, 0
    for word, part in {"train": "train", "val": "validation", "test": "test"}.items():
        labels = {}
        for label in reversed(range(len(names))):
            number += 1
            labels[f"images/{number:07d}.jpg"] = label
        parts[part] = labels
        lines = [f"{Path(file).stem} {names[label]}" for file, label in labels.items()]
        write_lines(root / f"images_variant_{word}.txt", lines)
    write_lines(root / "variants.txt", list(names))
    return write_images(root, parts)


def caltech101(root: Path) -> Miniature:
    categories = label_list("caltech101")
    labels = {
        f"{name}/image_{n:04d}.jpg": label
        for label, name in enumerate(categories)
        for n in range(1, 8)
    }
    (root / "BACKGROUND_Google").mkdir(parents=True)
    (root / "BACKGROUND_Google" / "image_0001.jpg").write_bytes(JPEG)
    return write_images(root, {"all": labels})


def eurosat(root: Path) -> Miniature:
    labels = {
        f"{name}/{name}_{n}.jpg": label
        for label, name in enumerate(label_list("eurosat"))
        for n in range(1, 13)
    }
    return write_images(root, {"all": labels})


def sun397(root: Path) -> Miniature:
    scenes = label_list("sun397")
    write_lines(root / "ClassName.txt", list(scenes))
    labels = {
        f"{scene[1:]}/sun_{n:02d}.jpg": label
        for label, scene in enumerate(scenes)
        for n in range(7)
    }
    return write_images(root, {"all": labels})


def cifar100(root: Path) -> Miniature:
    """The label is the value of every pixel; images are called by part and position."""
    root.mkdir(parents=True)
    names = [name.encode() for name in label_list("cifar100")]
    (root / "meta").write_bytes(pickle.dumps({b"fine_label_names": names}, protocol=2))
    parts = {}
    for part, count in {"train": 2, "test": 1}.items():
        labels = np.random.default_rng(0).permutation(np.repeat(np.arange(100), count))
        data = np.repeat(labels[:, None], 3072, axis=1).astype(np.uint8)
        content = {b"data": data, b"fine_labels": labels.tolist()}
        (root / part).write_bytes(pickle.dumps(content, protocol=2))
        parts[part] = {f"{part} {n}": int(label) for n, label in enumerate(labels)}
    return Miniature(root, parts)


def dtd(root: Path) -> Miniature:
    parts, names = {}, class_list("dtd")
    for number, (word, part) in enumerate(
        {"train1": "train", "val1": "validation", "test1": "test"}.items()
    ):
        labels = {f"{n}/{n}_{number:04d}.jpg": label for label, n in enumerate(names)}
        write_lines(root / "labels" / f"{word}.txt", list(labels))
        parts[part] = {f"images/{name}": label for name, label in labels.items()}
    return write_images(root, parts)


def flowers(root: Path) -> Miniature:
    labels = np.random.default_rng(1).permutation(np.tile(np.arange(102), 4))
    numbers = np.random.default_rng(2).permutation(len(labels)) + 1
    by_class = [numbers[labels[numbers - 1] == label] for label in range(102)]
    split = {
        "train": np.array([members[0] for members in by_class]),
        "validation": np.array([members[1] for members in by_class]),
        "test": np.concatenate([members[2:] for members in by_class]),
    }
    root.mkdir(parents=True)
    savemat(root / "imagelabels.mat", {"labels": (labels + 1)[None].astype(np.uint8)})
    words = dict(zip(("trnid", "valid", "tstid"), split.values(), strict=True))
    savemat(root / "setid.mat", {word: chosen[None] for word, chosen in words.items()})
    parts = {
        part: {f"jpg/image_{n:05d}.jpg": int(labels[n - 1]) for n in chosen}
        for part, chosen in split.items()
    }
    return write_images(root, parts)


def food(root: Path) -> Miniature:
    parts = {}
    for offset, part in enumerate(("train", "test")):
        dishes = {
            name: [f"{name}/{100 * offset + n}" for n in range(2)]
            for name in reversed(label_list("food"))
        }
        (root / "meta").mkdir(parents=True, exist_ok=True)
        (root / "meta" / f"{part}.json").write_text(json.dumps(dishes))
        order = sorted(dishes)
        parts[part] = {
            f"images/{file}.jpg": order.index(dish)
            for dish, files in dishes.items()
            for file in files
        }
    return write_images(root, parts)


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def mnist(root: Path) -> Miniature:
    """The label is the value of every pixel; images are called by part and position."""
    parts = {}
    for word, (part, count) in {"train": ("train", 30), "t10k": ("test", 20)}.items():
        labels = np.arange(count) * 7 % 10
        pixels = np.tile(labels[:, None, None], (1, 28, 28))
        write_idx(root / f"{word}-images-idx3-ubyte", pixels)
        write_idx(root / f"{word}-labels-idx1-ubyte", labels)
        parts[part] = {f"{part} {n}": int(label) for n, label in enumerate(labels)}
    return Miniature(root, parts)


def oxfordpet(root: Path) -> Miniature:
    breeds, parts = label_list("oxfordpet"), {}
    for offset, (word, part) in enumerate({"trainval": "train", "test": "test"}.items()):
        names = {f"{breed}_{offset + 1}": label for label, breed in enumerate(breeds)}
        lines = [f"{name} {label + 1} 1 1" for name, label in names.items()]
        write_lines(root / "annotations" / f"{word}.txt", lines)
        parts[part] = {f"images/{name}.jpg": label for name, label in names.items()}
    return write_images(root, parts)


def stanfordcars(root: Path) -> Miniature:
    names, parts = class_list("stanfordcars"), {}
    listings = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    (root / "devkit").mkdir(parents=True)
    listed = np.array([list(names)], dtype=object)
    savemat(root / "devkit/cars_meta.mat", {"class_names": listed})
    for part, listing in listings.items():
        labels = np.random.default_rng(3).permutation(len(names))
        files = [f"{n:05d}.jpg" for n in range(1, len(labels) + 1)]
        rows = np.zeros((1, len(labels)), dtype=[("class", "O"), ("fname", "O")])
        rows["class"][0], rows["fname"][0] = labels + 1, files
        savemat(root / listing, {"annotations": rows})
        pairs = zip(files, labels, strict=True)
        parts[part] = {f"cars_{part}/{file}": int(label) for file, label in pairs}
    return write_images(root, parts)


def tinyimagenet(root: Path) -> Miniature:
    wnids = label_list("tinyimagenet")
    write_lines(root / "wnids.txt", list(wnids))
    train = {f"train/{w}/images/{w}_{n}.JPEG": k for k, w in enumerate(wnids) for n in (0, 10)}
    test = {f"val/images/val_{n}.JPEG": 7 * n % 200 for n in range(200)}
    lines = [f"{Path(file).name}\t{wnids[label]}\t0\t0\t9\t9" for file, label in test.items()]
    write_lines(root / "val" / "val_annotations.txt", lines)
    return write_images(root, {"train": train, "test": test})


def imagenet100(root: Path) -> Miniature:
    wnids = label_list("imagenet100")
    train = {f"train/{w}/{w}_{n}.JPEG": k for k, w in enumerate(wnids) for n in (1, 2)}
    test = {f"val/{w}/ILSVRC2012_val_{k:08d}.JPEG": k for k, w in enumerate(wnids)}
    other = {f"{part}/n99999999/x_1.JPEG": 0 for part in ("train", "val")}
    write_images(root, {"other": other})
    return write_images(root, {"train": train, "test": test})


BUILDERS: Mapping[str, Callable[[Path], Miniature]] = {
    make.__name__: make
    for make in (
        aircraft,
        caltech101,
        cifar100,
        dtd,
        eurosat,
        flowers,
        food,
        imagenet100,
        mnist,
        oxfordpet,
        stanfordcars,
        sun397,
        tinyimagenet,
    )
}


def miniature(name: str, data_root: Path) -> tuple[DatasetEntry, Miniature]:
    """Write a miniature below the data root; its entry with the numbers of its images."""
    entry = load_dataset(name)
    made = BUILDERS[name](data_root / entry.source.path)
    if "all" in made.parts:
        train = int(0.8 * made.count("all"))
        counts = {"train": train, "test": made.count("all") - train}
    else:
        counts = {part: made.count(part) for part in made.parts}
    return entry.model_copy(update={"counts": Counts(**counts)}), made
