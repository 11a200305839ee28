"""Preparing radiographs for vision-language models."""

import io
from collections.abc import Sequence

from PIL import Image, ImageOps

from engine.imaging.images import Pixels

SMALL, ENLARGED = 256, 512
"""Images with a side under 256 pixels are enlarged to 512 x 512, because models see little in small ones."""


def shown(pixels: Pixels) -> Image.Image:
    """uint8 greyscale (h, w) -> RGB image, enlarged (bicubic) to 512 x 512 if a side is under 256."""
    picture = Image.fromarray(pixels)
    if min(picture.size) < SMALL:
        picture = picture.resize((ENLARGED, ENLARGED), Image.Resampling.BICUBIC)
    return picture.convert("RGB")


def squared(picture: Image.Image, mean: Sequence[float]) -> Image.Image:
    """The RGB image centred in a square filled with the colour `mean`, three values in [0, 1].

    This is how LLaVA-1.5 was trained (Liu et al. 2024, Improved Baselines with Visual Instruction Tuning; expand2square
    in its code).
    """
    red, green, blue = (int(255 * share) for share in mean)
    side = max(picture.size)
    return ImageOps.pad(picture, (side, side), color=(red, green, blue))


def png(pixels: Pixels) -> bytes:
    """The image, enlarged as by `shown`, as a greyscale PNG, which servers convert to RGB; fast rather than small."""
    encoded = io.BytesIO()
    shown(pixels).convert("L").save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()
