from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gift import losses

shapes = st.tuples(st.integers(2, 6), st.integers(2, 6), st.integers(0, 2**31))


def smoothed_cross_entropy(logits, target, smoothing):
    """Row by row, with a probability vector as the target."""
    total = 0
    for row, wanted in zip(logits, target, strict=True):
        soft = (1 - smoothing) * wanted + smoothing / len(row)
        total = total - (soft * row.log_softmax(0)).sum()
    return total / len(logits)


def soft_cross_entropy(teacher, student, temperature):
    """T^2 times the mean row cross-entropy of the softened distributions."""
    total = 0
    for wanted, row in zip(teacher, student, strict=True):
        p = (wanted / temperature).softmax(0)
        total = total - (p * (row / temperature).log_softmax(0)).sum()
    return temperature**2 * total / len(student)


def pairing_targets(captions):
    """Equal captions share the mass of a row."""
    rows = [[float(a == b) for b in captions] for a in captions]
    return torch.tensor([[x / sum(row) for x in row] for row in rows], dtype=torch.float64)


def logits(rows: int, columns: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 5 * torch.randn(rows, columns, generator=generator, dtype=torch.float64)


@given(shapes, st.floats(0.5, 8))
@settings(max_examples=30)
def test_distillation_equals_the_plain_loop(shape, temperature):
    teacher, student = logits(*shape), logits(*shape[:2], shape[2] + 1)
    ours = losses.distillation(teacher, student, temperature=temperature)
    torch.testing.assert_close(ours, soft_cross_entropy(teacher, student, temperature))


@given(shapes, st.floats(0, 0.9))
@settings(max_examples=30)
def test_classification_with_probabilities_equals_the_plain_loop(shape, smoothing):
    student, target = logits(*shape), logits(*shape[:2], shape[2] + 1).softmax(1)
    ours = losses.classification(student, target, smoothing=smoothing)
    torch.testing.assert_close(ours, smoothed_cross_entropy(student, target, smoothing))


def test_distillation_from_itself_has_no_gradient():
    student = logits(5, 7, 0).requires_grad_()
    losses.distillation(student.detach(), student, temperature=2.0).backward()
    assert student.grad.abs().max() < 1e-15


def test_distillation_has_the_gradient_of_forward_kl_and_not_of_the_reverse():
    teacher, student = logits(5, 7, 0), logits(5, 7, 1).requires_grad_()
    (ours,) = torch.autograd.grad(losses.distillation(teacher, student, temperature=2.0), student)

    def kl(p, q):
        p, q = (p / 2).softmax(1), (q / 2).softmax(1)
        return 4 * (p * (p.log() - q.log())).sum(1).mean()

    (forward,) = torch.autograd.grad(kl(teacher, student), student)
    (reverse,) = torch.autograd.grad(kl(student, teacher), student)
    torch.testing.assert_close(ours, forward)
    assert (ours - reverse).abs().max() > 1e-3


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_kl_divergences_equal_the_plain_formulas(temperature):
    teacher, student = logits(5, 7, 0), logits(5, 7, 1)
    p, q = (teacher / temperature).softmax(1), (student / temperature).softmax(1)
    forward = temperature**2 * (p * (p / q).log()).sum(1).mean()
    reverse = temperature**2 * (q * (q / p).log()).sum(1).mean()
    for divergence, wanted in (("forward_kl", forward), ("reverse_kl", reverse)):
        value = losses.distillation(
            teacher, student, temperature=temperature, divergence=divergence
        )
        torch.testing.assert_close(value, wanted)
        same = losses.distillation(teacher, teacher, temperature=2.0, divergence=divergence)
        assert abs(float(same)) < 1e-12


def test_feature_distance_is_the_mean_over_all_elements():
    one, two = logits(5, 7, 0), logits(5, 7, 1)
    slow = sum((a - b) ** 2 for a, b in zip(one.flatten(), two.flatten(), strict=True)) / 35
    torch.testing.assert_close(losses.feature_distance(one, two), slow)


def test_swapping_teacher_and_student_changes_the_loss():
    a, b = logits(5, 5, 0), logits(5, 5, 1)
    warm = {"temperature": 2.0}
    one, other = (losses.contrastive_distillation(*pair, **warm) for pair in ((a, b), (b, a)))
    assert one != other


def test_the_teacher_gets_no_gradient():
    teacher, student = logits(4, 4, 0).requires_grad_(), logits(4, 4, 1).requires_grad_()
    losses.contrastive_distillation(teacher, student, temperature=2.0).backward()
    assert teacher.grad is None


def test_a_losses_batch_is_not_the_mean_of_its_halves():
    teacher, student = logits(8, 8, 0), logits(8, 8, 1)
    whole = losses.contrastive_distillation(teacher, student, temperature=2.0)
    halves = [
        losses.contrastive_distillation(
            teacher[i : i + 4, i : i + 4], student[i : i + 4, i : i + 4], temperature=2.0
        )
        for i in (0, 4)
    ]
    assert abs(whole - sum(halves) / 2) > 1e-3


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_equal_captions_share_the_mass(captions):
    targets = losses.alignment_targets(torch.tensor(captions), dtype=torch.float64)
    torch.testing.assert_close(targets, pairing_targets(captions))
    torch.testing.assert_close(targets.sum(1), torch.ones(len(captions), dtype=torch.float64))
    torch.testing.assert_close(targets, targets.T)


def test_alignment_without_duplicates_and_smoothing_is_twice_the_clip_loss():
    student = logits(6, 6, 0)
    targets = losses.alignment_targets(torch.arange(6), dtype=torch.float64)
    ours = losses.image_text_alignment(student, targets, smoothing=0.0)
    labels = torch.arange(6)
    rows = torch.nn.functional.cross_entropy(student, labels)
    columns = torch.nn.functional.cross_entropy(student.T, labels)
    torch.testing.assert_close(ours, 2 * (rows + columns) / 2)


def test_alignment_smooths_over_the_columns():
    student = logits(6, 6, 0)
    targets = losses.alignment_targets(torch.tensor([0, 1, 0, 2, 3, 4]), dtype=torch.float64)
    ours = losses.image_text_alignment(student, targets, smoothing=0.2)
    slow = smoothed_cross_entropy(student, targets, 0.2) + smoothed_cross_entropy(
        student.T, targets, 0.2
    )
    torch.testing.assert_close(ours, slow)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_similarity_is_the_scaled_cosine(scale):
    images, texts = logits(3, 4, 0), logits(5, 4, 1)
    images, texts = (torch.nn.functional.normalize(x, dim=1) for x in (images, texts))
    ours = losses.similarity(images, texts, scale)
    assert ours.shape == (3, 5)
    torch.testing.assert_close(ours[1, 2], scale * torch.dot(images[1], texts[2]))
