from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UnknownNameError, UsageError
from harness.protocols.dataset import check_mask_option, position_mask

PADDED = np.zeros((3, 4, 2), dtype=np.float32)
PADDED[0, :3] = [[1, 0], [0, 0], [0, -2]]  # row 1 is real but all zero
PADDED[1, 3] = 5  # padding on the left
STORED = np.array([3, 4, 0])


def test_ones_counts_padding_but_not_a_missing_modality():
    assert position_mask("ones", PADDED, STORED).tolist() == [[True] * 4, [True] * 4, [False] * 4]


def test_nonzero_marks_rows_with_any_value():
    found = position_mask("nonzero", PADDED, STORED)
    assert found.astype(int).tolist() == [[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_length_marks_the_first_rows():
    found = position_mask("length", PADDED, STORED, np.array([2, 9, 3]))
    assert found.astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]


def test_length_needs_lengths():
    with pytest.raises(UsageError, match="recorded lengths"):
        position_mask("length", PADDED, STORED)


def test_options_are_checked():
    assert check_mask_option("ones", ("ones", "nonzero"), "mosei") == "ones"
    with pytest.raises(UsageError, match="'mosei' has no mask option 'length'"):
        check_mask_option("length", ("ones", "nonzero"), "mosei")
    with pytest.raises(UnknownNameError, match="Did you mean 'length'"):
        check_mask_option("lenght", ("ones",), "mosei")
    with pytest.raises(UnknownNameError):
        position_mask("zeros", PADDED, STORED)
