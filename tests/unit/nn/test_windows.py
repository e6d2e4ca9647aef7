from __future__ import annotations

import torch

from harness.nn.windows import window_mean, window_size


def test_window_size_depends_on_the_maximum_alone() -> None:
    assert [window_size(500, p) for p in (0, 64, 500, 600)] == [1, 8, 1, 1]
    assert window_size(1, 64) == 1


def test_means_over_valid_frames_only() -> None:
    x = torch.arange(10.0).view(1, 5, 2).repeat(2, 1, 1)
    x[0, 1] = float("nan")
    mask = torch.tensor([[True, False, True, True, True], [True, True, False, False, False]])
    means, valid = window_mean(x, mask, 2)
    assert means[..., 0].tolist() == [[0.0, 5.0, 8.0], [1.0, 0.0, 0.0]]
    assert valid.tolist() == [[True, True, True], [True, False, False]]


def test_padding_adds_windows_but_changes_none() -> None:
    x = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 7, dtype=torch.bool)
    short, valid = window_mean(x, mask, 3)
    long, more = window_mean(
        torch.nn.functional.pad(x, (0, 0, 0, 5)), torch.nn.functional.pad(mask, (0, 5)), 3
    )
    assert torch.equal(long[:, :3], short) and torch.equal(more[:, :3], valid)
    assert not more[:, 3:].any()


def test_window_of_one_is_the_identity() -> None:
    x, mask = torch.randn(1, 4, 2), torch.ones(1, 4, dtype=torch.bool)
    assert window_mean(x, mask, 1) == (x, mask)
