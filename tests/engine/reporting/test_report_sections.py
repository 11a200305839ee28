"""Each sentence is assigned to the section that its heading names."""

import pytest

from engine.reporting.findings import read
from engine.reporting.sections import sections

FORMS = [
    "LUNG FIELDS: Opacity on the left.\nCARDIAC: Normal.\nPLEURA: No effusion.\nIMPRESSION: Pneumonia.",
    "**Lung fields:** Opacity on the left.\n**Cardiac:** Normal.\n**Pleura:** No effusion.\n**Impression:** Pneumonia.",
    "## Lungs\nOpacity on the left.\n## Heart\nNormal.\n## Pleural spaces\nNo effusion.\n## Conclusion\nPneumonia.",
    "1. Lungs: opacity on the left. 2. Heart: normal. 3. Pleura: no effusion. 4. Summary: pneumonia.",
    "- Lungs: opacity on the left\n- Heart and mediastinum: normal\n- Pleura: no effusion\n- Assessment: pneumonia",
]


@pytest.mark.parametrize("text", FORMS)
def test_the_four_sections_are_found_in_every_form(text: str) -> None:
    assert [part.name for part in sections(text)] == ["lung fields", "cardiac", "pleura", "impression"]
    said = [(mention.finding, mention.section) for mention in read(text) if mention.finding != "normal"]
    assert said == [("opacity", "lung fields"), ("effusion", "pleura"), ("pneumonia", "impression")]


@pytest.mark.parametrize(
    "text", ["", "The lungs are clear.", "Heart size is normal: nothing else.", "The impression is of pneumonia."]
)
def test_prose_has_no_sections(text: str) -> None:
    assert sections(text) == []


def test_a_section_is_where_it_says_and_the_whole_text_after_a_heading_is_in_one() -> None:
    text = "A child. LUNGS: clear.\n\nNOTE: none.\nIMPRESSION\nNormal"
    assert [text[part.body : part.end].strip() for part in sections(text)] == ["clear.", "none.", "Normal"]
    assert text[sections(text)[0].start :].startswith("LUNGS")


def test_what_the_request_says_is_not_asserted() -> None:
    text = "INDICATION: Fever. Consolidation on the left? Known old fracture.\nFINDINGS: No consolidation."
    assert [mention.polarity for mention in read(text)] == ["hypothetical", "historical", "absent"]
