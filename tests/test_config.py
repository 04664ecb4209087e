from __future__ import annotations

import pytest

from gift.config import (
    LearnerConfig,
    ReferenceSettings,
    RunConfig,
    SynthesisSettings,
    TrainingSettings,
)
from gift.methods import create_method, method_class, method_names
from gift.settings import (
    Settings,
    fingerprint,
    identity,
    load_recipe,
    locate,
    merge,
    parse_override,
    read_yaml,
    recipe_names,
    validate,
)


def test_defaults_are_the_published_values():
    config = validate(RunConfig, {"benchmark": "mtil-1"})
    training, synthesis = config.training, config.synthesis
    assert (training.iterations, training.batch_size, training.warmup) == (1000, 64, 100)
    assert (training.learning_rate, training.label_smoothing) == (1e-5, 0.2)
    assert (synthesis.images, synthesis.steps, synthesis.guidance) == (1000, 50, 7.5)
    assert config.image_seed == 42


def test_the_run_seed_changes_the_images_unless_their_seed_is_given():
    assert validate(RunConfig, {"benchmark": "x", "seed": 2}).image_seed == 44
    fixed = {"benchmark": "x", "seed": 2, "synthesis": {"seed": 7}}
    assert validate(RunConfig, fixed).image_seed == 7


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"benchmrk": "x"}, "Did you mean 'benchmark'"),
        ({"benchmark": "x", "training": {"iteration": 3}}, "Did you mean 'training.iterations'"),
        ({"benchmark": "x", "training": {"iterations": 0}}, "training.iterations = 0"),
        ({"benchmark": "x", "training": {"learning_rate": "fast"}}, "training.learning_rate"),
        ({}, "benchmark is missing"),
        ({"benchmark": "x", "iterations": 3}, "Did you mean 'training.iterations'"),
        ({"benchmark": "x", "beta": 1}, "Did you mean 'method_settings.beta'"),
        (
            {"benchmark": "x", "training": 3},
            r"training = 3 .* a mapping of settings, such as \{iter",
        ),
        (
            {"benchmark": "x", "training": {"iterations": {"a": 1}}},
            "training.iterations = {'a': 1}",
        ),
        ({"benchmark": "x", "training": {"learning_rates": [1]}}, r"such as \{a: 0\.1\}"),
        (
            {"benchmark": "x", "training": {"learning_rates": {"t": 0}}},
            "learning_rates.t = 0 .*above 0",
        ),
        ({"benchmark": "x", "training": {"learning_rates": {"t": -1}}}, "learning_rates.t = -1"),
        ({"benchmark": "x", "tasks": "cat"}, r"tasks = 'cat' .* a list, such as \[a, b\]"),
        ({"benchmark": "x", "tasks": [True]}, r"tasks\[0\] = True .*in quotes"),
        ({"benchmark": "x", "synthesis": {"exclude": "cat"}}, r"synthesis.exclude = 'cat'"),
        ({"benchmark": "x", "method_settings": {"beta": -1}}, "method_settings.beta = -1"),
        (
            {"benchmark": "x", "method_settings": {"betta": 1}},
            "Did you mean 'method_settings.beta'",
        ),
        ({"benchmark": "x", "method_settings": 3}, "method_settings = 3"),
        ({"benchmark": "x", "method": "gifft"}, "Did you mean 'gift'"),
        ({"benchmark": "x", "seed": 2**31}, "seed = 2147483648"),
        ({"benchmark": "x", "seed": 10**30}, "too large a number"),
        ({"benchmark": "x", "synthesis": {"seed": -1}}, "synthesis.seed = -1 .*of at least 0"),
        ({"benchmark": "x", "training": {"workers": 100_000}}, "at most 256"),
        ({"benchmark": "x", "training": {"precision": "fp23"}}, "Did you mean 'fp32'"),
    ],
)
def test_wrong_settings_are_explained(values, message):
    with pytest.raises(ValueError, match=message):
        validate(RunConfig, values)


def test_every_wrong_setting_is_named_at_once():
    with pytest.raises(ValueError, match=r"(?s)batch_size.*workers"):
        validate(RunConfig, {"benchmark": "x", "training": {"batch_size": 0, "workers": -1}})


def test_a_wrong_method_setting_does_not_hide_the_others():
    with pytest.raises(ValueError, match=r"(?s)method_settings\.beta = -1.*seed = -1"):
        validate(RunConfig, {"benchmark": "x", "method_settings": {"beta": -1}, "seed": -1})


@pytest.mark.parametrize(("steps", "warmup"), [(16, 1), (5, 0), (100, 10), (101, 100), (1000, 100)])
def test_a_warm_up_that_would_be_all_of_the_training_is_a_tenth_of_it(steps, warmup):
    assert TrainingSettings(iterations=steps).warmup_of(steps) == warmup


def test_merge_goes_key_by_key_and_the_last_wins():
    one = {"a": 1, "b": {"c": 2, "d": 3}}
    two = {"b": {"c": 4}, "e": 5}
    assert merge(one, two) == {"a": 1, "b": {"c": 4, "d": 3}, "e": 5}
    assert one == {"a": 1, "b": {"c": 2, "d": 3}}


def test_overrides_are_read_as_yaml():
    assert parse_override("training.iterations=80") == {"training": {"iterations": 80}}
    assert parse_override("tasks=[a, b]") == {"tasks": ["a", "b"]}
    rate = parse_override("training.learning_rate=1e-3")  # text to YAML, a number to the settings
    assert validate(RunConfig, {"benchmark": "x", **rate}).training.learning_rate == 1e-3


@pytest.mark.parametrize("text", ["training.iterations", "=3", "a..b=3"])
def test_an_override_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="write for instance"):
        parse_override(text)


def test_read_yaml_explains_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(ValueError, match="must hold a mapping"):
        read_yaml(tmp_path / "list.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="not valid YAML"):
        read_yaml(tmp_path / "bad.yaml")


def test_builtin_names_lead_into_the_package():
    assert locate("openai/clip") == "openai/clip"
    with pytest.raises(ValueError, match="Known: micro/clip, micro/diffusion"):
        locate("builtin:micro/none")


@pytest.mark.parametrize("recipe", recipe_names())
@pytest.mark.parametrize("method", method_names())
def test_every_recipe_fits_every_method(recipe, method):
    values = load_recipe(recipe, method)
    config = validate(RunConfig, merge(values, {"benchmark": "x", "method": method}))
    create_method(config.method, config.method_settings)


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'micro'"):
        load_recipe("mikro", "gift")


def test_a_wrong_key_in_an_optional_part_or_a_list_is_explained():
    class Part(Settings):
        steps: int = 1

    class Whole(Settings):
        part: Part | None = None
        parts: tuple[Part, ...] = ()

    for values in ({"part": {"stps": 2}}, {"parts": [{"stps": 2}]}):
        with pytest.raises(
            ValueError, match=r"unknown setting 'stps'\. Did you mean '(part\.)?steps'"
        ):
            validate(Whole, values)


def test_a_name_is_no_path_even_where_a_folder_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("imagenet", "photos"):
        (tmp_path / name).mkdir()
    reference = ReferenceSettings(source="imagenet", texts="imagenet")
    assert (reference.source, reference.texts) == ("imagenet", "imagenet")
    assert ReferenceSettings(source="./photos").source == str(tmp_path / "photos")
    assert SynthesisSettings(base_classnames="imagenet").base_classnames == "imagenet"


@pytest.mark.parametrize(
    "setting", [{"exclude": ["cat"]}, {"plain_template": True}, {"templates": {"pets": "a {}."}}]
)
def test_settings_of_generation_are_refused_where_nothing_is_generated(setting):
    with pytest.raises(ValueError, match="nothing is generated"):
        validate(SynthesisSettings, {"source": "real", **setting})


def test_templates_of_tasks_need_a_place_and_an_effect():
    with pytest.raises(ValueError, match=r"no '\{\}' for the class name"):
        validate(SynthesisSettings, {"templates": {"pets": "a pet"}})
    with pytest.raises(ValueError, match="templates would have no effect"):
        validate(SynthesisSettings, {"templates": {"pets": "a {}."}, "plain_template": True})


SAME = [
    ({"method_settings": {"beta": 0.25}}, {}),  # an explicit default of the method
    ({"training": {"warmup": 100}}, {}),  # of the training
    ({"training": {"learning_rate": "1e-3"}}, {"training": {"learning_rate": 0.001}}),
    ({"method_settings": {"penalty_weight": 2}}, {"method_settings": {"penalty_weight": "2.0"}}),
    (
        {"method_settings": {"preset": "gift_first_release"}},
        {"method_settings": {"preset": "gift_first_release", "alpha": 2, "beta": 0.5}},
    ),
    ({"training": {"workers": 3}}, {"training": {"log_every": 7}}),  # neither bears on results
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_validated_settings_are_the_same_settings(one, other):
    first, second = (validate(LearnerConfig, values) for values in (one, other))
    assert identity(first) == identity(second)
    assert fingerprint(first) == fingerprint(second)


@pytest.mark.parametrize(
    "change", [{"method_settings": {"beta": 0.3}}, {"training": {"warmup": 99}}, {"seed": 1}]
)
def test_other_settings_have_another_identity(change):
    assert identity(validate(LearnerConfig, change)) != identity(LearnerConfig())


def test_the_methods_settings_are_typed_in_the_configuration():
    config = validate(LearnerConfig, {"method": "l2"})
    assert type(config.method_settings) is method_class("l2").Settings
    assert config == validate(LearnerConfig, config.model_dump(mode="json"))
