"""Contact sheets show the given images, marked right or wrong, without losing text."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.documents.contact_sheets import (
    Hit,
    ReportCard,
    Retrieval,
    Sample,
    TextRetrieval,
    failure_cases,
    failures_by_slice,
    report_cards,
    retrieval_grid,
    sample_predictions,
    text_retrieval_grid,
)
from engine.documents.sheet_layout import BACKGROUND, RIGHT, STAMP, WRONG, font, radiograph, text_block, wrap
from engine.errors import InputError
from engine.imaging.images import read_batch

HEAT = np.zeros((7, 7))


def sample(grey: int, label: int | None, probability: float | None = None, **more: object) -> Sample:
    """An image of one grey level, by which it is found again on a sheet."""
    return Sample(f"{grey}.png", np.full((64, 64), grey, np.uint8), label, probability, **more)  # type: ignore[arg-type]


def area(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    """Pixels of exactly this colour."""
    return int((np.asarray(sheet) == np.array(colour)).all(axis=2).sum())


def places(sheet: Image.Image, grey: int) -> tuple[int, int] | None:
    """The uppermost, then leftmost position of an image of this grey level; None if it is absent."""
    same = (np.asarray(sheet) == grey).all(axis=2)
    if same.sum() < 64 * 64:  # letters hold a few pixels of any grey
        return None
    row = int(np.argmax(same.sum(axis=1) > 100))
    return row, int(np.argmax(same[row]))


@given(text=st.text(max_size=300), width=st.integers(20, 400))
def test_wrapped_lines_fit_and_no_letter_is_lost(text: str, width: int) -> None:
    lines = wrap(text, size=18, width=width)
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    assert all(font(18).getlength(line) <= width for line in lines if len(line) > 1)


def test_names_break_after_separators_rather_than_inside_a_word() -> None:
    assert wrap("NORMAL2-IM-1427-0001.jpeg", size=18, width=150) == ["NORMAL2-IM-", "1427-0001.jpeg"]


@given(text=st.text(alphabet="WgjQy, é@_|", min_size=1, max_size=200), width=st.integers(40, 300))
def test_no_ink_touches_the_edge_of_a_text_block(text: str, width: int) -> None:
    ink = (np.asarray(text_block(text, width=width)) != np.array(BACKGROUND)).any(axis=2)
    assert not ink[-1].any()
    assert not ink[:, -1].any()


def test_text_beyond_the_line_limit_is_announced_and_not_just_cut() -> None:
    words = 2000
    full = text_block("word " * words, width=300)
    cut = text_block("word " * words, width=300, most_lines=5)
    line = full.height // len(wrap("word " * words, size=18, width=297))
    assert cut.height == 5 * line
    shown = sum(len(kept.split()) for kept in wrap("word " * words, size=18, width=297)[:4])
    same = text_block(f"[{words - shown:,} more words]", width=300)
    assert (np.asarray(cut)[-line:] == np.asarray(same)).all()


@pytest.mark.parametrize("shape", [(40, 120), (120, 40), (1, 1)])
def test_a_radiograph_keeps_its_proportions(shape: tuple[int, int]) -> None:
    square = np.asarray(radiograph(np.full(shape, 200, np.uint8), side=120))
    rows, columns = np.nonzero((square == 200).all(axis=2))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert max(height, width) == 120
    assert height / width == pytest.approx(shape[0] / shape[1], rel=0.05)


def test_sample_predictions_mark_each_image_right_or_wrong_at_the_threshold() -> None:
    right = sample_predictions([sample(90, 1, 0.6), sample(91, 0, 0.59)], threshold=0.6, synthetic=False)
    assert area(right, RIGHT) > 0
    assert area(right, WRONG) == 0
    mixed = sample_predictions([sample(90, 1, 0.59), sample(91, 0, 0.59)], threshold=0.6, synthetic=False)
    assert area(mixed, WRONG) == pytest.approx(area(mixed, RIGHT), rel=0.02)
    unknown = sample_predictions([sample(90, None, 0.9), sample(91, 1)], threshold=0.6, synthetic=False)
    assert area(unknown, RIGHT) + area(unknown, WRONG) == 0
    assert places(unknown, 90)
    assert places(unknown, 91)


def test_failure_cases_show_the_worst_of_each_kind_first_and_no_success() -> None:
    found = [
        sample(90, 1, 0.5), sample(100, 1, 0.01), sample(110, 1, 0.2), sample(120, 1, 0.9),
        sample(130, 0, 0.65), sample(140, 0, 0.99), sample(150, 0, 0.1), sample(160, None, 0.0), sample(170, 1),
    ]  # fmt: skip
    sheet = failure_cases(found, threshold=0.6, synthetic=False, each=2)
    shown = {s.pixels[0, 0]: place for s in found if (place := places(sheet, int(s.pixels[0, 0])))}
    assert sorted(shown, key=lambda grey: shown[grey]) == [100, 110, 140, 130]


def test_failures_alike_in_name_and_probability_are_both_shown() -> None:
    twins = [Sample("1.png", np.full((64, 64), grey, np.uint8), 1, 0.0) for grey in (90, 100)]
    sheet = failure_cases(twins, threshold=0.5, synthetic=False)
    assert places(sheet, 90) and places(sheet, 100)


def test_failure_cases_without_failures_say_so() -> None:
    sheet = failure_cases([sample(90, 1, 0.9)], threshold=0.5, synthetic=False)
    assert places(sheet, 90) is None
    assert sheet.height > 200


def test_failures_stand_under_their_slices_and_slices_without_any_are_left_out() -> None:
    slices = [("A", "told", [sample(90, 1, 0.1), sample(100, 1, 0.2), sample(110, 1, 0.3)]), ("B", "told", [])]
    slices.append(("C", "told", [sample(120, 0, 0.9)]))
    sheet = failures_by_slice(slices, threshold=0.5, synthetic=False, each=2)
    first, second, other = (places(sheet, grey) for grey in (90, 100, 120))
    assert first and second and other and places(sheet, 110) is None
    assert first[0] == second[0] < other[0] and first[1] == other[1] < second[1]
    without = failures_by_slice([slices[0], slices[2]], threshold=0.5, synthetic=False, each=2)
    assert without.size == sheet.size


def test_a_heatmap_is_drawn_where_there_is_one() -> None:
    hot = np.zeros((7, 7))
    hot[3, 3] = 1.0
    cold, warm = (
        report_cards([ReportCard(sample(90, 1, 0.9, heatmap=heat), "m", "basic", "t")], threshold=0.5, synthetic=False)
        for heat in (HEAT, hot)
    )
    assert cold.size == warm.size
    changed = (np.asarray(cold) != np.asarray(warm)).any(axis=2)
    assert 500 < changed.sum() < 212 * 212


def test_report_cards_grow_with_their_text_and_name_long_cuts() -> None:
    def height(text: str) -> int:
        cards = [ReportCard(sample(90, 1, 0.9, heatmap=HEAT), "m", "basic", text, {"format": None})]
        return report_cards(cards, threshold=0.5, synthetic=False).height

    assert height("word " * 5) < height("word " * 100) < height("word " * 300)
    assert height("word " * 20_000) == height("x" * 100_000)


def test_retrieval_marks_neighbours_by_the_querys_label() -> None:
    query = sample(90, 1)
    hits = (Hit(sample(100, 1), 0.9), Hit(sample(110, 0), 0.8), Hit(sample(120, 0), 0.7), Hit(sample(130, None), 0.6))
    sheet = retrieval_grid([Retrieval(query, hits)], embedder="lite0", synthetic=False)
    assert area(sheet, WRONG) == pytest.approx(2 * area(sheet, RIGHT), rel=0.02)
    shown = [places(sheet, grey) for grey in (90, 100, 110, 120, 130)]
    assert all(shown)
    assert [place[1] for place in shown if place] == sorted(place[1] for place in shown if place)
    blind = retrieval_grid([Retrieval(sample(90, None), hits)], embedder="lite0", synthetic=False)
    assert area(blind, WRONG) + area(blind, RIGHT) == 0


def test_images_found_by_words_are_marked_only_where_it_is_known_what_was_asked_for() -> None:
    hits = (Hit(sample(100, 1), 0.9), Hit(sample(110, 0), 0.8), Hit(sample(120, 1), 0.7))
    judged = TextRetrieval("pneumonia", hits, (True, False, True))
    sheet = text_retrieval_grid([judged], embedder="clip", synthetic=False)
    assert area(sheet, RIGHT) == pytest.approx(2 * area(sheet, WRONG), rel=0.02)
    for embedder in ("clip", None):
        own = text_retrieval_grid([TextRetrieval("pneumonia", hits)], embedder=embedder, synthetic=False)
        assert area(own, WRONG) + area(own, RIGHT) == 0
        assert all(places(own, grey) for grey in (100, 110, 120))


def test_synthetic_sheets_are_stamped_in_the_heading_and_on_every_image() -> None:
    one, two = [sample(90, 1, 0.9, heatmap=HEAT)], [sample(90, 1, 0.9, heatmap=HEAT), sample(91, 1, 0.9, heatmap=HEAT)]
    query = Retrieval(one[0], (Hit(two[1], 0.5),))
    sheets: tuple[Callable[[bool], Image.Image], ...] = (
        lambda synthetic: sample_predictions(two, threshold=0.5, synthetic=synthetic),
        lambda synthetic: failure_cases(two, threshold=0.95, synthetic=synthetic),
        lambda synthetic: report_cards([ReportCard(one[0], "m", "basic", "t")], threshold=0.5, synthetic=synthetic),
        lambda synthetic: retrieval_grid([query], embedder="e", synthetic=synthetic),
        lambda synthetic: failures_by_slice([("A", "told", one)], threshold=0.95, synthetic=synthetic),
    )
    for draw in sheets:
        stamped, plain = draw(True), draw(False)
        assert area(stamped, STAMP) > area(plain, STAMP) + 3000
        top, left = places(stamped, 90) or (-1, -1)
        assert area(stamped.crop((left, top, left + 120, top + 262)), STAMP) > 300


@pytest.mark.parametrize("nothing", [
    lambda: sample_predictions([], threshold=0.5, synthetic=False),
    lambda: report_cards([], threshold=0.5, synthetic=False),
    lambda: retrieval_grid([], embedder="e", synthetic=False),
    lambda: failures_by_slice([("A", "told", [])], threshold=0.5, synthetic=False),
])  # fmt: skip
def test_a_sheet_of_nothing_is_refused(nothing: object) -> None:
    with pytest.raises(InputError, match=r"there is no image to show in [a-z ]+$"):
        nothing()  # type: ignore[operator]


def test_sixteen_real_radiographs_fit_a_sheet_with_their_names_unbroken(real_data: Path) -> None:
    files = [file for folder in ("NORMAL", "PNEUMONIA") for file in sorted((real_data / "test" / folder).iterdir())[:8]]
    samples = [
        Sample(file.name, pixels, int(file.parent.name == "PNEUMONIA"), 0.5)
        for file, pixels in zip(files, read_batch(files), strict=True)
    ]
    sheet = sample_predictions(samples, threshold=0.6, synthetic=False)
    assert sheet.width < 1300
    assert all(len(wrap(s.name, size=16, width=262)) == 1 for s in samples)
    assert len(np.unique(np.asarray(sheet).mean(axis=2))) > 200
