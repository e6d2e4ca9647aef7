"""Data sets as Croissant: what the card knows is there, what it does not know is not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli import cli
from harness.data.locate import corpus_of
from harness.exchange.croissant import croissant
from harness.plugins import TWIN, load
from harness_corpora import mosi


def names() -> list[str]:
    specs = [entry.spec for entry in load().datasets.values()]
    return [s.name for s in specs] + [s.base_name + TWIN for s in specs if s.has_twin]


def document(name: str) -> dict[str, Any]:
    text = json.dumps(croissant(corpus_of(load().dataset(name))), allow_nan=False)
    found: dict[str, Any] = json.loads(text)
    return found


def by_id(parts: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    assert len({part["@id"] for part in parts}) == len(parts)
    return {part["@id"]: part for part in parts}


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, ["export", *words])


@pytest.mark.full
def test_mlcroissant_reads_every_data_set() -> None:
    import mlcroissant

    for name in names():
        read = mlcroissant.Dataset(jsonld=document(name))
        spec, found = load().dataset(name), read.metadata
        assert not found.ctx.issues.errors, name
        # The card has no date of publication, and none is made up.
        assert all("datePublished" in warning for warning in found.ctx.issues.warnings), name
        assert (found.name, found.version) == (spec.name, f"{spec.version}.0.0")
        labels = sorted(read.records("labels"), key=lambda row: row["labels/index"])
        assert [row["labels/name"] for row in labels] == [*spec.labels]
        assert [row["splits/name"] for row in read.records("splits")] == [*spec.splits]
        fields = {f.id: f for r in found.record_sets for f in r.fields}
        shapes = [f.array_shape_tuple for f in fields.values() if f.data_type.__name__ == "float32"]
        assert {m.dim for m in spec.modalities} <= {s[-1] for s in shapes if s}, name


@pytest.mark.parametrize("name", names())
def test_every_part_is_there_and_every_reference_leads_somewhere(name: str) -> None:
    spec, found = load().dataset(name), document(name)
    assert found["license"] == spec.licence and found["citeAs"] == spec.citation
    assert all(note in found["rai:dataLimitations"] for note in spec.notes)
    files, sets = by_id(found["distribution"]), by_id(found["recordSet"])
    fields = by_id([field for record in sets.values() for field in record["field"]])
    sources = {f["source"]["fileSet"]["@id"] for f in fields.values() if "source" in f}
    assert "store" in sources and sources <= files.keys()
    assert {f["references"]["field"]["@id"] for f in fields.values() if "references" in f} == {
        "splits/name"
    }
    assert fields["samples/labels"]["arrayShape"] == str(len(spec.labels))
    told = " ".join(f["description"] for f in fields.values())
    assert all(m.extractor in told for m in spec.modalities)
    for file in spec.files:
        held = files[f"files/{file.path}"]
        known = spec.source == "real" and file.sha256
        assert held.get("sha256") == (file.sha256 if known else None), file.path
        assert (held["@type"] == "cr:FileObject") == bool(known)
        assert held.get("contentSize") == (f"{file.size} B" if known else None)
    generated = spec.source == "twin"
    assert ("generated data" in found["keywords"]) == generated
    assert found["description"].startswith("Generated data" if generated else "Real data")


def test_shipped_data_is_described_with_its_digest() -> None:
    files = by_id(document("mosi")["distribution"])
    content = mosi.DATA.read_bytes()
    held = files["files/mosi_utterance.npz"]
    assert held["sha256"] == hashlib.sha256(content).hexdigest()
    assert held["contentSize"] == f"{len(content)} B"
    assert str(mosi.DATA.parent) not in json.dumps(files), "no path of this machine"


def test_samples_of_grids_point_to_rows_that_they_share() -> None:
    sets = by_id(document("memor-fine-twin")["recordSet"])
    assert {"rows/text", "rows/visual", "rows/audio", "rows/personality"} < sets.keys()
    fields = by_id(sets["samples"]["field"])
    assert "samples/index%3Atext" in fields and "samples/features%3Atext" not in fields


def test_published_counts_and_shares_are_of_real_data() -> None:
    real, twin = (by_id(document(n)["recordSet"]) for n in ("m3ed", "m3ed-twin"))
    published = corpus_of(load().dataset("m3ed")).published_counts
    counts = {r["splits/name"]: r["splits/samples"] for r in real["splits"]["data"]}
    assert counts == published
    assert all("splits/samples" not in row for row in twin["splits"]["data"])
    shares = [row["labels/share"] for row in real["labels"]["data"]]
    assert shares == [*load().dataset("m3ed").published_marginals]


def test_the_command_writes_what_the_function_returns(tmp_path: Path) -> None:
    to = tmp_path / "made" / "mosi.json"
    done = call("mosi", "--format", "croissant", "--to", str(to))
    assert done.exit_code == 0, done.output
    assert json.loads(to.read_text("utf-8")) == document("mosi")
    assert [p.name for p in to.parent.iterdir()] == ["mosi.json"], "nothing is left beside it"
    printed = call("mosi", "--format", "croissant")
    assert printed.stdout == to.read_text("utf-8")


def test_what_is_no_data_set_is_one_message(tmp_path: Path) -> None:
    for words, told in (
        (("mosy", "--format", "croissant"), "Did you mean 'mosi'"),
        (("mosi", "--format", "ro-crate"), "ro-crate"),
        (("mosi",), "--format"),
        (("mosi", "--format", "croissant", "--to", str(tmp_path)), str(tmp_path)),
    ):
        ended = call(*words)
        assert ended.exit_code == 2 and told in ended.stderr, ended.output
        assert "Traceback" not in ended.stderr
    assert not [*tmp_path.iterdir()]
