"""Text and YAML files as editors save them."""

from __future__ import annotations

import pytest

from gift.data import names_given
from gift.data.lists import class_list
from gift.settings import parse_override, read_yaml
from gift.textfiles import parse_yaml


@pytest.mark.parametrize(
    "text", ["yes", "no", "on", "off", "07", "1:30", "2020-01-01", "1e5", "0x1F"]
)
def test_a_plain_word_is_text(text):
    assert parse_yaml(f"[{text}]", "x") == [text]


def test_true_numbers_and_null_have_types():
    assert parse_yaml("[true, 3, -1.5, 1.0e-3, null, ~]", "x") == [True, 3, -1.5, 1e-3, None, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"the key 'a' stands twice, first on line 1, again on line 3"),
        ("x: {y: 1, y: 1}", "the key 'y' stands twice"),
        ("a: [", "not valid YAML"),
        ("[" * 300 + "]" * 300, "nested more than 100 levels"),
        ("x: &x [*x]", "alias of what it stands in"),
        ("? [a]\n: 1", "is no key"),
        ("x: !!int abc", "not what its tag says"),
        ("x: !!python/object:os.system [ls]", "not valid YAML"),
        ("x: *y", "undefined alias"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(text, message):
    with pytest.raises(ValueError, match=f"^mine.yaml .*{message}"):
        parse_yaml(text, "mine.yaml")


def test_aliases_cannot_make_a_document_huge():
    lines = [
        "a0: &a0 [x, x]",
        *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)),
    ]
    with pytest.raises(ValueError, match="more than 1,000,000 values"):
        parse_yaml("\n".join(lines), "mine.yaml")
    assert parse_yaml("a: &a {b: 1}\nc: {<<: *a, b: 2}", "x") == {"a": {"b": 1}, "c": {"b": 2}}


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbfash\r\nelm\r\n")
    assert class_list(str(tmp_path / "names.txt")) == ("ash", "elm")
    assert names_given(str(tmp_path / "names.txt")) == ("ash", "elm")
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbfseed: 3\n")
    assert read_yaml(tmp_path / "c.yaml") == {"seed": 3}


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@pytest.mark.parametrize("read", [read_yaml, lambda path: names_given(str(path))])
def test_another_encoding_is_named_with_its_file(read, encoding, tmp_path):
    (tmp_path / "names.txt").write_bytes("ash: 1\nrosé: 2\n".encode(encoding))
    with pytest.raises(ValueError, match=r"names\.txt is not UTF-8 text"):
        read(tmp_path / "names.txt")


def test_a_home_directory_is_found_in_files_and_lists(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "names.txt").write_text("ash\n")
    assert class_list("~/names.txt") == names_given("~/names.txt") == ("ash",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing.txt", "missing.txt does not exist"),
        ("lists/missing", "lists/missing does not exist"),
        ("classes.csv", "classes.csv does not exist"),
        (".", "is a folder"),
        ("cat,,dog", "an empty class name"),
        ("cat,dog.txt", "is a file's name"),
        ("cat,cat", "given twice"),
    ],
)
def test_what_is_no_class_name_is_refused(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        names_given(given)


def test_class_names_of_a_command_line():
    assert names_given("cat, AC/DC ,sea lion") == ("cat", "AC/DC", "sea lion")
    assert names_given("cat") == ("cat",)


def test_the_value_of_an_override_is_named():
    with pytest.raises(ValueError, match="the value of 'tasks' is not valid YAML"):
        parse_override("tasks=[a")
