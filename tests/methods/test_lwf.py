from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from support import NoiseImages, first_loss, words

from gift.config import TrainingSettings
from gift.data.loader import ImageTexts, Loading, PreprocessedImages, set_batches
from gift.methods import TaskContext, create_method
from gift.train import train_task

SETTINGS = TrainingSettings(iterations=3, batch_size=4, learning_rate=1e-3, warmup=1)
LABELS = words("fruit", 5)
IMAGES = NoiseImages(11, 5)


def current(model):
    prompts = LABELS.prompts
    return ImageTexts(
        PreprocessedImages(IMAGES, model.preprocess), tuple(prompts[i] for i in IMAGES.labels)
    )


def begun(model, **settings):
    """A method that began the task with this model as the teacher, and a first batch."""
    method, images = create_method("lwf", settings), current(model)
    method.begin_task(model, TaskContext(LABELS, 0.2, {"current": images}))
    batch = next(set_batches(images, model.preprocess, Loading(range(3), 4), name="current"))
    return method, {"current": batch}


def move(model):
    with torch.no_grad():
        for parameter in model.trainable_parameters().values():
            parameter.add_(0.02 * torch.randn(parameter.shape, dtype=parameter.dtype))


def slow_distillation(teacher, student, temperature):
    """T^2 * mean over rows of the cross-entropy, row by row."""
    total = 0.0
    for of_teacher, of_student in zip(teacher, student, strict=True):
        target = F.softmax(of_teacher / temperature, dim=0)
        total -= (target * F.log_softmax(of_student / temperature, dim=0)).sum()
    return temperature**2 * total / len(teacher)


def test_the_distillation_is_the_published_formula(tiny_clip_fp64):
    """The student has moved when the teacher first sees the batch: it must be the teacher's own."""
    torch.manual_seed(0)
    teacher = copy.deepcopy(tiny_clip_fp64)
    method, batches = begun(tiny_clip_fp64, row_weight=0.7, column_weight=0.3, temperature=3.0)
    move(tiny_clip_fp64)
    loss = first_loss(method, tiny_clip_fp64, batches)

    pixels, scale = batches["current"].pixels, teacher.logit_scale
    texts = teacher.encode_texts(teacher.tokenize(LABELS.prompts))
    of_teacher = (scale * teacher.encode_images(pixels) @ texts.T).detach()
    of_student = (scale * tiny_clip_fp64.encode_images(pixels) @ texts.T).detach()
    rows = slow_distillation(of_teacher, of_student, 3.0)
    columns = slow_distillation(of_teacher.T, of_student.T, 3.0)
    torch.testing.assert_close(loss.detach(), 0.7 * rows + 0.3 * columns)


def test_the_distillation_reaches_the_image_tower_alone(tiny_clip_fp64):
    torch.manual_seed(0)
    method, batches = begun(tiny_clip_fp64)
    move(tiny_clip_fp64)
    first_loss(method, tiny_clip_fp64, batches).backward()
    for name, parameter in tiny_clip_fp64.trainable_parameters().items():
        is_text = name.startswith(("text_model", "text_projection"))
        assert (parameter.grad is None) == is_text, name


def test_the_first_step_has_no_gradient_of_distillation(tiny_clip_fp64):
    method, batches = begun(tiny_clip_fp64)
    first_loss(method, tiny_clip_fp64, batches).backward()
    gradients = [p.grad for p in tiny_clip_fp64.parameters() if p.grad is not None]
    assert max(float(g.abs().max()) for g in gradients) < 1e-10


def test_without_its_weights_it_is_plain_fine_tuning(tiny_clip_fp64):
    def trained(name, **settings):
        model = copy.deepcopy(tiny_clip_fp64)
        method = create_method(name, settings)
        sets = {"current": current(model)} if name == "lwf" else {}
        train_task(model, method, TaskContext(LABELS, 0.2, sets), IMAGES, SETTINGS)
        return {name: p.detach() for name, p in model.trainable_parameters().items()}

    torch.testing.assert_close(
        trained("lwf", row_weight=0.0, column_weight=0.0), trained("finetune")
    )


def test_it_keeps_nothing_between_tasks(tiny_clip):
    method, _ = begun(tiny_clip)
    assert method.state_dict() == {}
