"""Many tensors in one buffer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.strategies.flat import flatten, flatten_like, plain

shapes = st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=6)


@given(shapes=shapes, channels_last=st.booleans())
def test_tensors_keep_shape_strides_and_values_and_become_views(shapes: list[list[int]], channels_last: bool) -> None:
    tensors = [torch.randn(shape) for shape in shapes]
    if channels_last:
        tensors = [tensor.to(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor for tensor in tensors]
    before = [(tensor.clone(), tensor.stride()) for tensor in tensors]
    flat = flatten(tensors, plain)
    for tensor, (value, stride) in zip(tensors, before, strict=True):
        assert torch.equal(tensor, value)
        assert tensor.stride() == torch.empty_like(value).stride() == stride or tensor.numel() == 0
    assert sum(buffer.numel() for buffer in flat.buffers) == sum(tensor.numel() for tensor in tensors)
    for buffer in flat.buffers:
        buffer.fill_(7)
    assert all((tensor == 7).all() for tensor in tensors)


def test_each_dtype_has_a_buffer_of_its_own() -> None:
    tensors = [torch.ones(2), torch.ones(3, dtype=torch.float64), torch.ones(4)]
    flat = flatten(tensors, plain)
    assert [(buffer.dtype, buffer.numel()) for buffer in flat.buffers] == [(torch.float32, 6), (torch.float64, 3)]


def test_parameters_stay_the_same_objects_with_their_gradients() -> None:
    layer = torch.nn.Linear(3, 2)
    weight = layer.weight
    flat = flatten([layer.weight, layer.bias], plain)
    assert layer.weight is weight
    assert weight.requires_grad
    layer(torch.ones(1, 3)).sum().backward()
    assert weight.grad is not None
    flat.buffers[0].zero_()
    assert not weight.any()


def test_no_tensors_need_no_buffer() -> None:
    assert flatten([], plain).buffers == []


@pytest.mark.parametrize("like", [torch.ones(3, 4).t(), torch.ones(2, 3, 4, 5).permute(0, 3, 1, 2)])
def test_views_do_not_overlap(like: torch.Tensor) -> None:
    flat = flatten_like([like, like], plain)
    flat.views[0].fill_(1)
    flat.views[1].fill_(2)
    assert (flat.views[0] == 1).all()
    assert sorted(flat.buffers[0].unique().tolist()) == [1, 2]
