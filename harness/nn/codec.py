"""The latent codec of CARAT and RAMer (RAMer eq. 6): hidden -> projection and back."""

from __future__ import annotations

from torch import Tensor, nn

from harness.nn.init import xavier_


def _mlp(inner: int, outer: int, middle: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inner, middle), nn.ReLU(), nn.Linear(middle, outer))


class Codec(nn.Module):
    """Encoder H -> H/2 -> P and decoder P -> H/2 -> H with ReLU between; Xavier weights."""

    def __init__(self, hidden: int, projection: int) -> None:
        super().__init__()
        self.encoder = _mlp(hidden, projection, hidden // 2)
        self.decoder = _mlp(projection, hidden, hidden // 2)
        xavier_(self)

    def encode(self, x: Tensor) -> Tensor:
        """Return the latent code [..., P] of [..., H]."""
        return self.encoder(x)  # type: ignore[no-any-return]

    def decode(self, z: Tensor) -> Tensor:
        """Return the decoded vector [..., H] of [..., P]."""
        return self.decoder(z)  # type: ignore[no-any-return]


class IdentityCodec(nn.Module):
    """No encoder and no decoder: the latent space is the feature space (an ablation)."""

    def encode(self, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x

    def decode(self, z: Tensor) -> Tensor:
        """Return ``z``."""
        return z
