"""Faster inference with a frozen network: batch normalisation folded into convolutions, bfloat16, channels last."""

import copy
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

AT_A_TIME = {torch.float32: 4, torch.bfloat16: 8}
"""Batch size on a CPU. The early maps of larger batches exceed its caches and the memory that the allocator keeps,
which costs up to half of the speed."""


class WeightsAlone:
    """A mixin whose copies leave out cached properties derived from the weights, because a copy's weights may
    change."""

    def __getstate__(self) -> dict[str, Any]:
        derived = {
            name for kind in type(self).__mro__ for name, one in vars(kind).items() if isinstance(one, cached_property)
        }
        return {name: value for name, value in self.__dict__.items() if name not in derived}


def few_at_a_time(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """network(images); on a CPU in small batches. images: float (n, ...)."""
    if images.device.type != "cpu":
        return network(images)
    return torch.cat([network(part) for part in torch.split(images, AT_A_TIME[images.dtype])])


def cast(images: Tensor, dtype: torch.dtype | None) -> torch.autocast:
    """Autocast context that runs convolutions of float32 networks in `dtype` on the images' device; None disables
    it."""
    return torch.autocast(images.device.type, dtype=dtype, enabled=dtype is not None)


def quick(frozen: nn.Module, *, dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """A channels-last copy of `frozen` (in evaluation mode) with frozen weights, which takes and returns `dtype`.

    Each batch normalisation is folded into the convolution defined just before it (exact up to rounding), and
    activations work in place. In bfloat16 pooled features keep a cosine similarity above .998 to float32's, but a
    single member's logits change by up to .4. Done without tracing, which would disturb networks in other threads.
    """
    made = copy.deepcopy(frozen).eval()
    before: tuple[nn.Module, str, nn.Module] | None = None
    for parent, name, layer in list(_layers(made)):
        if isinstance(layer, nn.ReLU6 | nn.SiLU):
            layer.inplace = True
        if before and isinstance(layer, nn.BatchNorm2d) and isinstance(before[2], nn.Conv2d):
            setattr(before[0], before[1], _without_padding_layer(fuse_conv_bn_eval(before[2], layer)))
            setattr(parent, name, nn.Identity())
        before = (parent, name, layer)
    return made.to(dtype).to(memory_format=torch.channels_last).requires_grad_(False)


def _layers(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """(parent, name, layer) in order of definition; a convolution counts as one layer even if it has children."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) or not any(child.children()):
            yield module, name, child
        else:
            yield from _layers(child)


def _without_padding_layer(convolution: nn.Conv2d) -> nn.Conv2d:
    """The convolution with EfficientNet-Lite's separate padding layer, which copies the maps, built in.

    If the padding is one larger on the right and bottom, the kernel gets a leading row and column of zeros, so that
    symmetric padding gives the same sums.
    """
    layer = getattr(convolution, "static_padding", None)
    if not isinstance(layer, nn.ZeroPad2d):
        return convolution
    left, right, top, bottom = layer.padding
    more = right - left
    if (left, right) != (top, bottom) or more not in (0, 1):
        return convolution
    c = convolution  # square kernels, even strides and no dilation in this family
    side, at = c.kernel_size[0] + more, c.weight.device
    plain = nn.Conv2d(c.in_channels, c.out_channels, side, c.stride[0], right, groups=c.groups, device=at)
    plain.load_state_dict({**c.state_dict(), "weight": F.pad(c.weight, (more, 0, more, 0))})
    return plain
