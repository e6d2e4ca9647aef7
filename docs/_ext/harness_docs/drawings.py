"""The pictures of the page of concepts, drawn from what the protocols themselves give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.protocols.dropout import MaskRequest, parse
from harness.protocols.metrics import multilabel_metrics

INK, PALE, BLUE, GREEN, RED, GREY = "#1f2933", "#e4e7eb", "#9cc3e6", "#a8d5a2", "#f0a8a0", "#7b8794"


@dataclass
class Canvas:
    """An SVG picture of a size in pixels, on white so that it is read on dark pages, too."""

    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def box(self, at: tuple[float, float], size: tuple[float, float], fill: str) -> None:
        """Draw a rectangle at its upper left corner."""
        (x, y), (w, h) = at, size
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="4" fill="{fill}" '
            f'stroke="{INK}"/>'
        )

    def text(self, at: tuple[float, float], text: str, anchor: str = "middle", size: int = 13,
             ink: str = INK) -> None:  # fmt: skip
        """Write text with its baseline at a point."""
        safe = text.replace("&", "&amp;").replace("<", "&lt;")
        self.parts.append(
            f'<text x="{at[0]:g}" y="{at[1]:g}" text-anchor="{anchor}" font-size="{size}" '
            f'fill="{ink}">{safe}</text>'
        )

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw an arrow."""
        self.parts.append(
            f'<line x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}" '
            f'stroke="{INK}" marker-end="url(#tip)"/>'
        )

    def labelled(self, at: tuple[float, float], size: tuple[float, float], fill: str,
                 lines: Sequence[str]) -> None:  # fmt: skip
        """Draw a box with lines of text in its middle, the first one in ink, others in grey."""
        self.box(at, size, fill)
        first = at[1] + size[1] / 2 + 5 - 8 * (len(lines) - 1)
        for i, line in enumerate(lines):
            self.text((at[0] + size[0] / 2, first + 16 * i), line, size=13 if i == 0 else 11)

    def svg(self) -> str:
        """Return the picture."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" font-family="sans-serif" role="img">'
            f"<title>{self.title}</title>"
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto">'
            f'<path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker></defs>'
            f'<rect width="{self.width}" height="{self.height}" rx="8" fill="white"/>'
        )
        return "\n".join([head, *self.parts, "</svg>"]) + "\n"


def pages() -> dict[str, str]:
    """Return the pictures by path."""
    return {
        "images/data-set.svg": data_set().svg(),
        "images/dropout.svg": dropout().svg(),
        "images/metrics.svg": metrics().svg(),
    }


def data_set() -> Canvas:
    """Draw what a data set's protocol fixes: from files to batches, splits and groups."""
    canvas = Canvas(720, 230, "From the authors' files to a model")
    steps = [
        ("authors' files", "as published", PALE), ("reader", "checked, cleaned", BLUE),
        ("store", "hashed by content", BLUE), ("batches", "padded and masked", BLUE),
        ("model", "a plugin", GREEN),
    ]  # fmt: skip
    for i, (name, told, fill) in enumerate(steps):
        canvas.labelled((20 + 140 * i, 24), (118, 52), fill, [name, told])
        if i:
            canvas.arrow((20 + 140 * i - 22, 50), (20 + 140 * i - 1, 50))
    canvas.text(
        (20, 112), "the store: samples in splits; samples of one group stay together", "start"
    )
    x = 20.0
    for split, count in (("train", 9), ("valid", 3), ("test", 4)):
        for i in range(count):
            fill = (BLUE, GREEN, PALE)[(i // 2) % 3]
            canvas.box((x, 128), (34, 34), fill)
            x += 36
        canvas.text((x - 18 * count, 184), split)
        x += 24
    canvas.text((20, 212), "one colour, one group (a video, a dialogue): the unit of intervals and "
                "tests", "start", 12, GREY)  # fmt: skip
    return canvas


def dropout() -> Canvas:
    """Draw the masks of five protocols on eight samples of three modalities."""
    names = ["full@1", "only-t@1", "drop-t@1", "random-0.3@1", "random-0.5@1"]
    keys, ids = ("v", "a", "t"), tuple(f"sample-{i}" for i in range(8))
    natural = np.ones((8, 3), dtype=bool)
    request = MaskRequest("test", ids, keys, natural, np.full((8, 3), 4), aligned=True)
    canvas = Canvas(720, 250, "Masks of five dropout protocols on eight samples")
    for k, name in enumerate(names):
        keep = parse(name).masks(request).keep
        left = 60 + 132 * k
        canvas.text((left + 48, 28), name)
        for m, key in enumerate(keys):
            canvas.text((left + 16 + 32 * m, 48), key, size=12, ink=GREY)
            for i in range(8):
                fill = GREEN if keep[i, m] else "white"
                canvas.box((left + 2 + 32 * m, 54 + 20 * i), (28, 17), fill)
    for i in range(8):
        canvas.text((48, 67 + 20 * i), f"{i + 1}", "end", 11, GREY)
    canvas.text((60, 238), "rows: samples; v visual, a audio, t text; green: the model gets it. "
                "The same masks for every model.", "start", 12, GREY)  # fmt: skip
    return canvas


TRUTH = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0]])
SCORES = np.array([[0.9, 0.2, 0.4], [0.1, 0.8, 0.6], [0.7, 0.1, 0.3], [0.2, 0.3, 0.1]])
LABELS = ("happy", "sad", "angry")


def metrics() -> Canvas:
    """Draw the worked example: truth, scores, decisions at .5, and the figures."""
    decided = (SCORES > 0.5).astype(int)
    found = multilabel_metrics(TRUTH, decided, SCORES, LABELS)
    canvas = Canvas(720, 220, "Four samples, three labels, decided at .5")
    for k, (name, values) in enumerate(
        (("truth", TRUTH), ("scores", SCORES), ("decided", decided))
    ):
        left = 40 + 180 * k
        canvas.text((left + 72, 28), name)
        for j, label in enumerate(LABELS):
            canvas.text((left + 24 + 48 * j, 48), label, size=11, ink=GREY)
            for i in range(4):
                canvas.box((left + 2 + 48 * j, 56 + 30 * i), (44, 26), _fill(name, i, j, decided))
                canvas.text((left + 24 + 48 * j, 74 + 30 * i), f"{values[i, j]:g}", size=12)
    lines = ("micro_p", "micro_r", "micro_f1", "macro_f1", "jaccard", "hamming")
    for i, name in enumerate(lines):
        canvas.text((592, 74 + 20 * i), f"{name} {found[name]:.3f}", "start", 12)
    canvas.text((40, 206), "green: right and there (TP); red: wrong (FP, FN)", "start", 12, GREY)
    return canvas


def _fill(name: str, i: int, j: int, decided: np.ndarray) -> str:
    if name == "scores":
        return "white"
    if TRUTH[i, j] != decided[i, j]:
        return RED
    return GREEN if TRUTH[i, j] else "white"
