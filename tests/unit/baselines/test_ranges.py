"""No number passes the configuration that the model's constructor then refuses."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from harness.config import default_preset, resolve_config
from harness.engine.checkpoint import model_class_of
from harness.engine.plan import misfit
from harness.errors import ConfigError
from harness.plugins import load
from harness.specs import DatasetSpec, ModelSpec, TaskInfo

MODELS = {name: entry.spec for name, entry in load().models.items()}
HOSTILE = {int: (-1, 0, 7), float: (-0.5, 0.0, 1.5)}


def fitting(model: ModelSpec) -> DatasetSpec:
    """Return the twin of a small data set that a model takes."""
    registry = load()
    names = ("memor-primary-twin", "m3ed-twin", "mosei-aligned-twin")
    order = names if "grid" in model.layouts else names[::-1]
    return next(d for d in map(registry.dataset, order) if not misfit(model, d))


def numbers(model: ModelSpec) -> list[tuple[str, float]]:
    config = model_class_of(model).Config
    hints = typing.get_type_hints(config)
    fields = [(f.name, hints[f.name]) for f in dataclasses.fields(config)]
    return [(name, value) for name, hint in fields for value in HOSTILE.get(hint, ())]


@pytest.mark.full
@pytest.mark.parametrize("name", MODELS)
def test_a_number_is_refused_by_the_configuration_or_builds(name: str) -> None:
    model = MODELS[name]
    dataset, built = fitting(model), model_class_of(model)
    for field, value in numbers(model):
        override = [f"model.{field}={value}"]
        try:
            config = resolve_config(model, dataset, default_preset(model, dataset), None, override)
        except ConfigError as error:
            assert field in str(error), error
            continue
        built(config.model, TaskInfo.of(dataset, config.threshold, model.layouts))


@pytest.mark.parametrize(
    ("name", "override", "text"),
    [
        ("mult", "model.heads=7", "model.heads must divide model.size (30), found 7."),
        ("hhmpn", "model.decoder_layers=0", "model.decoder_layers must be at least 1, found 0."),
        ("carat", "model.dropout=1.5", "model.dropout must be at most 1, found 1.5."),
        ("cc", "model.c=0", "model.c must be greater than 0, found 0.0."),
    ],
)
def test_the_message_names_key_and_range(name: str, override: str, text: str) -> None:
    model = MODELS[name]
    dataset = load().dataset("mosei-aligned")
    with pytest.raises(ConfigError) as caught:
        resolve_config(model, dataset, "paper", None, [override])
    assert str(caught.value) == text
