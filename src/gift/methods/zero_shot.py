"""The pre-trained model as it is: the reference that no method should fall below."""

from __future__ import annotations

from gift.methods.base import Method


class ZeroShot(Method):
    """Learns nothing."""

    trains = False
