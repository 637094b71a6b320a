"""Lists of tensors sorted into those alike: the groups are PyTorch's, of lists that are whole, of None, and empty."""

import pytest
import torch
from torch.utils import _foreach_utils as theirs

import chainrule as cr
from chainrule.utils import _foreach_utils as ours


@pytest.mark.parametrize("with_indices", [False, True])
def test_groups_are_pytorchs(with_indices):
    found = []
    for library, module in ((torch, theirs), (cr, ours)):
        dtypes = [library.float32, library.float64, library.float32, library.bfloat16]
        lists = [
            [library.full((1,), i, dtype=d) for i, d in enumerate(dtypes)],
            [None] * 4,
            [],
            list(map(library.ones, range(4))),
        ]
        groups = module._group_tensors_by_device_and_dtype(lists, with_indices)
        found.append(
            {
                (device.type, str(dtype).partition(".")[2]): (
                    [[None if t is None else t.tolist() for t in entries] for entries in parts],
                    places,
                )
                for (device, dtype), (parts, places) in groups.items()
            }
        )
    assert found[0] == found[1]


def test_only_plain_tensors_of_the_cpu_have_support():
    for library, module in ((torch, theirs), (cr, ours)):
        x = library.ones(1)
        assert module._has_foreach_support([x, None], x.device)
        assert not module._has_foreach_support([library.nn.Parameter(x)], x.device)
        assert "cpu" in module._get_fused_kernels_supported_devices()
