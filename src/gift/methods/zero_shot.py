"""The pre-trained model as it is: the reference that no method should fall below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gift.data.loader import Batch
from gift.methods.base import Loss, Method
from gift.vlm import VisionLanguageModel


class ZeroShot(Method):
    """Learns nothing."""

    trains = False

    def losses(self, model: VisionLanguageModel, batches: Mapping[str, Batch]) -> Iterator[Loss]:
        """No loss: the method is never trained."""
        return iter(())
