"""Contact sheets of sample predictions, failures, report cards and retrieval results, as Pillow images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.documents.sheet_layout import (
    FAINT,
    GAP,
    INK,
    PANEL,
    RIGHT,
    SMALL,
    WRONG,
    Colour,
    column,
    grid,
    heat_legend,
    padded,
    probability_bar,
    radiograph,
    row,
    sheet,
    spacer,
    text_block,
)
from engine.errors import InputError
from engine.imaging.overlays import overlay
from engine.labels import NAMES

TILE = 264
"""Side of an image in a grid, in pixels."""
PAIR = 212
"""Side of each of two paired images, in pixels."""
CARD = 800
REPORT_LINES = 22
HEAT_OPACITY = 0.55
"""Slightly stronger than on screen, because there is no slider on paper."""


@dataclass(frozen=True)
class Sample:
    """One image with its prediction.

    name: shown in the caption. pixels: uint8 (h, w), grey. label: 1 pneumonia, 0 normal, None unknown.
    probability: in [0, 1], None if not predicted. heatmap: float (a, b) in [0, 1], None if there is none.
    """

    name: str
    pixels: NDArray[np.uint8]
    label: int | None
    probability: float | None = None
    heatmap: NDArray[np.floating] | None = None


@dataclass(frozen=True)
class ReportCard:
    """A report next to its image. scores: name -> value; None is unknown and not shown."""

    sample: Sample
    model: str
    strategy: str
    text: str
    scores: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """A retrieved image. similarity: cosine in [-1, 1], or the score of a full-text search, 0 or more."""

    sample: Sample
    similarity: float


@dataclass(frozen=True)
class Retrieval:
    """A query image and its neighbours, most similar first."""

    query: Sample
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class TextRetrieval:
    """A text query and its hits, best first.

    answers: whether each image matches the query; None if unknown, as for free text.
    """

    text: str
    hits: tuple[Hit, ...]
    answers: tuple[bool, ...] | None = None


def sample_predictions(samples: Sequence[Sample], *, threshold: float, synthetic: bool) -> Image.Image:
    """A grid of images with ground truth, probability and whether the call was correct, in the order given.

    threshold: in [0, 1]; a probability at or above it is a call of pneumonia.
    """
    _some(samples, "sample predictions")
    tiles = [_tile(sample, threshold, synthetic=synthetic) for sample in samples]
    subtitle = (
        f"Ground truth and predicted probability of pneumonia; at or above {threshold:.2f} (yellow tick) the call is "
        "pneumonia. Green border: correct; orange: wrong."
    )
    return sheet("Sample predictions", subtitle, grid(tiles, columns=4), synthetic=synthetic)


def failure_cases(samples: Sequence[Sample], *, threshold: float, synthetic: bool, each: int = 6) -> Image.Image:
    """The worst false negatives and false positives among `samples`, at most `each` of both, worst first.

    Each is shown without and with its heatmap. Samples without label or probability are skipped.
    """
    known = [(s, s.probability) for s in samples if s.probability is not None and s.label is not None]
    misses = sorted(((p, s.name, s) for s, p in known if s.label == 1 and p < threshold), key=itemgetter(0, 1))
    alarms = sorted(((-p, s.name, s) for s, p in known if s.label == 0 and p >= threshold), key=itemgetter(0, 1))
    columns = 3
    width = columns * (2 * PAIR + 6) + (columns - 1) * GAP
    blocks: list[Image.Image] = []
    for heading, found, of in (
        ("Missed pneumonia (false negatives), lowest probability first", misses, 1),
        ("False alarms (false positives), highest probability first", alarms, 0),
    ):
        total = sum(s.label == of for s, _ in known)
        shown = f"{min(each, len(found))} of {len(found)} shown; {total} images with this label"
        blocks.append(column([text_block(heading, width=width), _faint(shown, width)], gap=2))
        tiles = [_pair_tile(s, threshold, synthetic=synthetic) for *_, s in found[:each]]
        blocks.append(grid(tiles, columns=columns) if tiles else text_block("None.", width=width))
    subtitle = f"Decision threshold {threshold:.2f} (yellow tick). Each image without and with its heatmap."
    return sheet("Failure cases", subtitle, column(blocks), synthetic=synthetic, legend=heat_legend())


def failures_by_slice(
    slices: Sequence[tuple[str, str, Sequence[Sample]]], *, threshold: float, synthetic: bool, each: int = 3
) -> Image.Image:
    """The failures of each slice, at most `each`, in the order given; slices: heading, description, failures.

    Each failure is shown without and with its heatmap. Raises InputError if no slice has a failure.
    """
    _some([sample for *_, samples in slices for sample in samples], "failures by slice")
    width = each * (2 * PAIR + 6) + (each - 1) * GAP
    blocks = []
    for heading, known, samples in slices:
        if samples:
            blocks.append(column([text_block(heading, width=width), _faint(known, width)], gap=2))
            tiles = [_pair_tile(sample, threshold, synthetic=synthetic) for sample in samples[:each]]
            blocks.append(grid(tiles, columns=each))
    subtitle = f"Similar-looking images, with the classifier's error rate on them (threshold {threshold:.2f})."
    return sheet("Failures by slice", subtitle, column(blocks), synthetic=synthetic, legend=heat_legend())


def report_cards(cards: Sequence[ReportCard], *, threshold: float, synthetic: bool) -> Image.Image:
    """Cards with image, heatmap, report text and scores, in the order given; cards in a row have the same height."""
    _some(cards, "report cards")
    blocks = [_card(card, threshold, synthetic=synthetic) for card in cards]
    rows, columns = [], 2
    for at in range(0, len(blocks), columns):
        height = max(block.height for block in blocks[at : at + columns])
        panels = [padded(block, pad=0, width=CARD, height=height) for block in blocks[at : at + columns]]
        rows.append(row(panels))
    subtitle = "Reports as written, next to the image and the heatmap of the classifier's evidence for pneumonia."
    return sheet("Report cards", subtitle, column(rows), synthetic=synthetic, legend=heat_legend())


def retrieval_grid(retrievals: Sequence[Retrieval], *, embedder: str, synthetic: bool) -> Image.Image:
    """One row per query: the query, then its neighbours with label, similarity and whether the labels match."""
    _some(retrievals, "retrieval results")
    side = 224
    rows = []
    for number, found in enumerate(retrievals, 1):
        caption = [f"Query {number}: {NAMES[found.query.label]}"]
        if found.query.label is not None:
            matches = sum(hit.sample.label == found.query.label for hit in found.hits)
            caption.append(f"{matches} of {len(found.hits)} match")
        picture = radiograph(found.query.pixels, side=side, border=INK, synthetic=synthetic)
        query = _captioned(picture, [*caption, found.query.name])
        rows.append(row([query, spacer(GAP), *_hits(found, side, synthetic)], gap=10))
    subtitle = (
        f"Nearest neighbours by cosine similarity, embedder {embedder}; the query itself is excluded. "
        "Green border: same label as the query; orange: the other label."
    )
    return sheet("Similar cases", subtitle, column(rows), synthetic=synthetic)


def text_retrieval_grid(retrievals: Sequence[TextRetrieval], *, embedder: str | None, synthetic: bool) -> Image.Image:
    """One row per query: its text, then its hits and, if known, whether each matches the query. embedder: None if notes
    and reports were searched."""
    _some(retrievals, "text retrieval results")
    side = 224
    measure = "score" if embedder is None else "similarity"
    rows = []
    for found in retrievals:
        beside = [text_block(f"\u201c{found.text}\u201d", width=side, size=22, most_lines=6)]
        judged: Sequence[tuple[str | None, Colour]] = [(None, FAINT)] * len(found.hits)
        if found.answers is not None:
            beside.append(_faint(f"{sum(found.answers)} of {len(found.hits)} match", side))
            judged = [("match", RIGHT) if right else ("mismatch", WRONG) for right in found.answers]
        elif not found.hits:
            beside.append(_faint("no image found", side))
        tiles = [
            _hit(rank, hit, verdict, colour, side, synthetic, measure=measure)
            for rank, (hit, (verdict, colour)) in enumerate(zip(found.hits, judged, strict=True), 1)
        ]
        rows.append(row([column(beside), spacer(GAP), *tiles], gap=10))
    subtitle = (
        "Images whose notes or reports contain the words and do not negate them, best match first."
        if embedder is None
        else f"Images nearest to the text by cosine similarity, embedder {embedder}."
    )
    if any(found.answers is not None for found in retrievals):
        subtitle += (
            " Green border: label, cause and the zones with more of the classifier's evidence than in most pneumonias "
            "match the text; orange: they do not."
        )
    return sheet("Text search", subtitle, column(rows), synthetic=synthetic)


def _hits(found: Retrieval, side: int, synthetic: bool) -> list[Image.Image]:
    tiles = []
    for rank, hit in enumerate(found.hits, 1):
        word, colour = _judged(None if found.query.label is None else hit.sample.label, found.query.label)
        verdict = {"correct": "match", "wrong": "mismatch"}.get(word, word)
        tiles.append(_hit(rank, hit, verdict, colour, side, synthetic))
    return tiles


def _hit(
    rank: int, hit: Hit, verdict: str | None, colour: Colour, side: int, synthetic: bool, *, measure: str = "similarity"
) -> Image.Image:
    picture = radiograph(hit.sample.pixels, side=side, border=colour, synthetic=synthetic)
    label = NAMES[hit.sample.label] if verdict is None else f"{NAMES[hit.sample.label]}: {verdict}"
    return _captioned(picture, [f"{rank}. {label}", f"{measure} {hit.similarity:.3f}", hit.sample.name])


def _judged(called: int | None, label: int | None) -> tuple[str, Colour]:
    """Whether a call (or a neighbour's label) matches the label, as a word and a colour."""
    if called is None or label is None:
        return "no outcome", FAINT
    return ("correct", RIGHT) if called == label else ("wrong", WRONG)


def _call(sample: Sample, threshold: float) -> int | None:
    return None if sample.probability is None else int(sample.probability >= threshold)


def _call_lines(sample: Sample, threshold: float) -> list[str]:
    """Caption lines: the ground truth, then the call with its probability."""
    called = _call(sample, threshold)
    if sample.probability is None:
        return [f"Truth: {NAMES[sample.label]}", "no prediction"]
    verdict = _judged(called, sample.label)[0]
    p = sample.probability
    stated = "> 0.999" if p > 0.999 else "< 0.001" if p < 0.001 else f"{p:.3f}"
    return [f"Truth: {NAMES[sample.label]}", f"Call: {NAMES[called]} {stated}, {verdict}"]


def _captioned(picture: Image.Image, lines: Sequence[str], bar: Image.Image | None = None) -> Image.Image:
    """An image with lines below it; the last line is faint."""
    width = picture.width
    texts = [text_block(line, width=width, size=SMALL) for line in lines[:-1]]
    return column([picture, *([bar] if bar else []), *texts, _faint(lines[-1], width)], gap=3)


def _faint(text: str, width: int) -> Image.Image:
    return text_block(text, width=width, size=SMALL, colour=FAINT)


def _tile(sample: Sample, threshold: float, *, synthetic: bool) -> Image.Image:
    colour = _judged(_call(sample, threshold), sample.label)[1]
    picture = radiograph(sample.pixels, side=TILE, border=colour, synthetic=synthetic)
    return _captioned(picture, [*_call_lines(sample, threshold), sample.name], _bar(sample, threshold, TILE))


def _bar(sample: Sample, threshold: float, width: int) -> Image.Image | None:
    return None if sample.probability is None else probability_bar(sample.probability, threshold, width=width)


def _pair(sample: Sample, synthetic: bool) -> Image.Image:
    """The image without and with its heatmap, or with a note that there is none."""
    plain = radiograph(sample.pixels, side=PAIR, synthetic=synthetic)
    if sample.heatmap is None:
        note = text_block("no heatmap", width=PAIR - 40, colour=FAINT, background=PANEL)
        return row([plain, padded(note, pad=20, width=PAIR, height=PAIR)], gap=6, background=(0, 0, 0))
    seen = overlay(sample.pixels, sample.heatmap, opacity=HEAT_OPACITY)
    return row([plain, radiograph(seen, side=PAIR, synthetic=synthetic)], gap=6, background=(0, 0, 0))


def _pair_tile(sample: Sample, threshold: float, *, synthetic: bool) -> Image.Image:
    pair = _pair(sample, synthetic)
    return _captioned(pair, [*_call_lines(sample, threshold), sample.name], _bar(sample, threshold, pair.width))


def _card(card: ReportCard, threshold: float, *, synthetic: bool) -> Image.Image:
    pad = 18
    inner = CARD - 2 * pad
    pair = _pair(card.sample, synthetic)
    width = inner - pair.width - GAP
    facts = [card.strategy.replace("_", " "), *_call_lines(card.sample, threshold)]
    scores = [
        f"{name.replace('_', ' ')} {f'{value:.0f}' if value.is_integer() else f'{value:.2f}'}"
        for name, value in card.scores.items()
        if value is not None
    ]
    beside = [text_block(line, width=width, background=PANEL) for line in facts]
    beside += [
        text_block(line, width=width, size=SMALL, colour=FAINT, background=PANEL)
        for line in (*scores, f"model {card.model}", card.sample.name)
    ]
    top = row([pair, column(beside, gap=2, background=PANEL)], background=PANEL)
    body = text_block(card.text, width=inner, background=PANEL, most_lines=REPORT_LINES)
    return padded(column([top, body], background=PANEL), pad=pad, width=CARD, height=0)


def _some(items: Sequence[object], what: str) -> None:
    if not items:
        raise InputError(f"there is no image to show in {what}")
