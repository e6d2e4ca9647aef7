from __future__ import annotations

import torch

from harness.nn.aligner import SoftAligner
from harness.nn.codec import Codec
from harness.nn.gradient_reversal import reverse_gradient
from harness.nn.orthogonality import orthogonality
from harness.nn.pooling import masked_mean


def test_gradient_reversal() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse_gradient(x, 0.5)
    assert torch.equal(y, x)
    (y * torch.tensor([3.0, 4.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1.5, -2.0]


def test_orthogonality_is_the_mean_frobenius_norm() -> None:
    a, b = torch.randn(3, 2, 4), torch.randn(3, 5, 4)
    want = sum(torch.linalg.matrix_norm(a[i] @ b[i].T) ** 2 for i in range(3)) / 3
    torch.testing.assert_close(orthogonality(a, b), torch.as_tensor(want))


def test_masked_mean_ignores_infinities_and_empty_rows() -> None:
    x = torch.tensor([[[1.0], [3.0], [-torch.inf]], [[torch.nan]] * 3])
    mask = torch.tensor([[True, True, False], [False] * 3])
    assert masked_mean(x, mask).tolist() == [[2.0], [0.0]]


def test_aligner_is_a_weighted_sum_of_frames() -> None:
    torch.manual_seed(0)
    aligner, x = SoftAligner(3, 4), torch.randn(2, 6, 3)
    logits, _ = aligner.lstm(x)
    want = torch.zeros(2, 4, 3)
    for b in range(2):
        for t in range(6):
            share = logits[b, t].softmax(0)
            for n in range(4):
                want[b, n] += share[n + 1] * x[b, t]
    torch.testing.assert_close(aligner(x), want)


def test_aligner_leaves_masked_frames_out() -> None:
    torch.manual_seed(0)
    aligner, x = SoftAligner(3, 4), torch.randn(1, 6, 3)
    mask = torch.arange(6)[None] < 4
    torch.testing.assert_close(aligner(x, mask), aligner(x[:, :4]))


def test_codec_shapes() -> None:
    codec, x = Codec(8, 3), torch.randn(2, 5, 8)
    assert codec.encode(x).shape == (2, 5, 3)
    assert codec.decode(codec.encode(x)).shape == x.shape
