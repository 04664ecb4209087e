"""GIFT's published training step, written plainly: slow, obvious, and without any of our code.

Everything is as the official code does it: every prompt at the full context length, the teacher run
at every step, the penalty built with autograd, query/key/value normalised as the one tensor that
they are in OpenAI's layout.
"""

from __future__ import annotations

import copy
import math
import re

import torch


def features(model, tokenizer, pixels, texts):
    """Unit features of images and of texts padded to the full context length."""
    tokens = tokenizer(
        list(texts),
        padding="max_length",
        truncation=True,
        max_length=model.config.text_config.max_position_embeddings,
        return_tensors="pt",
    ).input_ids
    images = model.get_image_features(pixel_values=pixels).pooler_output
    sentences = model.get_text_features(input_ids=tokens).pooler_output
    return (
        images / images.norm(dim=-1, keepdim=True),
        sentences / sentences.norm(dim=-1, keepdim=True),
    )


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


def fisher_weights(gradients):
    """g^2 / mean(g^2), the mean over each tensor of the fused layout; 1e-6 where g is None."""
    fused: dict[str, list[str]] = {}
    for name in gradients:
        fused.setdefault(re.sub(r"\b[qkv]_proj\b", "in_proj", name), []).append(name)
    weights = {}
    for names in fused.values():
        present = [gradients[n].flatten() for n in names if gradients[n] is not None]
        mean = torch.cat(present).square().mean() if present else None
        for name in names:
            g = gradients[name]
            weights[name] = 1e-6 if g is None else g.square() / mean if mean > 0 else 0 * g
    return weights


class PublishedTraining:
    """Plain training of one task; ``step`` takes the batches and returns nothing."""

    def __init__(
        self,
        model,
        tokenizer,
        *,
        prompts,
        iterations,
        peak,
        warmup,
        smoothing,
        alpha=0.0,
        beta=0.0,
        temperature=2.0,
        penalty=None,
        weight=0.0,
    ):
        self.model, self.tokenizer, self.prompts = model, tokenizer, prompts
        self.teacher = copy.deepcopy(model).eval()
        self.anchor = {n: p.detach().clone() for n, p in model.named_parameters()}
        self.named = {n: p for n, p in model.named_parameters() if n != "logit_scale"}
        self.optimizer = torch.optim.AdamW(
            self.named.values(), betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
        )
        self.iterations, self.peak, self.warmup = iterations, peak, warmup
        self.smoothing, self.alpha, self.beta = smoothing, alpha, beta
        self.temperature, self.penalty, self.weight = temperature, penalty, weight

    def rate(self, step):
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        done = (step - self.warmup) / (self.iterations - self.warmup)
        return self.peak * 0.5 * (1 + math.cos(math.pi * done))

    def step(self, number, pixels, labels, pair_pixels=None, captions=None):
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(number)
        scale = self.model.logit_scale.exp().detach()
        images, texts = features(self.model, self.tokenizer, pixels, self.prompts)
        target = torch.nn.functional.one_hot(labels, len(self.prompts)).double()
        task = smoothed_cross_entropy(scale * images @ texts.T, target, self.smoothing)
        self.optimizer.zero_grad()
        total = task
        if pair_pixels is not None:
            anchor_loss = self.anchor_loss(scale, pair_pixels, captions)
            anchor_loss.backward()
            gradients = {n: None if p.grad is None else p.grad for n, p in self.named.items()}
            gradients = {n: None if g is None else g.clone() for n, g in gradients.items()}
            total = total + self.weight * self.distance(fisher_weights(gradients))
        elif self.penalty == "l2":
            total = total + self.weight * self.distance(dict.fromkeys(self.named, 1.0))
        total.backward()
        self.optimizer.step()

    def anchor_loss(self, scale, pixels, captions):
        images, texts = features(self.model, self.tokenizer, pixels, captions)
        with torch.no_grad():
            old_images, old_texts = features(self.teacher, self.tokenizer, pixels, captions)
        student, teacher = scale * images @ texts.T, scale * old_images @ old_texts.T
        target = pairing_targets(captions)
        distilled = soft_cross_entropy(teacher, student, self.temperature) + soft_cross_entropy(
            teacher.T, student.T, self.temperature
        )
        aligned = smoothed_cross_entropy(student, target, self.smoothing) + smoothed_cross_entropy(
            student.T, target, self.smoothing
        )
        return self.alpha * distilled + self.beta * aligned

    def distance(self, weights):
        total = 0
        for name, parameter in self.named.items():
            total = total + (weights[name] * (parameter - self.anchor[name]).square()).sum()
        return total
