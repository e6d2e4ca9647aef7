"""What a board gives to files, page, index and ranks, as values that can be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.boards.views import index, ranks, skills


@dataclass(frozen=True)
class Product:
    """What a board gives: its files, and its part in those about all boards.

    ``runs`` are the ids it shows, ``contents`` what they join by (`Board.hashes`), ``wrong`` a
    line each run whose figures do not follow from its predictions; None: not checked.
    """

    files: dict[str, str]
    page: dict[str, Any]
    entry: index.Entry
    candidates: ranks.Candidates
    skill: skills.Measured | None
    runs: list[str]
    contents: list[str]
    wrong: list[str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the product as JSON values."""
        plain = {"entry": asdict(self.entry), "candidates": asdict(self.candidates)}
        skill = None if self.skill is None else asdict(self.skill)
        return {**vars(self), **plain, "skill": skill}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Product:
        """Return a product from `as_dict`."""
        entry, ranked, skill = known["entry"], known["candidates"], known["skill"]
        return cls(
            known["files"],
            known["page"],
            index.Entry.from_dict(entry),
            ranks.Candidates(**ranked | {"others": tuple(ranked["others"])}),
            None if skill is None else skills.Measured.from_dict(skill),
            known["runs"],
            known["contents"],
            known["wrong"],
        )
