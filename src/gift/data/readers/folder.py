"""A folder with one folder per class, alone or below ``train``, ``test`` and ``validation``."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from gift.data.images import image_problem
from gift.data.readers import Splits
from gift.text import check_name, nfc, one_line, some_of, unknown

log = logging.getLogger(__name__)

_FILLER = "data|dataset|files?|folder|images?|img|imgs|photos?|pictures?|samples?|set|sets|split"
_SPLIT = re.compile(
    rf"(?:{_FILLER})*"
    "(?:(?P<train>train|training|trainval|trn)"
    "|(?P<test>tests?|testing|tst|eval|evaluat(?:e|ion|ing)|h[eo]ldout)"
    "|(?P<validation>val|vali|valid|validat(?:e|ion|ing)|dev|devel|development|tune|tuning))"
    rf"(?:{_FILLER})*"
)
"""Folder names of splits: letters alone, in lower case."""

_ORDER = ("train", "test", "validation")

_SYSTEM_FILES = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "__macosx", "@eadir"),
    *("$recycle.bin", "system volume information"),
}
"""What file managers leave behind, in lower case; like hidden files, it belongs to no data set."""

_SHOWN = 20

ClassFolders = tuple[list[Path], list[str]]
"""Images and the name of each one's folder."""


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read an image folder. Links are followed: data sets are often on another disk."""
    return dict(scan(root, follow_links=True))


def class_name(folder: str) -> str:
    """The class name that a folder's name spells, with its accents composed (Unicode's NFC).

    >>> class_name("sea_lion")
    'sea lion'
    """
    return " ".join(nfc(folder).replace("_", " ").split())


def split_name(folder: str) -> str | None:
    """The split that a folder's name stands for; None where it stands for none.

    >>> [split_name(name) for name in ("Train", "valid", "test_set", "val2017", "daisy")]
    ['train', 'validation', 'test', 'validation', None]
    """
    if not folder.isascii():
        return None
    found = _SPLIT.fullmatch(re.sub(r"[\W\d_]", "", folder.lower()))
    return found.lastgroup if found else None


def scan(
    path: Path,
    *,
    follow_links: bool = False,
    nested: bool = False,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, ClassFolders]:
    """List the images of a folder, sorted by class folder and name.

    Folders whose names differ in how their accents are written alone are one class, which goes by
    the name that comes first.

    A folder is split when it has a training split (``train``, or a name that :func:`split_name`
    knows) and no other folders than splits, or when one of the splits has sub-folders itself. (A
    folder ``train`` that holds images beside other classes is a class.)

    What is not read is logged in one warning: files in no image format, broken links, pipes, and
    folders beside the splits. Hidden files and those of file managers are ignored.

    Args:
        path: the folder, or a link to it.
        follow_links: whether links inside it may lead out of it.
        nested: whether the images in sub-folders of a class folder belong to the class, too.
        renamed: folder (with composed accents) -> class name, of folders whose name is not that of
            their class; several folders of one name are one class.

    Raises:
        FileNotFoundError: no folder at ``path``.
        ValueError: another layout, an empty class, two folders that spell one class name or one
            split, splits with different classes or common files, a link out of the folder, a
            class folder whose name is not one line of text, or a renamed folder that is not there.
            All problems are told at once.
    """
    if not path.is_dir():
        raise FileNotFoundError(
            f"{one_line(path)} is not a folder; give a folder with one folder per class."
        )
    found = _Scan(path, None if follow_links else path, nested, renamed)
    splits = found.splits()
    if found.problems:
        raise ValueError(_all_of(path, found.problems))
    if found.unread:
        log.warning("%s: %s.", one_line(path), _not_read(found.unread))
    return splits


@dataclass
class _Folder:
    """The visible content of a folder, each kind in byte order."""

    folders: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


@dataclass
class _Scan:
    """One look through a folder, which collects what is wrong and what is not read.

    Attributes:
        root: the folder.
        within: links may not lead out of this folder; None: they are followed.
        nested: whether sub-folders of a class folder belong to the class.
        renamed: folder with composed accents -> class name.
        spelling: class folder with composed accents -> the first that is spelled so.
        problems: messages about what cannot be used.
        unread: what is not read, relative to the root, with the reason.
    """

    root: Path
    within: Path | None
    nested: bool
    renamed: Mapping[str, str]
    spelling: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def splits(self) -> dict[str, ClassFolders]:
        """The images of every split; those of a folder without splits are for training."""
        found = self._splits()
        if self.spelling:
            self.problems += [
                f"{one_line(self.root)}: {unknown('class folder', name, self.spelling.values())}"
                for name in self.renamed
                if name not in self.spelling
            ]
        return found

    def _splits(self) -> dict[str, ClassFolders]:
        top = self._look(self.root)
        role = {name: split for name in top.folders if (split := split_name(name))}
        holds_classes = any(self._has_folders(self.root / name) for name in role)
        if "train" not in role.values():
            if holds_classes:
                some = next(iter(role))
                self.problems.append(
                    f"{self.root} has {some}/ and no training split; name the folder with the "
                    f"images to learn 'train', or give {self.root / some} itself."
                )
                return {}
            return {"train": self._classes(self.root, top)}
        if not holds_classes and len(role) < len(top.folders):
            return {"train": self._classes(self.root, top)}
        if top.images:
            self.problems.append(
                f"{self.root} holds images beside its splits; put them into class folders."
            )
        splits: dict[str, ClassFolders] = {}
        folder_of: dict[str, str] = {}
        for name, split in role.items():
            if split in folder_of:
                self.problems.append(
                    f"{self.root} has both {folder_of[split]}/ and {name}/, which are both named "
                    f"as its {split} split; keep one of them."
                )
                continue
            folder_of[split] = name
            splits[split] = self._classes(self.root / name, self._look(self.root / name))
        classes = set(splits["train"][1])
        for name in top.folders:
            if name not in role:
                self._beside(name, classes)
        self._compare(splits, folder_of)
        return {split: splits[split] for split in _ORDER if split in splits}

    def _classes(self, path: Path, content: _Folder) -> ClassFolders:
        """The images of one folder per class."""
        if content.images:
            self.problems.append(
                f"{path} holds images without class folders; put them into one folder per class."
            )
        if not content.folders:
            if not content.images:
                self.problems.append(f"{path} has no class folders; make one folder per class.")
            return [], []
        spelled: dict[str, str] = {}
        files: list[Path] = []
        labels: list[str] = []
        for folder in content.folders:
            try:
                check_name(f"{path}: the folder", folder)
            except ValueError as error:
                self.problems.append(str(error))
                continue
            label = self.spelling.setdefault(nfc(folder), folder)
            first = spelled.setdefault(self._class_of(label), label)
            if first != label and not self.renamed.keys() & {nfc(first), nfc(label)}:
                self.problems.append(
                    f"{path}: the folders {first!r} and {folder!r} both spell the class "
                    f"{class_name(folder)!r}; merge or rename one, or map both to one class name "
                    "(--rename)."
                )
            images = self._images_of(path / folder)
            files += images
            labels += [label] * len(images)
        return files, labels

    def _class_of(self, folder: str) -> str:
        return self.renamed.get(nfc(folder)) or class_name(folder)

    def _images_of(self, path: Path) -> list[Path]:
        """The images of one class."""
        before = len(self.unread)
        content = self._look(path)
        images = [path / name for name in content.images]
        if self.nested:
            for name in content.folders:
                images += self._images_below(path / name, (os.path.realpath(path),))
        elif content.folders:
            self.problems.append(
                f"{path} holds folders ({some_of(content.folders)}), but images must lie directly "
                "in their class folder; move them up, give the folder that holds the class "
                "folders, or count sub-folders to their class with nested=True (--nested)."
            )
            return images
        if not images:
            lost = self.unread[before:]
            inside = f" ({_not_read(lost)})" if lost else ""
            self.problems.append(f"{path} holds no images{inside}; add some or remove the folder.")
        return images

    def _images_below(self, path: Path, above: tuple[str, ...]) -> list[Path]:
        """The images in a sub-folder of a class and in those below it."""
        real = os.path.realpath(path)
        if real in above:
            name = os.path.relpath(path, self.root)
            self.unread.append(one_line(f"{name} (a link to a folder that it lies in)"))
            return []
        content = self._look(path)
        images = [path / name for name in content.images]
        for name in content.folders:
            images += self._images_below(path / name, (*above, real))
        return images

    def _beside(self, name: str, classes: set[str]) -> None:
        """A folder beside the splits whose name stands for none of them."""
        inside = self._look(self.root / name, aside=True).folders
        if classes.intersection(inside):
            self.problems.append(
                f"{self.root / name} has the same class folders as the training split, but its "
                "name is that of no split; rename it to 'test' or 'validation', or move it away."
            )
        else:
            self.unread.append(one_line(f"{name}/ (a folder beside the splits)"))

    def _compare(self, splits: dict[str, ClassFolders], folder_of: dict[str, str]) -> None:
        """Splits must have the same classes, and no file in common."""
        classes = set(map(self._class_of, splits["train"][1]))
        for split, (_, labels) in splits.items():
            others = set(map(self._class_of, labels))
            if classes and others and (different := sorted(classes ^ others)):
                where = [
                    f"{n} only in {folder_of['train' if n in classes else split]}"
                    for n in different
                ]
                self.problems.append(
                    f"{self.root}: {folder_of['train']} and {folder_of[split]} must have the same "
                    f"classes, but {some_of(where)}."
                )
        folder = cache(os.path.realpath)  # files are many, folders few
        owner: dict[str, tuple[str, Path]] = {}
        for split, (files, _) in splits.items():
            for path in files:
                is_link = path.is_symlink()
                real = os.path.realpath(path) if is_link else f"{folder(path.parent)}/{path.name}"
                other, first = owner.setdefault(real, (split, path))
                if other != split:
                    self.problems.append(
                        f"{one_line(first)} ({other}) and {one_line(path)} ({split}) are the same "
                        "file; an image may belong to one split only."
                    )

    def _has_folders(self, path: Path) -> bool:
        return bool(self._look(path, aside=True).folders)

    def _look(self, path: Path, *, aside: bool = False) -> _Folder:
        """What a folder holds; links out of :attr:`within` are problems.

        Args:
            path: the folder.
            aside: a look at its sub-folders alone, of which nothing is remembered.
        """
        content = _Folder()
        try:
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            if not aside:
                self.problems.append(
                    f"{one_line(path)} cannot be listed ({error.strerror}); make it readable, or "
                    "remove it."
                )
            return content
        for entry in found:
            if entry.name.startswith(".") or entry.name.casefold() in _SYSTEM_FILES:
                continue
            if entry.is_symlink() and (problem := self._link_problem(entry)):
                if not aside:
                    self.problems.append(problem)
            elif _is(entry.is_dir):
                content.folders.append(entry.name)
            elif not aside:
                self._sort_file(entry, content)
        return content

    def _sort_file(self, entry: os.DirEntry[str], content: _Folder) -> None:
        if _is(entry.is_file):
            problem = image_problem(Path(entry.path))
        else:
            problem = "a broken link" if entry.is_symlink() else "no regular file"
        if problem is None:
            content.images.append(entry.name)
        else:
            name = os.path.relpath(entry.path, self.root)
            self.unread.append(one_line(f"{name} ({problem})"))

    def _link_problem(self, entry: os.DirEntry[str]) -> str | None:
        """The message about a link that leads out of the folder; None for any other."""
        if self.within is None:
            return None
        root, target = os.path.realpath(self.within), os.path.realpath(entry.path)
        if os.path.commonpath([root, target]) == root:
            return None
        return (
            f"{one_line(entry.path)} is a link to {one_line(target)}, out of "
            f"{one_line(self.within)}; put the files themselves there, or give follow_links=True "
            "(--follow-links) if you trust whoever made the folder."
        )


def _is(question: Callable[[], bool]) -> bool:
    """What a directory entry answers; False for a link that leads round in a circle."""
    try:
        return question()
    except OSError:
        return False


def _all_of(path: Path, problems: list[str]) -> str:
    """One message with all problems of a folder."""
    if len(problems) == 1:
        return problems[0]
    more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    head = f"{len(problems)} problems in {one_line(path)}:"
    return "\n".join([head, *(f"- {problem}" for problem in problems[:_SHOWN]), *more])


def _not_read(names: list[str]) -> str:
    """How many things are not read as images, and the first of them."""
    return f"{len(names)} not read as images: {some_of(names)}"
