"""How a frozen network is made quick: normalisation folded into the convolutions, bfloat16, channels last."""

import copy
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

AT_A_TIME = {torch.float32: 4, torch.bfloat16: 8}
"""Images that a CPU looks at together. Early maps of more outgrow its caches and the memory that the allocator keeps,
and cost up to half of the speed."""


class WeightsAlone:
    """Copies leave out what a cached property derived from the weights: a copy's weights may change."""

    def __getstate__(self) -> dict[str, Any]:
        derived = {
            name for kind in type(self).__mro__ for name, one in vars(kind).items() if isinstance(one, cached_property)
        }
        return {name: value for name, value in self.__dict__.items() if name not in derived}


def few_at_a_time(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """network(images), on a CPU a few images at a time. images: float (n, ...)."""
    if images.device.type != "cpu":
        return network(images)
    return torch.cat([network(part) for part in torch.split(images, AT_A_TIME[images.dtype])])


def cast(images: Tensor, dtype: torch.dtype | None) -> torch.autocast:
    """Run float32 networks over `images` with their convolutions in `dtype`, on the images' device; None changes
    nothing."""
    return torch.autocast(images.device.type, dtype=dtype, enabled=dtype is not None)


def quick(frozen: nn.Module, *, dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """A channels-last copy of `frozen` (in evaluation mode) for inference alone, taking and returning `dtype`.

    Each batch normalisation is folded into the convolution defined just before it (exact but for rounding), activations
    work in place. In bfloat16 pooled features keep a cosine above .998 to float32's, but one member's logits move by
    up to .4. Not by tracing, which would disturb other threads' networks.
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
    """Parent, name and layer in the order they were defined in; a convolution is one, whatever it holds."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) or not any(child.children()):
            yield module, name, child
        else:
            yield from _layers(child)


def _without_padding_layer(convolution: nn.Conv2d) -> nn.Conv2d:
    """EfficientNet-Lite's convolutions pad in a layer of their own, which copies the maps; let the convolution pad.

    Where one more is padded on the right and below than on the left and above, the kernel gets a row and a column of
    zeros in front, so that even padding gives the same sums.
    """
    layer = getattr(convolution, "static_padding", None)
    if not isinstance(layer, nn.ZeroPad2d):
        return convolution
    left, right, top, bottom = layer.padding
    more = right - left
    if (left, right) != (top, bottom) or more not in (0, 1):
        return convolution
    c = convolution  # square kernels, even strides and no dilation in this family
    plain = nn.Conv2d(c.in_channels, c.out_channels, c.kernel_size[0] + more, c.stride[0], right, groups=c.groups)
    plain.load_state_dict({**c.state_dict(), "weight": F.pad(c.weight, (more, 0, more, 0))})
    return plain
