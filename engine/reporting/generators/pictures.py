"""How a radiograph is shown to a vision-language model."""

import io
from collections.abc import Sequence

from PIL import Image, ImageOps

from engine.images import Pixels

SMALL, ENLARGED = 256, 512
"""Pictures with a side under 256 pixels are enlarged to 512 x 512: models see little in fewer."""


def shown(pixels: Pixels) -> Image.Image:
    """uint8 grey (h, w) -> RGB picture, bicubically enlarged to 512 x 512 where a side is under 256."""
    picture = Image.fromarray(pixels)
    if min(picture.size) < SMALL:
        picture = picture.resize((ENLARGED, ENLARGED), Image.Resampling.BICUBIC)
    return picture.convert("RGB")


def squared(picture: Image.Image, mean: Sequence[float]) -> Image.Image:
    """The RGB picture in the middle of a square of the colour `mean`, three shares in [0, 1].

    So LLaVA-1.5 was taught (Liu et al. 2024, Improved Baselines with Visual Instruction Tuning; expand2square in its
    code).
    """
    red, green, blue = (int(255 * share) for share in mean)
    side = max(picture.size)
    return ImageOps.pad(picture, (side, side), color=(red, green, blue))


def png(pixels: Pixels) -> bytes:
    """The picture as grey PNG, which a server turns into RGB; quickly written rather than small."""
    encoded = io.BytesIO()
    shown(pixels).convert("L").save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()
