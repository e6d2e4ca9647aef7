"""Model cards: one YAML file a model, checked key by key, read without the model's code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.config import plugin_defaults, presets, resolve_config
from harness.errors import PluginError
from harness.plugins import load
from harness.plugins.cards import read_card
from harness.specs import CompatSpec, Paper, Variant

FLOORS = ("logistic",)
CARD = """
name: mine
factory: mine:Mine
summary: A model
paper: {title: T, authors: A, venue: V, year: 2020}
reported_as: Mine
layouts: [grid, sequence]
label_kinds: [singlelabel]
compat: {select: last, exchange: [[m3ed, visual, audio]]}
variants:
  - {name: paper, summary: the equations}
  - {name: wide, summary: twice as wide, settings: [model.size=8]}
ablations: [{name: w/o-a, removes: a}]
deviations: [one head more]
threshold: 0.25
presets:
  paper: {training: {epochs: 3, lr: 5e-5}}
  quick: {model: {size: 2}}
"""
PLUGIN = """
from dataclasses import dataclass
from harness import hookimpl, read_card

class Mine:
    @dataclass(frozen=True)
    class Config:
        size: int = 4

@hookimpl
def harness_models():
    return [read_card(f"{__name__}:mine.yaml")]
"""


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    (tmp_path / "mine.yaml").write_text(CARD)
    (tmp_path / "mine.py").write_text(PLUGIN)
    return str(tmp_path / "mine.py")


def test_a_card_is_the_spec_and_its_configuration(plugin: str) -> None:
    registry = load([plugin])
    spec = registry.model("mine")
    assert spec.paper == Paper("T", "A", "V", 2020)
    assert spec.compat == CompatSpec("last", exchange=(("m3ed", "visual", "audio"),))
    assert spec.layouts == ("grid", "sequence") and spec.label_kinds == ("singlelabel",)
    assert spec.variants[1] == Variant("wide", "twice as wide", ("model.size=8",))
    assert (spec.variant, spec.ablations[0].removes, spec.version) == ("paper", "a", "1")
    assert presets(spec) == ["paper", "quick"]
    assert set(plugin_defaults(spec)) == {"threshold", "presets"}
    config = resolve_config(spec, registry.dataset("mosi"), "paper")
    assert (config.threshold, config.training.epochs, config.training.lr) == (0.25, 3, 5e-5)


def test_show_prints_the_card(plugin: str) -> None:
    shown = CliRunner().invoke(cli, ["show", "mine", "--plugin", plugin])
    assert shown.exit_code == 0, shown.output
    assert "wide: twice as wide (--set model.size=8)" in shown.output
    assert "paper: the equations (this model)" in shown.output
    assert "w/o-a: a" in shown.output and "one head more" in shown.output


MALFORMED = {
    "key": ("summary: A model", "sumary: A model", "unknown key 'sumary'; known: name"),
    "nested": ("venue: V", "venu: V", "unknown key 'paper.venu'"),
    "missing": ("factory: mine:Mine\n", "", "factory is missing; expected text"),
    "inner": ("title: T, ", "", "paper.title is missing; expected text"),
    "text": ("year: 2020", "year: soon", "paper.year: expected a whole number, found 'soon'"),
    "choice": ("[singlelabel]", "[single]", r"label_kinds\[0\]: expected one of multilabel"),
    "list": ("[one head more]", "one head more", "deviations: expected a list, each text"),
    "pair": ("[m3ed, visual, audio]", "[m3ed]", r"compat.exchange\[0\]: expected a list of 3"),
    "mapping": ("{name: w/o-a, removes: a}", "w/o-a", r"ablations\[0\]: expected a mapping"),
    "nothing": ("summary: A model", "summary:", "summary: expected text, found nothing"),
    "twice": ("threshold", "name: other\nthreshold", "the key 'name' is given twice"),
    "yaml": ("name: mine", "name: [mine", "not valid YAML"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_card_is_named_with_its_key(plugin: str, tmp_path: Path, case: str) -> None:
    right, wrong, message = MALFORMED[case]
    assert right in CARD
    (tmp_path / "mine.yaml").write_text(CARD.replace(right, wrong))
    with pytest.raises(PluginError, match=rf"mine.yaml.*{message}"):
        load([plugin])


def test_a_missing_card_is_named(plugin: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").unlink()
    with pytest.raises(PluginError, match=r"mine.yaml' names no file"):
        load([plugin])


def test_first_party_models_are_cards_read_without_their_code() -> None:
    """Every card says whose model it is and what differs; no model's module is imported."""
    code = (
        "import sys\nfrom harness.plugins import load\n"
        "models = load().models\n"
        "code = {e.spec.factory.split(':')[0] for e in models.values()}\n"
        "sys.exit(str(code & set(sys.modules)) if code & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, entry in load().models.items():
        spec = entry.spec
        card = read_card(spec.defaults)
        assert card.name == name and (
            spec.role == "trivial" or name in FLOORS or (spec.paper and spec.deviations)
        )
