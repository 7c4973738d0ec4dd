"""Tensors and optimizer states come back as they were, and nothing but data is ever read."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkweave.artifacts.tensors import pack_state, pack_tensors, unpack_state, unpack_tensors
from sparkweave.errors import ArtifactError

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
STATES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=10,
)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_keep_name_shape_and_type(dtype: torch.dtype) -> None:
    tensors = {"a.weight": torch.ones(2, 3).to(dtype), "scalar": torch.tensor(1).to(dtype), "none": torch.zeros(0, 4)}
    loaded = unpack_tensors(pack_tensors(tensors))
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_views_tied_weights_and_channels_last_are_saved_like_any_other() -> None:
    flat = torch.arange(24.0)
    tensors = {
        "view": flat[:12],
        "overlap": flat[6:18].view(3, 4).t(),
        "tied": flat[:12],
        "image": flat.view(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
        "learned": torch.nn.Parameter(flat),
        "array": np.arange(3, dtype=np.int64),
    }
    loaded = unpack_tensors(pack_tensors(tensors))
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], torch.as_tensor(tensor))
        assert loaded[name].is_contiguous()
        assert not loaded[name].requires_grad


def test_the_same_tensors_give_the_same_bytes() -> None:
    tensors = {"b": torch.ones(3), "a": torch.zeros(2, dtype=torch.int64)}
    assert pack_tensors(tensors) == pack_tensors(dict(reversed(tensors.items())))


@given(STATES)
@settings(max_examples=100, deadline=None)
def test_a_plain_state_comes_back_with_its_types(state: Any) -> None:
    loaded = unpack_state(pack_state(state))
    assert loaded == state
    assert repr(loaded) == repr(state)


@pytest.mark.parametrize("name", ["Adam", "SGD", "AdamW", "RMSprop", "Adagrad"])
def test_an_optimizer_goes_on_bit_for_bit(name: str) -> None:
    options = {"momentum": 0.9} if name == "SGD" else {}

    def start() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 2)
        return network, getattr(torch.optim, name)(network.parameters(), lr=0.1, **options)

    def step(network: torch.nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        network(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()

    network, optimizer = start()
    step(network, optimizer)
    weights, state = pack_tensors(network.state_dict()), pack_state(optimizer.state_dict())
    step(network, optimizer)

    restored, restored_optimizer = start()
    restored.load_state_dict(unpack_tensors(weights))
    restored_optimizer.load_state_dict(unpack_state(state))
    step(restored, restored_optimizer)
    assert torch.equal(restored.weight, network.weight)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {(1, 2): 3}, {True: 1}, np.float32(1)])
def test_what_is_not_data_can_t_be_saved(value: Any) -> None:
    with pytest.raises(ArtifactError, match="can't be saved; a state holds tensors, numbers"):
        pack_state({"state": value})


@given(st.binary(max_size=200))
def test_bytes_that_are_no_tensors_are_refused(content: bytes) -> None:
    for unpack in (unpack_tensors, unpack_state):
        with pytest.raises(ArtifactError):
            unpack(content)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_an_artifact_error_or_data(data: st.DataObject) -> None:
    content = bytearray(pack_state({"a": torch.ones(2), 1: (1, [2.5, None])}))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        unpack_state(bytes(content))
    except ArtifactError:
        return


def test_a_pickle_is_refused_and_not_run() -> None:
    for unpack in (unpack_tensors, unpack_state):
        with pytest.raises(ArtifactError):
            unpack(pickle.dumps({"weight": torch.ones(1)}))


def test_tensors_without_an_outline_are_no_state() -> None:
    with pytest.raises(ArtifactError, match="outline does not fit"):
        unpack_state(pack_tensors({"0": torch.ones(1)}))
