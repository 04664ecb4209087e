from __future__ import annotations

import copy
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from support import NoiseImages, load_file, words

from gift.config import TrainingSettings
from gift.data.loader import (
    Batch,
    ImageTexts,
    Loading,
    balanced_order,
    batch_order,
    set_batches,
    task_batches,
)
from gift.methods import TaskContext, create_method
from gift.methods.objectives import TaskLoss
from gift.optimization import learning_rate
from gift.progress import listening
from gift.runs.checkpoint import Checkpoints
from gift.train import train_task
from gift.weights import adaptive_fisher, normalization_groups

published = load_file(Path(__file__).parents[1] / "benchmarks" / "published.py")
SETTINGS = TrainingSettings(
    iterations=3, batch_size=4, learning_rate=1e-3, warmup=1, label_smoothing=0.2, log_every=1
)
LOADING = Loading(range(3), 4)
LABELS = words("fruit", 5)
IMAGES = NoiseImages(11, 5)
CAPTIONS = (
    "a photo of a fox.",
    "the picture of an owl",
    "a photo of a fox.",
    "a fox",
    "a photo of a very long",
    "owl",
    "a photo of a fox.",
)


@pytest.fixture
def pairs():
    pixels = np.random.default_rng(1).integers(0, 255, (7, 32, 32, 3), dtype=np.uint8)
    return ImageTexts(pixels, CAPTIONS)


PUBLISHED = {
    "finetune": ({}, {"penalty": None}),
    "l2": ({"penalty_weight": 0.7}, {"penalty": "l2", "weight": 0.7}),
    "gift": (
        {"alpha": 1.5, "beta": 0.5, "penalty_weight": 0.3, "temperature": 3.0},
        {"alpha": 1.5, "beta": 0.5, "weight": 0.3, "temperature": 3.0},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_three_steps_equal_the_published_step(tiny_clip_fp64, pairs, name):
    """Trimming, cached teacher, shared captions, analytic penalty: exact, not approximate."""
    ours, theirs = PUBLISHED[name]
    model = tiny_clip_fp64
    slow = published.PublishedStep(
        copy.deepcopy(model.towers), model.tokenizer, LABELS.prompts, **theirs
    )
    method = create_method(name, ours)
    streams = {"synthetic": pairs} if method.streams else {}
    train_task(model, method, TaskContext(LABELS, 0.2, streams), IMAGES, SETTINGS)

    tasks = task_batches(IMAGES, model.preprocess, LOADING, name=LABELS.name)
    synthetic = set_batches(pairs, model.preprocess, LOADING, name="synthetic for fruit")
    rates = (1e-3, 1e-3, 5e-4)  # one step of warm-up, then half a cosine over two
    for rate, task, pair in zip(rates, tasks, synthetic, strict=True):
        slow.optimizer.param_groups[0]["lr"] = rate
        extra = (pair.pixels, [CAPTIONS[i] for i in pair.index]) if method.streams else ()
        slow(task.pixels, task.labels, *extra)

    for parameter, wanted in model.trainable_parameters().items():
        if parameter.endswith("k_proj.bias"):
            # Its true gradient is zero (softmax ignores a constant per query); Adam turns the
            # rounding noise that is left into steps of full size. It cannot change the output.
            continue
        difference = (wanted - slow.parameters[parameter]).norm() / wanted.norm()
        assert difference < 1e-10, parameter
    moved = (
        model.trainable_parameters()["visual_projection.weight"]
        - dict(slow.teacher.named_parameters())["visual_projection.weight"]
    ).norm()
    assert moved > 1e-3


def test_learning_rate_follows_the_published_schedule():
    rate = [learning_rate("cosine", i, peak=1.0, warmup=100, iterations=1000) for i in range(1001)]
    assert rate[0] == pytest.approx(1 / 100)
    assert rate[99] == rate[100] == 1.0
    assert rate[550] == pytest.approx(0.5)
    assert rate[1000] == 0.0


@pytest.mark.parametrize("warmup", [0, 5, 50])
def test_learning_rate_is_positive_for_any_warmup(warmup):
    rates = [learning_rate("cosine", i, peak=1.0, warmup=warmup, iterations=20) for i in range(20)]
    assert all(0 < rate <= 1 for rate in rates)


def test_schedules_end_where_they_should():
    def rates(name, warmup, iterations=20):
        steps = range(iterations)
        return [
            learning_rate(name, i, peak=2.0, warmup=warmup, iterations=iterations) for i in steps
        ]

    assert rates("constant", 4) == [0.5, 1.0, 1.5, *[2.0] * 17]
    assert rates("linear", 0)[::5] == [2.0, 1.5, 1.0, 0.5]
    cycle = rates("one_cycle", 5)
    assert cycle.index(max(cycle)) == 4
    assert cycle[-1] < 1e-4 < cycle[0] < 0.1
    for warmup in (0, 1, 4):
        assert all(0 <= rate <= 2 for n in (1, 2, 3, 5) for rate in rates("one_cycle", 0, n))


def test_sgd_with_a_constant_rate_is_the_plain_sum_of_gradients(tiny_clip_fp64):
    settings = SETTINGS.model_copy(
        update={"optimizer": "sgd", "schedule": "constant", "warmup": 0, "momentum": 0.0}
    )
    before = {name: p.detach().clone() for name, p in tiny_clip_fp64.trainable_parameters().items()}
    gradients = []

    class Recording(type(create_method("finetune"))):
        def update(self, model, optimizer):
            gradients.append({n: p.grad.clone() for n, p in model.trainable_parameters().items()})
            super().update(model, optimizer)

    train_task(tiny_clip_fp64, Recording(), TaskContext(LABELS, 0.2), IMAGES, settings)
    for name, parameter in tiny_clip_fp64.trainable_parameters().items():
        steps = sum(step[name] for step in gradients)
        assert torch.allclose(parameter, before[name] - 1e-3 * steps, atol=1e-14), name


def test_class_weights_weigh_the_loss_of_every_method_alike(tiny_clip_fp64, pairs):
    """Of a plain loop: the weighted mean over the batch, and 1 for names of other tasks."""
    weights_of = (0.5, 1.0, 2.0, 1.0, 1.0)
    context = TaskContext(LABELS, 0.0, {"synthetic": pairs}, class_weights=weights_of)
    batch = next(task_batches(IMAGES, tiny_clip_fp64.preprocess, LOADING, name="x"))
    classes = tiny_clip_fp64.encode_texts(tiny_clip_fp64.tokenize(LABELS.prompts))
    images = tiny_clip_fp64.encode_images(batch.pixels)
    logits = tiny_clip_fp64.logit_scale * images @ classes.T
    terms = [-row.log_softmax(0)[label] for row, label in zip(logits, batch.labels, strict=True)]
    own = [weights_of[label] for label in batch.labels]
    wanted = sum(w * t for w, t in zip(own, terms, strict=True)) / sum(own)
    for name in ("finetune", "gift"):
        method = create_method(name)
        method.begin_task(tiny_clip_fp64, context)
        streams = {
            "synthetic": next(set_batches(pairs, tiny_clip_fp64.preprocess, LOADING, name="y"))
        }
        logged = method.step(
            tiny_clip_fp64, {"task": batch, **streams}, lambda loss: loss.backward()
        )
        assert torch.allclose(logged["task"], wanted.detach().to(logged["task"].dtype)), name


def test_the_best_weights_are_kept(tiny_clip):
    """Of four measurements the second is the best, and the first of the equal ones is kept."""
    settings = SETTINGS.model_copy(update={"iterations": 4, "validations": 4})
    method, seen = create_method("finetune"), []

    def validate():
        assert not tiny_clip.training
        seen.append(tiny_clip.trainable_parameters()["visual_projection.weight"].detach().clone())
        return (10.0, 30.0, 20.0, 30.0)[len(seen) - 1]

    trained = train_task(
        tiny_clip, method, TaskContext(LABELS, 0.2), IMAGES, settings, validate=validate
    )
    assert (trained.best_step, trained.best_accuracy) == (2, 30.0)
    kept = tiny_clip.trainable_parameters()["visual_projection.weight"]
    assert torch.equal(kept, seen[1])
    assert not torch.equal(kept, seen[3])


def test_the_best_weights_survive_an_interruption(tiny_clip, tmp_path):
    """Resumed after the best step, the training ends with the same weights."""
    settings = SETTINGS.model_copy(update={"iterations": 4, "validations": 4})
    accuracies = {1: 10.0, 2: 30.0, 3: 20.0, 4: 25.0}
    whole, resumed = copy.deepcopy(tiny_clip), copy.deepcopy(tiny_clip)

    def train(model, steps, checkpoints=None):
        left = iter(steps)
        return train_task(
            model,
            create_method("finetune"),
            TaskContext(LABELS, 0.2),
            IMAGES,
            settings,
            validate=lambda: accuracies[next(left)],
            checkpoints=checkpoints,
        )

    kept = Checkpoints(tmp_path, every_steps=3, every_minutes=0)
    train(whole, (1, 2, 3, 4), kept)
    trained = train(resumed, (4,), Checkpoints(tmp_path))
    assert (trained.best_step, trained.best_accuracy) == (2, 30.0)
    for name, parameter in whole.trainable_parameters().items():
        assert torch.equal(parameter, resumed.trainable_parameters()[name]), name


def test_order_passes_over_everything_and_keeps_the_partial_batch():
    order = batch_order(10, 4, seed=0, name="x")
    first, second = list(islice(order, 3)), list(islice(order, 3))
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(10))
    assert first != second


def test_order_depends_on_seed_and_name_alone():
    def start(seed, name):
        return list(islice(batch_order(10, 4, seed=seed, name=name), 5))

    assert start(0, "x") == start(0, "x")
    assert start(0, "x") != start(1, "x")
    assert start(0, "x") != start(0, "y")


LONG_TAILED = (0,) * 20 + (1,) * 3 + (2,)


def balanced(steps, batch_size=5, seed=0, name="x"):
    return list(balanced_order(LONG_TAILED, Loading(steps, batch_size, seed), name=name))


def test_balanced_batches_have_as_many_images_of_every_class():
    batches = balanced(range(12))
    assert {len(batch) for batch in batches} == {5}
    for batch in batches:
        counts = np.bincount([LONG_TAILED[i] for i in batch], minlength=3)
        assert counts.max() - counts.min() <= 2
    draws = list(chain(*batches))
    assert np.bincount([LONG_TAILED[i] for i in draws]).tolist() == [20, 20, 20]
    assert sorted(i for i in draws if i < 20) == list(range(20))  # a pass over the first class
    assert [draws.count(i) for i in (20, 21, 22, 23)] in (
        [7, 7, 6, 20],
        [7, 6, 7, 20],
        [6, 7, 7, 20],
    )


def test_balanced_batches_depend_on_seed_and_step_alone():
    batches = balanced(range(12))
    assert balanced(range(7, 12)) == batches[7:]
    assert balanced(range(12), seed=1) != batches != balanced(range(12), name="y")
    assert list(chain(*balanced(range(6), 10))) == list(chain(*batches))


def test_an_image_that_stands_twice_in_a_batch_is_cropped_twice(tiny_clip):
    images = NoiseImages(3, 3, size=64)
    loading = Loading(range(2), 6, balanced=True)
    for batch in task_batches(images, tiny_clip.preprocess, loading, name="x"):
        assert sorted(batch.index.tolist()) == [0, 0, 1, 1, 2, 2]
        assert len({pixels.numpy().tobytes() for pixels in batch.pixels}) == 6
    again = Loading(range(1, 2), 6, balanced=True, workers=2)
    (resumed,) = task_batches(images, tiny_clip.preprocess, again, name="x")
    assert torch.equal(resumed.pixels, batch.pixels)


def test_batches_are_the_same_for_any_number_of_workers(tiny_clip):
    def batches(workers):
        loading = Loading(range(3), 4, seed=3, workers=workers)
        return list(task_batches(IMAGES, tiny_clip.preprocess, loading, name="x"))

    for one, two in zip(batches(0), batches(2), strict=True):
        assert torch.equal(one.pixels, two.pixels)
        assert torch.equal(one.labels, two.labels)


def test_records_name_the_losses(tiny_clip, pairs):
    records = []
    train_task(
        tiny_clip,
        create_method("gift"),
        TaskContext(LABELS, 0.2, {"synthetic": pairs}),
        IMAGES,
        SETTINGS,
        record=records.append,
    )
    assert [r.step for r in records] == [0, 1, 2]
    assert set(records[0].losses) == {
        "task",
        "anchor",
        "contrastive_distillation",
        "image_text_alignment",
        "consolidation",
        "teacher_accuracy",
    }
    assert records[0].losses["consolidation"] == 0.0  # the model is its own anchor at first
    assert records[2].losses["consolidation"] > 0.0


def test_a_loss_that_is_not_finite_stops_with_the_batch_named(tiny_clip):
    with torch.no_grad():
        tiny_clip.trainable_parameters()["visual_projection.weight"][0, 0] = float("nan")
    with pytest.raises(
        FloatingPointError, match=r"step 0: task is not finite \(task batch: images"
    ):
        train_task(tiny_clip, create_method("finetune"), TaskContext(LABELS, 0.2), IMAGES, SETTINGS)


def test_the_rate_of_a_single_task_can_be_set():
    settings = TrainingSettings(learning_rate=1e-5, learning_rates={"mnist": 5e-5})
    assert settings.rate_of("mnist") == 5e-5
    assert settings.rate_of("food") == 1e-5


def trained(model, name, pairs, **changes):
    """The trainable parameters after the task, and the records of its steps."""
    method, records = create_method(name), []
    train_task(
        model,
        method,
        TaskContext(LABELS, 0.2, {"synthetic": pairs} if method.streams else {}),
        IMAGES,
        TrainingSettings(**(SETTINGS.model_dump() | changes)),
        record=records.append,
    )
    return model.trainable_parameters(), records


@pytest.mark.parametrize("changes", [{"accumulate": 3}, {"gradient_checkpointing": True}])
@pytest.mark.parametrize("name", ["gift", "l2", "ewc_v"])
def test_saving_memory_gives_the_same_updates(tiny_clip_fp64, pairs, name, changes):
    """In uneven parts, too; every penalty counts once and the Fisher is that of the whole batch."""
    whole, records = trained(copy.deepcopy(tiny_clip_fp64), name, pairs)
    saving, others = trained(tiny_clip_fp64, name, pairs, **changes)
    for parameter, wanted in whole.items():
        if not parameter.endswith("k_proj.bias"):  # rounding noise, see above
            difference = (saving[parameter] - wanted).norm() / wanted.norm()
            assert difference < 1e-10, parameter
    for one, other in zip(records, others, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=1e-6)  # l2 sees that noise


def test_training_in_bf16_stays_near_that_in_fp32(tiny_clip, pairs):
    # Three steps at a rate at which rounding does not grow: the first loss is 15 either way.
    slow = {"learning_rate": 1e-4}
    _, exact = trained(copy.deepcopy(tiny_clip), "gift", pairs, **slow)
    parameters, records = trained(tiny_clip, "gift", pairs, precision="bf16", **slow)
    assert {p.dtype for p in parameters.values()} == {torch.float32}
    assert records[0].losses != exact[0].losses
    for name in ("task", "anchor"):
        for wanted, record in zip(exact, records, strict=True):
            assert record.losses[name] == pytest.approx(wanted.losses[name], rel=0.1)


def test_in_bf16_the_towers_alone_are_half_precise(tiny_clip, pairs):
    """Cosines, losses, gradients and the Fisher are fp32, and so is a teacher."""
    images, tokens = torch.randn(4, 3, 32, 32), tiny_clip.tokenize(CAPTIONS[:2])
    method = create_method("gift")
    tiny_clip.prepare_training(precision="bf16")
    plain = tiny_clip.encode_images(images)
    method.begin_task(tiny_clip, TaskContext(LABELS, 0.2, {"synthetic": pairs}))
    task_loss = TaskLoss(tiny_clip, TaskContext(LABELS, 0.2))
    model = tiny_clip.train()
    assert not torch.equal(model.encode_images(images), plain)
    assert torch.equal(model.frozen_copy().encode_images(images), plain)
    for unit in (model.encode_images(images), model.encode_texts(tokens)):
        assert unit.dtype == torch.float32
        torch.testing.assert_close(unit.norm(dim=-1), torch.ones(len(unit)))
    batch = Batch(images, torch.arange(4), torch.arange(4))
    losses = {"task": task_loss(model, batch), **method.anchor_loss(model, batch)}
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    losses["anchor"].backward()
    parameters = model.trainable_parameters()
    gradients = {name: p.grad for name, p in parameters.items()}
    assert {g.dtype for g in gradients.values()} == {torch.float32}
    fisher = adaptive_fisher(gradients, normalization_groups(parameters))
    assert {f.dtype for f in fisher.values()} == {torch.float32}
    assert all(torch.isfinite(f).all() for f in fisher.values())


def test_an_interrupted_training_leaves_the_model_as_for_evaluation(tiny_clip):
    def stop(now):
        raise KeyError

    method, task = create_method("finetune"), TaskContext(LABELS, 0.2)
    with pytest.raises(KeyError), listening(stop):
        train_task(tiny_clip, method, task, IMAGES, SETTINGS)
    assert not any(module.training for module in tiny_clip.modules())
    assert all(p.grad is None for p in tiny_clip.parameters())
