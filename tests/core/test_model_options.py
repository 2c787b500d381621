import os
import warnings

import pytest
import torch

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import (
    ModelOptions,
    keep_float32_exact,
    keep_order_of_sums,
    tf32_is_on,
)


def test_the_card_decides_unless_the_user_does() -> None:
    card = ModelCard(dtype="float64")
    assert ModelOptions().torch_dtype(card) is torch.float64
    assert ModelOptions(dtype="float32").torch_dtype(card) is torch.float32
    assert ModelOptions().torch_device() == torch.device("cpu")


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(ModelError, match=f"device '{device}'.*cpu"):
        ModelOptions(device=device).torch_device()


def test_an_unknown_dtype() -> None:
    with pytest.raises(ModelError, match="'float8': expected float32 or float64"):
        ModelOptions(dtype="float8").torch_dtype(ModelCard())


def test_a_card_computes_float32_as_such() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    try:
        torch.backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("high")
        assert tf32_is_on()
        keep_float32_exact()
        assert not tf32_is_on()
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])


def test_a_card_adds_up_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")  # one's own goes first
    before = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    try:
        with warnings.catch_warnings():
            keep_order_of_sums()
            told = "cumsum_cuda_kernel does not have a deterministic implementation, but "
            told += "you set 'torch.use_deterministic_algorithms(True, warn_only=True)'."
            warnings.warn(told, UserWarning, stacklevel=1)
            with pytest.warns(UserWarning, match="own"):
                warnings.warn("my own, deterministic", UserWarning, stacklevel=1)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
        torch.use_deterministic_algorithms(True)  # a user who wants errors gets them
        keep_order_of_sums()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filled
