"""Makes sample.npz: `python sample.py`. N samples, T positions, d features, L labels."""

from pathlib import Path

import numpy as np

PEOPLE, EACH, POSITIONS = 40, 5, 8
WIDTHS = {"eeg": 10, "gaze": 4, "skin": 3}
LABELS = ("calm", "stress", "boredom")


def main() -> None:
    """Write the archive beside this file: labels [N, L], a modality [N, T, d] each."""
    rng = np.random.default_rng(7)
    count = PEOPLE * EACH
    labels = rng.integers(0, 2, (count, len(LABELS)))
    lengths = rng.integers(3, POSITIONS + 1, count)
    there = (np.arange(POSITIONS) < lengths[:, None])[..., None]
    features = {}
    for name, width in WIDTHS.items():
        signal = 0.8 * labels @ rng.normal(size=(len(LABELS), width))
        noise = rng.normal(size=(count, POSITIONS, width))
        features[name] = np.where(there, signal[:, None] + noise, 0).astype(np.float32)
    np.savez_compressed(
        Path(__file__).parent / "sample.npz",
        ids=np.array([f"s{i:03}" for i in range(count)]),
        groups=np.array([f"person-{i // EACH:02}" for i in range(count)]),
        labels=labels.astype(np.uint8),
        lengths=lengths,
        **features,
    )


if __name__ == "__main__":
    main()
