"""The pickles of CIFAR100 are data, whoever wrote them."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
from io import BytesIO

import pytest
from official import miniature

from gift.data import Paths, open_task


class _Call:
    """Pickles as a call of a function, or of what a chain of attributes leads to."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class _Persistent(pickle.Pickler):
    def persistent_id(self, obj):
        return "harm" if obj is _Persistent else None


def _persistent() -> bytes:
    stream = BytesIO()
    _Persistent(stream, protocol=2).dump({b"data": _Persistent})
    return stream.getvalue()


def _named(module: str, name: str, arguments: bytes = b"(X\x0c\x00\x00\x00touch harmed") -> bytes:
    """A call written by hand, for what Python itself would not pickle so."""
    return b"\x80\x04c" + f"{module}\n{name}\n".encode() + arguments + b"tR."


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
"""An empty array, as the official files begin one."""

ATTACKS = {
    "os.system": pickle.dumps({b"data": _Call(os.system, "touch harmed")}, 2),
    "posix.system": _named("posix", "system"),
    "nt by another name": _named("subprocess", "getoutput"),
    "eval": pickle.dumps(_Call(builtins.eval, "open('harmed', 'w')"), 2),
    "exec, protocol 0": pickle.dumps(_Call(builtins.exec, "open('harmed', 'w')"), 0),
    "exec, protocol 5": pickle.dumps(_Call(builtins.exec, "open('harmed', 'w')"), 5),
    "getattr chain": pickle.dumps(_Call(getattr, _Call(__import__, "os"), "system"), 2),
    "dotted name": b"\x80\x04" + _text("numpy") + _text("ndarray.__class__.__base__") + b"\x93.",
    "dotted name to builtins": b"\x80\x04" + _text("_codecs") + _text("encode.__self__") + b"\x93.",
    "attribute of a known name": b"\x80\x04" + _text("numpy") + _text("dtype.__init__") + b"\x93.",
    "numpy testing": _named("numpy.testing._private.utils", "runstring"),
    "numpy load": _named("numpy", "load"),
    "numpy fromfile": _named("numpy", "fromfile", b"(" + _text("/etc/passwd")),
    "numpy memmap": _named("numpy", "memmap", b"(" + _text("harmed") + _text("u1") + _text("w+")),
    "numpy f2py": _named("numpy.f2py", "compile"),
    "numpy scalar that unpickles": _named("numpy.core.multiarray", "scalar"),
    "scipy": _named("scipy.io", "savemat", b"(" + _text("harmed") + b"}"),
    "copyreg": _named("copyreg", "_reconstructor"),
    "operator": _named("operator", "attrgetter", b"(" + _text("__class__")),
    "functools": _named("functools", "partial"),
    "persistent id": _persistent(),
    "persistent id in text": b"Pharm\n.",
    "instance opcode": b"(X\x0c\x00\x00\x00touch harmedios\nsystem\n.",
    "object opcode": b"(cos\nsystem\nX\x0c\x00\x00\x00touch harmedo.",
    "new object": b"\x80\x02cos\nsystem\nX\x0c\x00\x00\x00touch harmed\x85\x81.",
    "extension registry": b"\x80\x02\x82\x01.",
    "nested in labels": pickle.dumps({b"x": [[{1: (_Call(os.system, "touch harmed"),)}]]}, 2),
    "another class of arrays": RECONSTRUCT.replace(b"cnumpy\nndarray", b"cnumpy\nmatrix") + b".",
    "a huge array": b"\x80\x02cnumpy\nndarray\n(\x8a\x06\x00\x00\x00\x00\x00\x04tR.",
    "an array of objects from bytes": b"\x80\x02" + RECONSTRUCT
    + b"(K\x01(K\x01tcnumpy\ndtype\n(" + _text("O8") + b"I00\nI01\ntR\x89C\x08AAAAAAAAtb.",
    "a data type with forged flags": b"\x80\x02cnumpy\ndtype\n(" + _text("V8")
    + b"I00\nI01\ntR(K\x03" + _text("|") + b"NNNK\x08K\x01K\x3ftb.",
    "an array larger than its bytes": b"\x80\x02" + RECONSTRUCT
    + b"(K\x01(J\xff\xff\xff\x7ftcnumpy\ndtype\n(" + _text("u1") + b"I00\nI01\ntR\x89C\x01Atb.",
    "state set on a function": b"\x80\x02c_codecs\nencode\nN}" + _text("__call__")
    + b"K\x01s\x86b.",
    "2^31 bytes": b"\x80\x04B\xff\xff\xff\x7fabc.",
    "2^60 bytes": b"\x80\x04\x8e\x00\x00\x00\x00\x00\x00\x00\x10abc.",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("file", ["meta", "train"])
def test_a_pickle_is_data_or_refused(attack, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry, made = miniature("cifar100", tmp_path)
    (made.root / file).write_bytes(ATTACKS[attack])
    refused = pytest.raises(ValueError, match=rf"cifar100: {made.root / file} ")
    with refused:
        open_task(entry, Paths.of(data=tmp_path))
    assert not (tmp_path / "harmed").exists()
