"""A run's page shows how its classifier does when the least certain images are referred, and leads to these."""

import re
from typing import Any

import pytest
from sqlalchemy import select, update
from streamlit.testing.v1 import AppTest

from db import session as database
from db.models import Image, Prediction, Run
from tests.dashboard.opened import Workbench, asked, linked, open_page, predicted_since, said
from tests.referring import measure_coverages
from tests.sample import THRESHOLD

SPLITS = {"predict": "test", "train": "oof"}


def measured(workbench: Workbench, kind: str, **how: Any) -> int:
    """The run of this kind, whose figures by coverage the evaluation now has."""
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run).where(Run.kind == kind).order_by(Run.id)).first()
        assert run is not None
        measure_coverages(db, run, split=SPLITS[kind], **{"threshold": THRESHOLD, **how})
        return run.id


def shown(at: AppTest) -> list[list[dict[str, Any]]]:
    return list(linked(at, "coverages")["rows"])


def charts(at: AppTest) -> list[str]:
    """The titles of the page's charts."""
    specs = [chart.proto.spec for chart in at.get("vega_lite_chart")]
    return [re.findall(r'"text": ?"([^"]+)"', spec)[0] for spec in specs if '"subtitle"' in spec]


@pytest.mark.parametrize("kind", ["predict", "train"])
@pytest.mark.parametrize("threshold", [THRESHOLD, 0.25])
def test_each_coverage_leads_to_exactly_the_images_that_are_referred(
    workbench: Workbench, kind: str, threshold: float
) -> None:
    run = measured(workbench, kind, threshold=threshold)
    at = open_page("runs", run=run)
    assert not at.exception and not at.error
    rows = shown(at)
    assert [row[0]["text"] for row in rows] == ["100 %", "95 %", "90 %", "80 %", "70 %", "50 %"]
    assert (rows[0][2]["text"], rows[0][2]["href"]) == ("0", None)
    total = int(rows[0][1]["text"].split(" ")[0])
    with database.transaction(workbench.engine) as db:
        said_of = {
            row.image_id: row.probability for row in db.scalars(select(Prediction).where(Prediction.run_id == run))
        }
    assert total == len(said_of)
    for row in rows[1:]:
        called, referred = (int(cell["text"].split(" ")[0]) for cell in row[1:3])
        assert called + referred == total and called >= int(row[0]["text"].split(" ")[0]) / 100 * total
        if not referred:
            continue
        page, parameters = asked(row[2]["href"])
        assert page == "cases" and parameters["sort"] == "uncertain" and parameters["run"] == str(run)
        assert parameters.get("split") == ("test" if kind == "predict" else None)
        assert parameters.get("threshold") == (None if threshold == THRESHOLD else str(threshold))
        cards = linked(open_page(page, **parameters), "cases")["cards"]
        listed = [int(asked(card["href"])[1]["image"]) for card in cards]
        assert len(listed) == referred
        odds = {number: said_of[number] / (1 - said_of[number]) for number in said_of}
        own = threshold / (1 - threshold)
        apart = {number: max(one / own, own / one) for number, one in odds.items()}
        assert max(apart[number] for number in listed) < min(apart[number] for number in apart.keys() - set(listed))
        near = [abs(said_of[number] - threshold) for number in listed]
        assert near == sorted(near)
    assert charts(at).count("Accuracy by coverage") == 1


def test_the_table_has_the_values_intervals_and_the_area_beside_random_and_best_order(workbench: Workbench) -> None:
    at = open_page("runs", run=measured(workbench, "predict"))
    assert re.fullmatch(r"\d+\.\d % \(\d+\.\d to \d+\.\d %\)", shown(at)[0][3]["text"])
    told = next(one.value for one in at.caption if "AURC" in one.value)
    assert "from evaluation run" in told and "intervals are over patients" in told
    area, chance, best = map(float, re.findall(r"(?:is|would be|referred first) (\d\.\d{3})", told))
    assert best <= area <= 1 and best <= chance
    heads = {head["text"]: head["meaning"] for head in linked(at, "coverages")["columns"]}
    assert "log-odds" in heads["Referred"] and heads["Coverage"]


def test_a_class_with_too_few_called_images_is_unknown(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        db.execute(update(Image).values(label=1))
    at = open_page("runs", run=measured(workbench, "predict"))
    assert {row[5]["text"] for row in shown(at)} == {"unknown"}
    assert "unknown" not in shown(at)[0][4]["text"] and not at.exception and not at.error


def test_probabilities_of_0_and_1_alone_can_refer_nothing(workbench: Workbench) -> None:
    run = measured(workbench, "predict", said=lambda probability: float(probability >= THRESHOLD))
    at = open_page("runs", run=run)
    assert [row[2]["text"] for row in shown(at)] == ["0"] * 6 and not any(row[2]["href"] for row in shown(at))
    assert len({row[3]["text"] for row in shown(at)}) == 1
    assert "equally certain of too many images" in said(at)
    assert "Accuracy by coverage" not in charts(at) and not at.exception and not at.error


def test_what_no_evaluation_measured_shows_no_coverage(workbench: Workbench) -> None:
    later = predicted_since(workbench, measured(workbench, "predict"))
    with pytest.raises(AssertionError, match="no component 'coverages'"):
        linked(open_page("runs", run=later), "coverages")


def test_a_run_without_labels_has_no_coverage_and_its_page_opens(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        db.execute(update(Image).values(label=None, cause=None))
    at = open_page("runs", run=measured(workbench, "predict"))
    assert not at.exception and not at.error
    with pytest.raises(AssertionError, match="no component 'coverages'"):
        linked(at, "coverages")
