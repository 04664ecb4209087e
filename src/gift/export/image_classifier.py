"""The image tower with the class embeddings in it, as one module: pixels to logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F
from transformers import PreTrainedModel


class ImageClassifier(nn.Module):
    """Pixels [B, 3, S, S] to the logits [B, C] of fixed classes, in plain operations.

    Args:
        towers: of a supported family; of them only the image tower is used.
        embeddings: unit class embeddings [R, D].
        scale: the factor on cosines, a scalar.
        class_of_row: int64 [R]; the logit of a class is the largest of its rows.
    """

    def __init__(
        self, towers: PreTrainedModel, embeddings: Tensor, scale: Tensor, class_of_row: Tensor
    ) -> None:
        super().__init__()
        self.tower = towers.vision_model
        # SigLIP's tower ends with a pooling head and has no projection.
        parts = dict(towers.named_children())
        self.projection = parts.get("visual_projection", nn.Identity())
        self.register_buffer("embeddings", scale * embeddings)
        self.register_buffer("members", _members(class_of_row))

    def forward(self, pixels: Tensor) -> Tensor:
        """Scaled cosine similarities."""
        pooled = self.tower(pixel_values=pixels).pooler_output
        features = F.normalize(self.projection(pooled), dim=-1)
        rows = features @ self.get_buffer("embeddings").T
        members = self.get_buffer("members")
        return rows if members.shape[1] == 1 else rows[:, members].amax(dim=-1)


def traced(classifier: ImageClassifier, example: Tensor) -> ExportedProgram:
    """The classifier as a program of ``torch.export``, for any number of images at a time.

    Args:
        classifier: what is traced.
        example: two or more images [B, 3, S, S]; they are not kept.
    """
    shapes = ({0: Dim("batch", min=1)},)
    with torch.no_grad():
        program = torch.export.export(classifier.eval(), (example,), dynamic_shapes=shapes)
    program.example_inputs = None  # they would be stored with it
    return program


def _members(class_of_row: Tensor) -> Tensor:
    """The rows of each class, int64 [C, M]; where it has fewer than M, one stands again.

    >>> _members(torch.tensor([0, 1, 0])).tolist()
    [[0, 2], [1, 1]]
    """
    rows = [(class_of_row == number).nonzero()[:, 0] for number in class_of_row.unique()]
    most = max(map(len, rows))
    return torch.stack([torch.cat([own, own[:1].expand(most - len(own))]) for own in rows])
