"""What `device` and `precision` come to on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tunewell.problems import RecipeError
from tunewell.training.device import choose, torch_facts, usable_cores


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float32)]
)
def test_precision_as_asked(precision: str, dtype: torch.dtype) -> None:
    compute = choose("cpu", precision, 1)
    assert (compute.device.type, compute.precision, compute.weight_dtype) == ("cpu", precision, dtype)
    assert torch.get_num_threads() == 1
    facts = torch_facts(compute)
    assert (facts["device"], facts["precision"], facts["threads"]) == ("cpu", precision, "1")


def test_auto_is_something_that_is_here() -> None:
    compute = choose("auto", "auto", None)
    assert compute.precision in {"fp32", "bf16", "fp16"}
    assert torch.ones(2, device=compute.device).sum() == 2
    assert torch.get_num_threads() == usable_cores()


@pytest.mark.parametrize("name", ["cuda:77", "abacus"])
def test_a_device_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=name) as caught:
        choose(name, "auto", 1)
    assert "cpu" in caught.value.problems[0].fix
