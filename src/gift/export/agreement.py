"""The check that an export computes what the learner does."""

from __future__ import annotations

from torch import Tensor

TOLERANCE = 1e-4
"""The largest difference of a cosine or a probability that an export may have."""


def difference(found: Tensor, original: Tensor, scale: float) -> float:
    """The largest difference of an export's numbers from the learner's.

    Of cosines (logits divided by the logit scale) and of probabilities over the classes: the former
    see what saturated probabilities hide.

    Args:
        found: the export's logits [B, C].
        original: the learner's [B, C].
        scale: the factor on cosines.

    Returns:
        NaN where any number is.

    >>> import torch
    >>> round(difference(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]]), 10.0), 3)
    0.231
    """
    cosines = (found - original).abs().max() / scale
    probabilities = (found.softmax(dim=1) - original.softmax(dim=1)).abs().max()
    return float(cosines.maximum(probabilities))


def check(name: str, value: float) -> float:
    """The difference of an export, which is refused where it is too large.

    Raises:
        ValueError: it is above :data:`TOLERANCE`, or not a number.
    """
    if not value <= TOLERANCE:
        raise ValueError(
            f"the export as {name} differs from the learner by {value:.1e} (of cosines and "
            f"probabilities; allowed is {TOLERANCE:.0e}), so nothing was written. Please report "
            "it with the model's name; the other formats may work (--format)."
        )
    return value
