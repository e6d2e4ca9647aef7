"""MEmoR's reader on small trees in the authors' layout: splits, facts, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.describe import verify
from harness.data.prepare import prepare
from harness.errors import DataFormatError, DataMissingError, HarnessError
from harness.protocols.dropout import Traits, expand
from harness.specs import DatasetSpec, ModalitySpec
from harness_corpora.memor import Memor, MemorClean, MemorClips
from harness_corpora.memor.corpus import held_out
from harness_corpora.memor.files import read_personality, read_rows
from harness_corpora.memor.reader import Dims
from harness_corpora.specs import MEMOR, MEMOR_FINE, MEMOR_PRIMARY

TREE = Path(__file__).parents[2] / "golden" / "memor-reader" / "seed0"
SMALL = Dims(face=4, object=5, environment=6, audio=7, text=6, personality=9)


class Small(Memor):
    dims = SMALL


class SmallClean(MemorClean):
    dims = SMALL


class SmallClips(MemorClips):
    dims = SMALL


def small(spec: DatasetSpec) -> DatasetSpec:
    sizes = {"text": 6, "visual": 15, "audio": 7}
    modalities = tuple(ModalitySpec(m.name, m.key, sizes[m.name], 64) for m in spec.modalities)
    return replace(spec, modalities=modalities, personality_dim=9)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(TREE, tmp_path / "memor")
    return tmp_path


def edit(path: Path, change: Callable[[dict], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def read(root: Path, corpus: type[Memor] = Small, spec: DatasetSpec = MEMOR_PRIMARY) -> dict:
    return {s.name: s for s in corpus(small(spec)).read(root)}


def test_the_validation_draw_is_the_references() -> None:
    order = np.arange(10)
    np.random.RandomState(2020).shuffle(order)
    assert order.tolist() == [2, 4, 9, 1, 5, 7, 6, 3, 8, 0]
    train, valid = held_out(list("abcdefghij"))
    assert valid == ["c", "e"] and train == list("abdfghij")
    many = np.arange(1000)
    np.random.RandomState(2020).shuffle(many)
    assert many[:8].tolist() == [725, 986, 815, 656, 469, 76, 668, 286]


def test_samples_are_filtered_by_the_id_files(root: Path) -> None:
    splits = read(root)
    listed = {n: set((TREE / f"{n}_id.txt").read_text().split()) for n in ("train", "test")}
    ids = {name: {i.split("#")[1] for i in s.ids} for name, s in splits.items()}
    assert ids["train"] | ids["valid"] == listed["train"] and ids["test"] == listed["test"]
    assert not ids["train"] & ids["valid"]
    (root / "memor" / "test_id.txt").write_text(" 1 \n\n11\n")
    assert [i.split("#")[1] for i in read(root)["test"].ids] == ["1", "11"]


def test_primary_and_fine_are_the_same_samples(root: Path) -> None:
    primary, fine = read(root), read(root, Small, MEMOR_FINE)
    for name in primary:
        assert list(primary[name].ids) == list(fine[name].ids)
        assert fine[name].labels.shape[1] == 14
    assert primary["train"].labels.shape[1] == 9


def test_target_cell_of_moments_inside_two_segments_and_none(root: Path) -> None:
    edit(
        root / "memor/data.json",
        lambda d: first_clip(d).update(
            start=0.0, seg_start=[0.0, 2.0, 3.0], seg_end=[2.0, 4.0, 5.0],
            seg_ori_ind=[0, 1, 2], speakers=[7, 7, 7], on_character=[4, 0, 4],
        ),
    )  # fmt: skip
    (root / "memor/features/text_features.json").write_text("{}")
    moments = {0.0: (1, 0), 2.0: (1, 1), 3.5: (1, 1), 4.0: (1, 2), 5.0: None, 99.0: None}
    notes = [{"clip": "S04E12_001", "character": 2, "moment": m, "emotion": "joy"} for m in moments]
    (root / "memor/anno.json").write_text(json.dumps({"primary": notes * 2}))
    for name, ids in (("train", range(6)), ("test", range(6, 12))):
        (root / f"memor/{name}_id.txt").write_text("\n".join(map(str, ids)))
    splits = read(root)
    test = splits["test"]
    # The annotated person, 2, is not among those on screen and stands between them in order.
    assert {tuple(c.tolist()) for c in test.characters} == {(0, 2, 4)}
    assert test.has_target.tolist() == [cell is not None for cell in moments.values()]
    found = list(zip(test.target_person.tolist(), test.target_segment.tolist(), strict=True))
    assert found == [cell or (2, 2) for cell in moments.values()]
    assert test.facts["samples without a target cell"] == 2


def test_clean_moves_every_sample_of_a_shared_moment_to_train(root: Path) -> None:
    main, clean = read(root), read(root, SmallClean)
    assert main["test"].facts["moments in both train and test"] == 1
    assert clean["test"].facts["moments in both train and test"] == 0

    def moments(splits: dict, names: tuple[str, ...]) -> set[str]:
        return {m for n in names for m in splits[n].extras["moment"]}

    shared = moments(main, ("train", "valid")) & moments(main, ("test",))
    assert len(shared) == 1
    assert not moments(clean, ("train", "valid")) & moments(clean, ("test",))
    everything = {i for s in main.values() for i in s.ids}
    assert {i for s in clean.values() for i in s.ids} == everything


def test_clips_merge_the_annotations_of_their_part(root: Path) -> None:
    main, clips = read(root), read(root, SmallClips, MEMOR[4])
    wanted: dict[str, np.ndarray] = {}
    for group, row in zip(main["test"].groups, main["test"].labels, strict=True):
        wanted[group] = wanted.get(group, 0) | row
    test = clips["test"]
    assert set(test.ids) == set(wanted) and not test.has_target.any()
    assert not {"distinct moments", "samples without a target cell"} & test.facts.keys()
    assert all((row == wanted[clip]).all() for clip, row in zip(test.ids, test.labels, strict=True))


@pytest.mark.parametrize("corpus", [Small, SmallClips])
def test_prepared_and_batched_under_the_suites(root: Path, corpus: type[Memor]) -> None:
    spec = small(MEMOR_PRIMARY if corpus is Small else MEMOR[4])
    store = prepare(corpus(spec), root, spec.name)
    report = verify(store, corpus(spec), root)
    assert report["ok"] and len(report["sources"]) == 7 + 4 * 5
    split = store.split("train")
    for protocol in expand(["core@1", "party@1"], Traits.of(spec)):
        masks = protocol.masks(split.mask_request())
        batch = next(
            iter(
                split.loader(batch_size=3, mask_option="nonzero", masks=masks, null_positions=True)
            )
        )
        assert batch.personality is not None and batch.personality.shape[2] == 9
        assert (batch.focus is None) == (corpus is SmallClips)
        assert all(torch.isfinite(x).all() for x in batch.features.values())


def test_no_table_is_shared_by_different_tasks() -> None:
    assert len({s.name for s in MEMOR}) == len(MEMOR) == 6
    assert {s.label_kind for s in MEMOR if "clip-multilabel" in s.name} == {"multilabel"}
    assert all(s.selection_metric == "accuracy" for s in MEMOR if s.label_kind == "singlelabel")


def test_personality_columns_have_unit_norm_and_zero_columns_stay(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("\n".join(f"{i}.0,0,{-2 * i}" for i in range(8)) + "\n")
    traits = read_personality(path, 3)
    assert np.allclose(np.linalg.norm(traits, axis=0), [1, 0, 1])
    path.write_text("1,2\n3\n")
    with pytest.raises(DataFormatError, match="8×3"):
        read_personality(path, 3)


def test_rows_are_read_across_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness_corpora.memor.files._CHUNK", 5)
    path = tmp_path / "rows.json"
    value = {f"clip+{i}": [i + 0.5, -1e-3, 2] for i in range(6)}
    path.write_text(json.dumps(value, indent=1))
    rows = read_rows(path, 3, {"clip+4", "clip+0"})
    assert sorted(rows) == ["clip+0", "clip+4"]
    assert np.allclose(rows["clip+4"], value["clip+4"])
    for text in ("{}", " { } "):
        path.write_text(text)
        assert read_rows(path, 3, {"a"}) == {}


@pytest.mark.parametrize(
    "text",
    ['{"a": [1, NaN]}', '{"a": [1, 1e999]}', '{"a": [1]}', '{"a": [1, true]}', "[1, 2]",
     '{"a": [1, 2]', '{"a": [1, 2] "b": [1, 2]}', '{"a": 3}', '{"a": [1, 2', "",
     '{"a": [1, 1' + 400 * "0" + "]}", '{"a": ' + 99_999 * "[" + "]", '{"a": [1, \xff]}'],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_rows_that_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text, encoding="latin1")
    with pytest.raises(DataFormatError, match=r"rows\.json"):
        read_rows(path, 2, {"a", "b"})


def first_clip(data: dict) -> dict:
    return data["S04E12_001"]


BAD_JSON: list[tuple[str, Callable[[dict], object], str]] = [
    ("anno.json", lambda a: a["primary"][3].update(emotion="love"), r"primary\[3\].*emotion"),
    ("anno.json", lambda a: a["primary"][2].update(character=8), "character.*0..7"),
    ("anno.json", lambda a: a["primary"][2].update(character=True), "character.*0..7"),
    ("anno.json", lambda a: a["primary"][0].update(clip="../up"), "clip name"),
    ("anno.json", lambda a: a["primary"][0].update(clip=300 * "S"), "clip name"),
    ("anno.json", lambda a: a["primary"][0].update(clip="S01E01_9"), r"no clip.*primary\[0\]"),
    ("anno.json", lambda a: a["primary"][0].update(moment=10**400), "a number of 401 digits"),
    (
        "anno.json",
        lambda a: a["primary"][0].update(moment=float("nan")),
        "NaN, which is no JSON number",
    ),
    ("anno.json", lambda a: a.pop("primary"), "primary"),
    ("data.json", lambda d: first_clip(d)["seg_end"].pop(), "of one length"),
    ("data.json", lambda d: first_clip(d)["on_character"].append(9), "on_character"),
    ("data.json", lambda d: first_clip(d).update(start="0"), "start.*finite number"),
    ("data.json", lambda d: first_clip(d)["speakers"].__setitem__(0, 1.5), "speakers.*integers"),
    ("data.json", lambda d: d.update({"a/b": first_clip(d)}), "clip name"),
    ("features/text_features.json", lambda t: t.pop("S04E12_001+0"), "text of a segment"),
]


@pytest.mark.parametrize(("file", "change", "message"), BAD_JSON)
def test_json_that_is_refused(
    root: Path, file: str, change: Callable[[dict], object], message: str
) -> None:
    edit(root / "memor" / file, change)
    with pytest.raises(DataFormatError, match=message):
        read(root)


def test_ids_that_are_refused(root: Path) -> None:
    bad = {"99\n": "position 0..12", "x\n": "line 1", "0\n": "as well", "\n": "lists no sample"}
    for text, message in (bad | {5000 * "9": "position 0..12"}).items():
        (root / "memor" / "test_id.txt").write_text(text)
        with pytest.raises(DataFormatError, match=rf"test_id\.txt.*{message}"):
            read(root)


def test_json_that_nests_too_deep_and_traits_too_large(root: Path) -> None:
    (root / "memor/features/character_features.csv").write_text(8 * (8 * "1e300," + "1\n"))
    with pytest.raises(DataFormatError, match="finite numbers"):
        read(root)
    (root / "memor/data.json").write_text(99_999 * "[")
    with pytest.raises(
        DataFormatError, match=r"data\.json is no JSON document .*nested too deeply"
    ):
        read(root)


def tensor_file(root: Path, kind: str) -> Path:
    return root / "memor/features/visual_features" / f"{kind}_features/S04E12_001.pt"


def test_visual_files_that_are_refused(root: Path) -> None:
    good = torch.load(tensor_file(root, "face"), weights_only=True)
    infinite = good.clone()
    infinite[0, 0] = float("inf")
    bad = {
        "finite": infinite, "row for each": good[:3], r"\[n, 4\]": good[:, :3], "float": good.long()
    }  # fmt: skip
    for message, value in bad.items():
        torch.save(value, tensor_file(root, "face"))
        with pytest.raises(DataFormatError, match=message):
            read(root)
    torch.save(list(good), tensor_file(root, "face"))
    rows = read(root)["train"].rows["visual"]
    torch.save(good, tensor_file(root, "face"))
    assert np.array_equal(rows, read(root)["train"].rows["visual"])
    scene = torch.load(tensor_file(root, "object"), weights_only=True)
    torch.save(scene[:2], tensor_file(root, "object"))
    with pytest.raises(DataFormatError, match=r"S04E12_001.*frames do not reach"):
        read(root)


def test_files_that_are_not_there(root: Path) -> None:
    tensor_file(root, "face").unlink()
    with pytest.raises(DataMissingError, match="S04E12_001"):
        read(root)
    (root / "memor/anno.json").unlink()
    assert [p.name for p in Small(small(MEMOR_PRIMARY)).missing(root)] == ["anno.json"]


def test_face_names_that_are_refused(root: Path) -> None:
    path = root / "memor/features/visual_features/face_names/S04E12_001.txt"
    for name in ("1_2_Sheldon.jpg", "x_Sheldon.jpg", 5000 * "9" + "_Sheldon.jpg"):
        path.write_text("\t".join([name] * 12))
        with pytest.raises(HarnessError, match=r"frame.*person"):
            read(root)
