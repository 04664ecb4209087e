"""Extensions by other packages; the micro benchmark is one."""

from __future__ import annotations

import sys

import pytest

from gift import plugins
from gift.plugins import Catalogue
from gift.settings import locate


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Install a package ``other`` with the given module text and entry points."""

    def register(module, points):
        info = tmp_path / "other-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
        (info / "entry_points.txt").write_text(points)
        (tmp_path / "other.py").write_text(module)
        monkeypatch.syspath_prepend(tmp_path)
        plugins.catalogues.cache_clear()

    yield register
    sys.modules.pop("other", None)
    plugins.catalogues.cache_clear()


def test_the_micro_benchmark_registers_itself():
    assert list(plugins.catalogues()) == ["gift", "micro"]
    assert {"micro-1", "mtil-1"} <= set(plugins.shipped_files("benchmarks", ".yaml"))
    assert set(plugins.shipped_models()) == {"micro/clip", "micro/diffusion"}


def test_a_package_brings_a_catalogue(register, tmp_path):
    register(
        "from pathlib import Path\nfrom gift.plugins import Catalogue\n"
        "made = []\n"
        "C = Catalogue(\n"
        "    Path(__file__).parent / 'c', lambda *given: made.append(given), {'gan': 'zoo build'}\n"
        ")\n",
        "[gift.catalogues]\nzoo = other:C\n",
    )
    for folder in ("models/clip", "classnames"):
        (tmp_path / "c" / folder).mkdir(parents=True)
    for name in ("zebras", "imagenet"):
        (tmp_path / "c" / "classnames" / f"{name}.txt").write_text("zebra\n")
    lists = plugins.shipped_files("classnames", ".txt")
    assert lists["zebras"].is_relative_to(tmp_path)
    assert not lists["imagenet"].is_relative_to(tmp_path)  # the library's own comes first
    assert locate("builtin:zoo/clip") == str(tmp_path / "c" / "models" / "clip")
    with pytest.raises(ValueError, match="is not shipped; build it with 'zoo build', once"):
        locate("builtin:zoo/gan")
    with pytest.raises(ValueError, match=r"is not shipped and not in .*built; build it"):
        locate("builtin:zoo/gan", tmp_path / "built")
    (tmp_path / "built" / "zoo" / "gan").mkdir(parents=True)
    built = locate("builtin:zoo/gan", tmp_path / "built")
    assert built == str(tmp_path / "built" / "zoo" / "gan")
    with pytest.raises(ValueError, match="Did you mean 'zoo/gan'"):
        locate("builtin:zoo/gam", tmp_path / "built")
    plugins.maker("zoo")("zebras", tmp_path, 3)
    assert sys.modules["other"].made == [("zebras", tmp_path, 3)]
    with pytest.raises(ValueError, match=r"unknown catalogue 'zooo'. Did you mean 'zoo'"):
        plugins.maker("zooo")


@pytest.mark.parametrize(
    ("module", "reason"),
    [("1 / 0", "ZeroDivisionError"), ("C = 3", "other:C is a int, not a Catalogue")],
)
def test_a_broken_package_is_skipped_with_a_warning(register, caplog, module, reason):
    register(module, "[gift.catalogues]\nzoo = other:C\n")
    assert "zoo" not in plugins.catalogues()
    (record,) = caplog.records
    assert "'zoo' of other is skipped" in record.message
    assert reason in record.message
    assert isinstance(plugins.catalogues()["micro"], Catalogue)
