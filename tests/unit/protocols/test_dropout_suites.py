"""Names, versions, suites, and the data a protocol cannot have."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.errors import DataFormatError, PluginError, UnknownNameError, UsageError
from harness.plugins import load
from harness.protocols.dropout import EVERYTHING, Traits, expand, parse, suite, training_protocol
from harness.protocols.suites import SUITES, members
from harness.protocols.suites import ids as suite_ids
from harness.specs import DatasetSpec, ModalitySpec


def ids(protocols):
    return [p.id for p in protocols]


def test_core_suite_is_the_card_s_list():
    rates = [f"random-{r}@1" for r in ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7")]
    assert ids(suite("core@1")) == [
        "full@1",
        *(f"only-{m}@1" for m in "vat"),
        *(f"drop-{m}@1" for m in "vat"),
        *rates,
    ]


@pytest.mark.parametrize(
    ("name", "size"), [("core", 14), ("temporal", 15), ("party", 6), ("noise", 8), ("smoke", 5)]
)
def test_suite_sizes(name, size):
    found = suite(f"{name}@1")
    assert len(found) == len(set(found)) == size
    assert found[0].id == "full@1"


def test_noise_suite_names_survive_parsing():
    assert "noise-1.0@1" in ids(suite("noise"))
    assert "noise-snr-10@1" in ids(suite("noise"))


def test_suite_fits_the_data_set():
    two = Traits(keys=("timbre", "rhythm"))
    assert ids(suite("core", two))[:5] == [
        "full@1",
        "only-rhythm@1",
        "only-timbre@1",
        "drop-rhythm@1",
        "drop-timbre@1",
    ]
    assert ids(suite("core", Traits(keys=("a",)))) == ["full@1", "only-a@1"]
    assert ids(suite("party", Traits())) == ["full@1", "nonspeaker-0.5@1"]
    grid = Traits(units=True, persons=True, parties=True, personality=True)
    assert suite("party", grid) == suite("party")
    assert "nonspeaker-0.5@1" in ids(suite("smoke", Traits()))


def test_traits_of_a_spec():
    modalities = (ModalitySpec("visual", "v", 4, 1), ModalitySpec("text", "t", 4, 1))
    spec = DatasetSpec("x", "m:C", modalities, ("a",), layout="grid", personality_dim=3)
    found = Traits.of(spec)
    assert found == Traits(("v", "t"), False, True, True, True, True)
    # Refused before a model is trained, not when its test split is masked.
    for name, instead in (("frames-sync-0.3", "frames-0.3"), ("burst-sync-0.3", "burst-0.3")):
        with pytest.raises(UsageError, match=f"not aligned .*{instead}"):
            expand([name], found)
    assert len(expand(["core", "temporal", "party", "noise"], found)) == 1 + 11 + 14 + 5 + 7
    assert Traits.of(replace(spec, layout="sequence")).aligned


def test_expand_mixes_suites_and_protocols_without_duplicates():
    found = ids(expand(["full", "smoke@1", "random-0.5@1", "frames-0.2"], Traits()))
    assert found == [
        "full@1",
        "only-t@1",
        "drop-t@1",
        "random-0.5@1",
        "nonspeaker-0.5@1",
        "frames-0.2@1",
    ]
    with pytest.raises(UsageError, match="no modality 'z'"):
        expand(["only-z@1"], Traits())
    with pytest.raises(UnknownNameError, match="core@1"):
        expand(["cor@1"])


def test_one_spelling_of_a_number():
    assert parse("random-0.30").id == parse("random-0.3@1").id == "random-0.3@1"
    assert parse("noise-snr--5").level == -5.0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("randm-0.7@1", "random-0.7@1"),
        ("onyl-t", "only-t@1"),
        ("full-", "full@1"),
        ("frames-sinc-0.2", "frames-sync-0.2@1"),
    ],
)
def test_unknown_names_suggest_the_nearest(name, hint):
    with pytest.raises(UnknownNameError, match=f"Did you mean '{hint}'"):
        parse(name)


def test_suggestions_name_what_the_data_has_and_nothing_that_was_typed():
    bare, whole = Traits(("s", "x"), aligned=False), replace(EVERYTHING, keys=("s", "x"))
    for traits in (bare, whole):
        for name in ("nope@1", "mnr-nope-0.3", "worse-nope", "onyl-v@1"):
            for ask in (lambda n, t: expand([n], t), parse, training_protocol):
                with pytest.raises(UnknownNameError) as caught:
                    ask(name, traits)
                known = str(caught.value).partition("Known: ")[2].rstrip(".").split(", ")
                assert not any(parse(k).misfit(traits) for k in known if k not in suite_ids())
                assert str(caught.value).count("nope") <= 1
    for name in ("nope@1", "worse-nope", "mnr-nope-0.3"):
        with pytest.raises(UnknownNameError) as caught:
            parse(name)
        assert str(caught.value).count("nope") == 1
    with pytest.raises(UnknownNameError, match="Did you mean 'only-x@1'"):
        training_protocol("onyl-x@1", bare)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("random-1.5", "between 0 and 1"),
        ("frames-1.0", "between 0 and 1"),
        ("random-0", "between 0 and 1"),
        ("noise-0", "above 0"),
        ("nonspeaker-1.5", "at most 1"),
        ("random-0.3@2", "version 1 only"),
        ("core@2", "version 1 only"),
    ],
)
def test_numbers_and_versions_out_of_range(name, says):
    with pytest.raises(UsageError, match=says):
        expand([name])


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("frames-sync-0.3", {"aligned": False}, "not aligned.*frames-0.3"),
        ("burst-sync-0.3", {"aligned": False}, "not aligned.*burst-0.3"),
        ("drop-p", {}, "no personality"),
        ("party-silent", {}, "parties"),
        ("nonspeaker", {}, "nonspeaker-0.5"),
        ("random-seg-0.3", {}, "no segments"),
        ("only-z", {}, "no modality 'z' .it has v, a, t"),
        ("drop-z", {}, "no modality 'z'"),
        ("drop-v", {"modalities": ("v",)}, "nothing would be left"),
        ("random-0.3", {"modalities": ("v",)}, "always survives"),
        ("nonspeaker-0.5", {"modalities": ("a", "t")}, "needs modality 'v'"),
        ("train-mix", {}, "for training only"),
    ],
)
def test_protocols_the_data_cannot_have(ask, name, changes, says):
    with pytest.raises(UsageError, match=says):
        parse(name).masks(ask(3, **changes))


def test_requests_are_validated(ask):
    with pytest.raises(DataFormatError, match="not unique"):
        ask(["a", "a"])
    with pytest.raises(DataFormatError, match="not unique"):
        ask(["\u00e9", "e\u0301"])  # the same character in NFC
    with pytest.raises(DataFormatError, match="0x1F"):
        ask(["a\x1fb"])
    with pytest.raises(DataFormatError, match="shape"):
        ask(["a"], natural=ask(2).natural)
    with pytest.raises(DataFormatError, match="1 units for 2"):
        ask(2, units=[["x"]])


def test_level_is_the_number_or_zero():
    assert parse("nonspeaker-0.5").level == 0.5
    assert parse("nonspeaker").level == parse("only-v").level == 0.0


PLUGIN = """
from harness import Suite, hookimpl

@hookimpl
def harness_suites():
    return [Suite("ends", lambda t: [f"only-{t.keys[0]}", "drop-p", "noise-snr--5"], "made")]
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    before = dict(SUITES)
    path = tmp_path / "my_suites.py"
    path.write_text(PLUGIN)
    yield path
    SUITES.clear()
    SUITES.update(before)


def test_a_suite_of_a_plugin_is_listed_expanded_and_fitted(plugin):
    result = CliRunner().invoke(cli, ["list", "suites", "--json", "--plugin", str(plugin)])
    listed = {s["name"]: s for s in json.loads(result.stdout)["suites"]}
    assert listed["ends@1"]["protocols"] == ["full@1", "only-v@1", "drop-p@1", "noise-snr--5@1"]
    assert len(listed["core@1"]["protocols"]) == 14
    fitted = Traits(keys=("t", "a"))
    assert members("ends@1", fitted) == ["full@1", "only-t@1", "noise-snr--5@1"]
    assert ids(expand(["ends"], fitted)) == members("ends", fitted)
    plugin.write_text(PLUGIN.replace('"ends"', '"core"'))
    with pytest.raises(PluginError, match="'core' is one of the harness's own suites"):
        load([str(plugin)])
    with pytest.raises(UnknownNameError, match="Did you mean 'ends@1'"):
        members("end@1")


@pytest.mark.parametrize(
    "traits",
    [
        Traits(),
        Traits(keys=("rhythm", "timbre")),
        Traits(units=True, persons=True, parties=True, personality=True),
    ],
)
def test_traits_follow_from_the_protocols_that_results_are_under(traits):
    scored = {i for name in ("core", "temporal", "party", "noise") for i in members(name, traits)}
    found = Traits.of_protocols(scored)
    for name in ("core", "temporal", "party", "noise"):
        assert members(name, found) == members(name, traits)


@pytest.mark.parametrize(
    ("key", "says"), [("p", "'drop-p' drops the personality"), ("x@y", "none of @ #")]
)
def test_modality_keys_that_dropout_names_cannot_hold_are_refused(plugin, key, says):
    plugin.write_text(
        "from harness import DatasetSpec, ModalitySpec, hookimpl\n"
        "@hookimpl\ndef harness_datasets():\n"
        f"    return [DatasetSpec('x', 'm:C', (ModalitySpec('pose', {key!r}, 4, 1),), ('a',))]\n"
    )
    result = CliRunner().invoke(cli, ["list", "datasets", "--plugin", str(plugin)])
    assert result.exit_code == 2 and says in result.stderr
