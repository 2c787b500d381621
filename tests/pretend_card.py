"""A second device that computes on the CPU and mixes with it as little as a card does.

Its tensors say that they are on ``meta`` and hold numbers all the same. An operation on
tensors of both devices is refused, as CUDA refuses it, but for what CUDA takes, too:
single numbers, copies, and indices on the CPU.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

CARD = torch.device("meta")
aten = torch.ops.aten
_COPIES = {aten._to_copy.default, aten.copy_.default}
_TAKES_CPU_INDICES = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default,
                      aten._index_put_impl_.default}  # fmt: skip


class CardTensor(Tensor):
    """A tensor that says it is on the card.

    Args:
        held: Its numbers, on the CPU.
    """

    held: Tensor
    is_meta = False

    @staticmethod
    def __new__(cls, held: Tensor) -> "CardTensor":
        found = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=CARD,
        )
        found.held = held
        return found

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return dispatched(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.held.tolist()

    def numpy(self, **_: Any) -> Any:
        msg = "can't convert a tensor of the card to numpy; use Tensor.cpu() first"
        raise TypeError(msg)

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()


class _Card(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return dispatched(func, args, kwargs or {})


class _Lists(TorchFunctionMode):
    """What is made of lists is copied to a device where no dispatch is asked."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        words = dict(kwargs or {})
        asked = words.get("device")
        if func in {torch.tensor, torch.as_tensor} and asked is not None:
            there = torch.device(words.pop("device"))
            return func(*args, **words).to(there)
        if func is Tensor.new_tensor and isinstance(args[0], CardTensor):
            words.setdefault("dtype", args[0].dtype)
            return torch.tensor(*args[1:], **words).to(CARD)
        return func(*args, **words)


@contextmanager
def pretend_card() -> Iterator[torch.device]:
    """Let what is made on `CARD` hold numbers."""
    with _Lists(), _Card():
        yield CARD


def dispatched(func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
    """Compute on the CPU what is asked for, and say where it is."""
    words = dict(kwargs)
    flat, _ = tree_flatten((args, words))
    tensors = [one for one in flat if isinstance(one, Tensor)]
    there = [one for one in tensors if isinstance(one, CardTensor)]
    asked = words.get("device")
    if asked is not None:
        words["device"] = torch.device("cpu")
        on_card = torch.device(asked).type == CARD.type
    else:
        on_card = bool(there)
    if there and func not in _COPIES:
        strangers = [
            one for one in tensors if not isinstance(one, CardTensor) and one.dim()
        ]
        if func in _TAKES_CPU_INDICES and isinstance(args[0], CardTensor):
            indices = {id(one) for one in args[1]}
            strangers = [one for one in strangers if id(one) not in indices]
        if strangers:
            msg = f"{func}: expected all tensors on one device, found meta and cpu"
            raise RuntimeError(msg)
    generator = next((one for one in flat if isinstance(one, torch.Generator)), None)
    if on_card and generator is not None:
        msg = f"{func}: expected a generator of the card, found one of the cpu"
        raise RuntimeError(msg)
    bare_args, bare_words = tree_map(_bare, (args, words))
    found = func(*bare_args, **bare_words)
    if func is aten.copy_.default:
        return args[0]
    held = {id(one.held): one for one in there}
    return tree_map(lambda one: _told(one, held, on_card=on_card), found)


def _bare(one: Any) -> Any:
    return one.held if isinstance(one, CardTensor) else one


def _told(one: Any, held: Mapping[int, CardTensor], *, on_card: bool) -> Any:
    """Return a result on the card; one that was written into, as it was given."""
    if not isinstance(one, Tensor) or not on_card:
        return one
    return held[id(one)] if id(one) in held else CardTensor(one)
