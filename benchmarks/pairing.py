"""The pairing check on real data: public sets as they were published, wrong, and as mended here.

Usage: python -m benchmarks.pairing --data DIR [--write]

Three sets are read from DIR (`docs/real-data.md` says where they come from), and the wrong pairing
each was published with is made again: Emotify's tagger rows in the order of a file listing,
MuVi's answers one row late inside each person, EmoPairCompete's one recording under two persons.
Then generated sets that are paired correctly are checked, and false alarms counted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import RESULTS
from harness.data.pairing import Rows, better_pairings
from harness.data.soundness import duplicates
from harness.plugins import load, resolve

GENERATED = 100


def emotify(root: Path) -> dict[str, Rows]:
    """Return Emotify with its tagger rows as published, and as mended."""
    corpus = _corpus("emotify")
    pieces = corpus.pieces(corpus.paths(root)[0], repair=False)
    # The published array: genres as folders in alphabetical order, files as text inside each.
    names = [f"{number}.mp3" for number in range(1, 101)]
    genres = sorted(set(pieces.genres))
    starts = {genre: pieces.genres.index(genre) for genre in genres}
    listing = [
        starts[genre] + i for genre in genres for i in sorted(range(100), key=names.__getitem__)
    ]
    mended = Rows(
        ids=[f"track-{t}" for t in pieces.tracks],
        groups=[f"track-{t}" for t in pieces.tracks],
        labels=pieces.labels.astype(np.float64),
        features={name: x.astype(np.float64) for name, x in pieces.views.items()},
        columns={"genre": pieces.genres},
    )
    wrong = {**mended.features, "tagger": mended.features["tagger"][listing]}
    return {"published": replace(mended, features=wrong), "mended": mended}


def muvi(root: Path) -> dict[str, Rows]:
    """Return MuVi with each person's answers one row late, as published, and as mended."""
    from harness_corpora.muvi import CONDITIONS, factors, read_audio, read_people, read_ratings

    ratings, people, archive = _corpus("muvi").paths(root)
    rows = [row for _, row in read_ratings(ratings, read_people(people))]
    videos, audio = read_audio(archive, {}, repair=False)
    place = {name: i for i, name in enumerate(videos)}
    heard = np.array([row["condition"] != "muted_video" for row in rows])
    sound = audio[[place[row["video"]] for row in rows]].astype(np.float64)
    labels = np.stack([factors(row) for row in rows]).astype(np.float64)
    persons = [row["person"] for row in rows]
    condition = np.array([[row["condition"] == c for c in CONDITIONS] for row in rows])
    mended = Rows(
        ids=[f"{i:04d}" for i in range(len(rows))],
        groups=[row["video"] for row in rows],
        labels=labels,
        features={
            "audio": np.where(heard[:, None], sound, np.nan),
            "condition": condition.astype(np.float64),
        },
        columns={"person": persons},
    )
    late = labels.copy()
    for person in set(persons):
        own = np.flatnonzero(np.array(persons) == person)
        late[own] = np.roll(labels[own], 1, axis=0)
    return {"published": replace(mended, labels=late), "mended": mended}


def emopair(root: Path) -> dict[str, Rows]:
    """Return EmoPairCompete with one recording under two persons, as published, and as mended."""
    from harness_corpora.emopair import read_phases

    corpus = _corpus("emopair")
    arrays = read_phases(corpus.paths(root)[0], {m.name: m.dim for m in corpus.spec.modalities})
    names = [
        f"{i:03d}/{p}/{r}/{s}"
        for i, (p, r, s) in enumerate(
            zip(arrays["person"], arrays["round"], arrays["phase"], strict=True)
        )
    ]
    person, round_ = arrays["person"], arrays["round"]
    source = np.flatnonzero((person == "2-3") & (round_ == 3))
    copy = np.flatnonzero((person == "2-6") & (round_ == 3))
    answered = (arrays["Y"] >= 0).all(axis=1)
    found = {}
    for name in ("published", "mended"):
        views = {m.name: arrays[m.name].astype(np.float64) for m in corpus.spec.modalities}
        if name == "published":
            for view in views.values():
                view[copy] = view[source]
        kept = np.flatnonzero(answered)
        found[name] = Rows(
            ids=[names[i] for i in kept],
            groups=[str(arrays["team"][i]) for i in kept],
            labels=arrays["Y"][kept].astype(np.float64),
            features={view: x[kept] for view, x in views.items()},
            columns={"person": [str(person[i]) for i in kept]},
        )
    return found


def generated(seed: int) -> Rows:
    """Return a correctly paired set: groups of rows, two views, labels that both explain a little.

    Args:
        seed: of the generator.
    """
    rng = np.random.default_rng(seed)
    count, groups = 400, 40
    group = np.sort(rng.integers(groups, size=count))
    hidden = rng.standard_normal((groups, 3))[group] + rng.standard_normal((count, 3))
    noise = rng.uniform(1, 6)
    views = {
        name: hidden @ rng.standard_normal((3, d)) + noise * rng.standard_normal((count, d))
        for name, d in (("a", 12), ("b", 30))
    }
    drawn = hidden @ rng.standard_normal((3, 5)) + rng.standard_normal((count, 5))
    labels = (drawn > 0.5).astype(np.float64)
    order = rng.permutation(count)
    return Rows(
        ids=[f"row-{i}" for i in range(count)],
        groups=[f"group-{group[i]}" for i in order],
        labels=labels[order],
        features={name: x[order] for name, x in views.items()},
        columns={"person": [str(i % 9) for i in range(count)]},
    )


def said_of(rows: Rows) -> list[str]:
    """Return what the check says of pairing and copies that do harm."""
    copies = [finding.text for finding in duplicates(rows) if finding.harmful]
    return [*map(str, better_pairings(rows)), *copies]


def _corpus(name: str) -> Any:
    spec = load().dataset(name)
    return resolve(spec.corpus)(spec)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the three sets and the generated ones, say what was found, and write it if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets' folders")
    parser.add_argument("--write", action="store_true", help="write the result file")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = {}
    for name, made in (("emotify", emotify), ("muvi", muvi), ("emopair", emopair)):
        result[name] = {state: said_of(rows) for state, rows in made(options.data).items()}
    alarms = [seed for seed in range(GENERATED) if said_of(generated(seed))]
    result["generated"] = {"sets": GENERATED, "false_alarms": len(alarms)}
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    if options.write:
        (RESULTS / "pairing.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
