"""Feature-level noise (``noise``, ``noise-snr``): a pure function of the hash, no library RNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.protocols.dropout.hashing import HashKey, uniforms_at
from harness.protocols.dropout.protocol import RATE, Drawn, DropoutProtocol, Family, register
from harness.protocols.dropout.request import MaskRequest


def standard_normals(seed: np.uint64, count: int) -> NDArray[np.float64]:
    """Return the first ``count`` standard normal numbers of a hash, float64 [count].

    Number i is Box-Muller's cosine branch on the uniforms of positions 2i and 2i + 1, with
    1 - u in the logarithm because u may be 0.
    """
    u = uniforms_at(
        np.array([seed], dtype=np.uint64), np.arange(2 * count, dtype=np.int64)
    ).reshape(count, 2)
    radius = np.sqrt(-2.0 * np.log1p(-u[:, 0]))
    normals: NDArray[np.float64] = radius * np.cos(2.0 * np.pi * u[:, 1])
    return normals


@dataclass(frozen=True)
class NoisePlan:
    """Noise to add to features, either ``sigma`` training-set deviations or at ``snr_db`` decibels.

    Exactly one of the two is set. The noise is a function of split, sample id, modality and
    position alone: batches and their order do not matter.
    """

    key: HashKey
    sigma: float | None = None
    snr_db: float | None = None

    def apply(
        self,
        features: NDArray[np.float32],
        modality: str,
        ids: Sequence[str],
        position_mask: NDArray[np.bool_],
        sd: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float32]:
        """Return noisy features; positions outside the mask are returned as they are.

        Args:
            features: float32 [B, T, d] in the model's feature space, without NaN or inf.
            modality: the modality's key.
            ids: the B sample ids.
            position_mask: bool [B, T], effective valid positions P'; the l-th of them gets the
                numbers l*d .. l*d + d - 1 of the sample's stream ``noise:<modality>``.
            sd: float [d], deviation of each feature over the valid positions of the training
                split; needed with ``sigma``, not used with ``snr_db``.

        Raises:
            ValueError: ``sigma`` is set and ``sd`` is not given.
        """
        if self.sigma is not None and sd is None:
            raise ValueError("noise of a given sigma needs the features' standard deviations")
        noisy = np.array(features, copy=True)
        width = features.shape[2]
        for i, seed in enumerate(self.key.hashes(ids, f"noise:{modality}")):
            valid = position_mask[i]
            clean = features[i][valid].astype(np.float64)
            if not clean.size:
                continue
            noise = standard_normals(seed, clean.size).reshape(-1, width)
            noisy[i][valid] = clean + self._scaled(noise, clean, sd)
        return noisy

    def _scaled(
        self,
        noise: NDArray[np.float64],
        clean: NDArray[np.float64],
        sd: NDArray[np.floating] | None,
    ) -> NDArray[np.float64]:
        if self.snr_db is not None:
            wanted = np.sqrt(np.mean(clean**2)) / 10.0 ** (self.snr_db / 20.0)
            scaled: NDArray[np.float64] = noise * (wanted / np.sqrt(np.mean(noise**2)))
            return scaled
        return noise * (np.float64(self.sigma or 0.0) * np.asarray(sd, dtype=np.float64))


def _noise(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    return Drawn(request.natural.copy(), noise=NoisePlan(key, sigma=protocol.level))


def _noise_snr(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    return Drawn(request.natural.copy(), noise=NoisePlan(key, snr_db=protocol.level))


register(
    "noise",
    Family(
        _noise, pattern=RATE, high=float("inf"), doc="noise of that many deviations of a feature"
    ),
)
register(
    "noise-snr",
    Family(
        _noise_snr,
        pattern=f"-?{RATE}",
        low=-float("inf"),
        high=float("inf"),
        stream="noise",
        doc="noise at that signal-to-noise ratio in decibels",
    ),
)
