"""Layout of image sheets: text, radiographs and colour bars as blocks that are stacked and never clipped."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from engine.imaging.overlays import colourise

Colour = tuple[int, int, int]

BACKGROUND: Colour = (30, 33, 36)
PANEL: Colour = (40, 44, 48)
INK: Colour = (236, 238, 240)
FAINT: Colour = (172, 178, 185)
RIGHT: Colour = (0, 158, 115)
WRONG: Colour = (213, 94, 0)
STAMP: Colour = (240, 228, 66)
"""RIGHT, WRONG and STAMP are Okabe and Ito's bluish green, vermilion and yellow: distinguishable with colour vision
deficiency, and always accompanied by words."""

TITLE, BODY, SMALL = 30, 18, 16
MARGIN = 36
GAP = 20
LINE = 1.3
"""Line height relative to the font's own."""


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's bundled scalable font at `size` pixels."""
    found = ImageFont.load_default(size=size)
    assert isinstance(found, ImageFont.FreeTypeFont)
    return found


def wrap(text: str, *, size: int, width: int) -> list[str]:
    """The text as lines that each fit into `width` pixels at `size`; line breaks are kept, overlong words are split."""
    lines = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in paragraph.split():
            for piece in _pieces(word, size, width):
                joined = f"{line} {piece}" if line else piece
                if line and font(size).getlength(joined) > width:
                    lines.append(line)
                    line = piece
                else:
                    line = joined
        lines.append(line)
    return lines


def _pieces(word: str, size: int, width: int) -> list[str]:
    """The word in parts that fit into `width`, each at least one letter, split after - _ . or / where possible."""
    pieces = []
    while (fits := _fitting(word[: width + 1], size, width)) < len(word):  # a letter is at least one pixel wide
        joint = max(word.rfind(mark, 0, fits) for mark in "-_./") + 1
        cut = joint if joint > fits // 2 else fits
        pieces.append(word[:cut])
        word = word[cut:]
    return [*pieces, word]


def _fitting(text: str, size: int, width: int) -> int:
    """The number of leading letters that fit into `width`, at least one."""
    return max(1, bisect_right(range(1, len(text) + 1), width, key=lambda n: ceil(font(size).getlength(text[:n]))))


def text_block(
    text: str,
    *,
    width: int,
    size: int = BODY,
    colour: Colour = INK,
    background: Colour = BACKGROUND,
    most_lines: int | None = None,
) -> Image.Image:
    """The text wrapped to `width` pixels, as high as necessary.

    If it has more than `most_lines` lines, the last one says how many words were left out.
    """
    lines = wrap("".join(c if c.isprintable() or c == "\n" else " " for c in text), size=size, width=width - 3)
    if most_lines is not None and len(lines) > most_lines:
        left_out = len(" ".join(lines[most_lines - 1 :]).split())
        lines = [*lines[: most_lines - 1], f"[{left_out:,} more words]"]
    ascent, descent = font(size).getmetrics()
    step = round((ascent + descent) * LINE)
    block = Image.new("RGB", (width, step * len(lines)), background)
    draw = ImageDraw.Draw(block)
    for number, line in enumerate(lines):
        draw.text((1, number * step), line, font=font(size), fill=colour)
    return block


def radiograph(
    pixels: NDArray[np.uint8], *, side: int, border: Colour | None = None, synthetic: bool = False
) -> Image.Image:
    """An image, greyscale (h, w) or RGB (h, w, 3), fitted into a black square of `side` pixels; aspect ratio kept.

    A border surrounds the image, which is made smaller to make room; the square keeps its size.
    """
    thick = 0 if border is None else 5
    inner = side - 2 * thick
    height, width = pixels.shape[:2]
    scale = inner / max(height, width)
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(pixels).convert("RGB").resize(fitted, Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side), border or (0, 0, 0))
    square.paste((0, 0, 0), (thick, thick, side - thick, side - thick))
    square.paste(picture, ((side - fitted[0]) // 2, (side - fitted[1]) // 2))
    if synthetic:
        stamp = badge(size=max(10, side // 18))
        square.paste(stamp, (thick, side - thick - stamp.height))
    return square


def badge(*, size: int) -> Image.Image:
    """The word SYNTHETIC in dark letters on yellow."""
    word = "SYNTHETIC"
    left, top, right, bottom = (round(edge) for edge in font(size).getbbox(word))
    pad = size // 3
    made = Image.new("RGB", (right - left + 2 * pad, bottom - top + 2 * pad), STAMP)
    ImageDraw.Draw(made).text((pad - left, pad - top), word, font=font(size), fill=(0, 0, 0))
    return made


def probability_bar(probability: float, threshold: float, *, width: int) -> Image.Image:
    """A thin bar from 0 to 1, filled up to `probability`, with a tick at the threshold."""
    bar = Image.new("RGB", (width, 12), BACKGROUND)
    draw = ImageDraw.Draw(bar)
    draw.rectangle((0, 3, width - 1, 8), fill=(70, 75, 80))
    draw.rectangle((0, 3, round(probability * (width - 1)), 8), fill=(200, 206, 212))
    at = round(threshold * (width - 3))
    draw.rectangle((at, 0, at + 2, 11), fill=STAMP)
    return bar


def heat_legend() -> Image.Image:
    """The heatmap's colours from cold to hot, labelled at both ends; each image's heatmap is scaled separately."""
    ramp = colourise(np.tile(np.linspace(0, 1, 220), (12, 1)))
    low, high = (
        text_block(word, width=int(font(SMALL).getlength(word)) + 4, size=SMALL, colour=FAINT)
        for word in ("no evidence for pneumonia", "most in this image")
    )
    return row([low, Image.fromarray(ramp), high], gap=8, middle=True)


def spacer(width: int) -> Image.Image:
    """Empty space in a row."""
    return Image.new("RGB", (width, 1), BACKGROUND)


def row(
    blocks: Sequence[Image.Image], *, gap: int = GAP, middle: bool = False, background: Colour = BACKGROUND
) -> Image.Image:
    """Blocks side by side, aligned at the top or the middle."""
    height = max(block.height for block in blocks)
    made = Image.new("RGB", (sum(block.width for block in blocks) + gap * (len(blocks) - 1), height), background)
    x = 0
    for block in blocks:
        made.paste(block, (x, (height - block.height) // 2 if middle else 0))
        x += block.width + gap
    return made


def column(blocks: Sequence[Image.Image], *, gap: int = GAP, background: Colour = BACKGROUND) -> Image.Image:
    """Blocks below each other, aligned at the left."""
    size = (max(block.width for block in blocks), sum(block.height for block in blocks) + gap * (len(blocks) - 1))
    made = Image.new("RGB", size, background)
    y = 0
    for block in blocks:
        made.paste(block, (0, y))
        y += block.height + gap
    return made


def grid(blocks: Sequence[Image.Image], *, columns: int) -> Image.Image:
    """Blocks in rows of `columns`."""
    return column([row(blocks[at : at + columns]) for at in range(0, len(blocks), columns)])


def padded(block: Image.Image, *, pad: int, width: int, height: int, background: Colour = PANEL) -> Image.Image:
    """The block on a panel of at least this size, `pad` pixels from its top and left edges."""
    panel = Image.new("RGB", (max(width, block.width + 2 * pad), max(height, block.height + 2 * pad)), background)
    panel.paste(block, (pad, pad))
    return panel


def sheet(
    title: str, subtitle: str, body: Image.Image, *, synthetic: bool, legend: Image.Image | None = None
) -> Image.Image:
    """The whole sheet: heading, body and footer on the background, with a stamp if the images are synthetic."""
    width = max(body.width, 640)
    stamp = [badge(size=TITLE)] if synthetic else []
    room = width - sum(block.width + GAP for block in stamp)
    head = [row([text_block(title, width=room, size=TITLE), *stamp])]
    head.append(text_block(subtitle, width=width, colour=FAINT))
    footer = "The left of each image is the patient's right. Research use only."
    if synthetic:
        footer = f"SYNTHETIC images: they show that the software works, nothing else. {footer}"
    blocks = [
        column([*head, *([legend] if legend else [])], gap=8),
        body,
        text_block(footer, width=width, size=SMALL, colour=FAINT),
    ]
    whole = column(blocks, gap=GAP + 4)
    return padded(whole, pad=MARGIN, width=0, height=0, background=BACKGROUND)
