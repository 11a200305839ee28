"""How a radiograph is shown to a vision-language model."""

import io

from PIL import Image

from engine.images import Pixels

SMALL, ENLARGED = 256, 512
"""Pictures with a side under 256 pixels are enlarged to 512 x 512: models see little in fewer."""


def shown(pixels: Pixels) -> Image.Image:
    """uint8 grey (h, w) -> RGB picture, bicubically enlarged to 512 x 512 where a side is under 256."""
    picture = Image.fromarray(pixels)
    if min(picture.size) < SMALL:
        picture = picture.resize((ENLARGED, ENLARGED), Image.Resampling.BICUBIC)
    return picture.convert("RGB")


def png(pixels: Pixels) -> bytes:
    """The picture as grey PNG, which a server turns into RGB; quickly written rather than small."""
    encoded = io.BytesIO()
    shown(pixels).convert("L").save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()
