"""What an audit found: of one case, on the case's page; its slices, on the overview, its run's page and as a filter."""

from sqlalchemy import select

from dashboard import pictures
from db import session as database
from db.models import ErrorSlice, Image, ImageMeasure, Metric, Neighbour, Run
from tests.dashboard.opened import Workbench, asked, audited, cell, linked, open_page, said

MEASURED = {"frame_heat": 0.125, "deletion_gain": 0.21, "insertion_gain": -0.04}


def test_an_audited_case_shows_its_slice_its_measures_and_the_training_images_it_resembles(
    workbench: Workbench,
) -> None:
    with database.transaction(workbench.engine) as db:
        part = audited(db, members=(1, 7))
        of_run = {"run_id": part.run_id, "image_id": 1}
        db.add_all(ImageMeasure(**of_run, name=name, value=value) for name, value in MEASURED.items())
        first, second = db.scalars(select(Image.id).where(Image.split == "train").limit(2))
        near = {"similarity": 0.912, "hash_distance": 12, "verdict": "near-duplicate"}
        db.add(Neighbour(**of_run, neighbour_id=first, rank=1, **near))
        db.add(Neighbour(**of_run, neighbour_id=second, rank=2, **near | {"similarity": 0.5, "verdict": "different"}))
        number = part.id
    at = open_page("case", image=1)
    assert f"slice={number}" in cell(at, "audited", "Slice normal A")["href"]
    rows = {row[0]["text"]: row[1]["text"] for row in linked(at, "audited")["rows"]}
    assert rows == {
        "Run": str(of_run["run_id"]),
        "Slice normal A": "1 of 2 misclassified (50.0 %)",
        "Heat in the outer frame": "12.5 % (uniform: 36.0 %)",
        "Deletion gain": "+0.210",
        "Insertion gain": "-0.040",
    }
    first, second = linked(at, "learned")["cards"]
    assert (first["title"], second["title"]) == ("Similarity 0.912", "Similarity 0.500")
    assert "near-duplicate" in first["lines"] and "near-duplicate" not in second["lines"]
    assert any(line.startswith("out of fold: ") for line in first["lines"])
    page, parameters = asked(first["href"])
    there = {row[0]["text"]: row[1]["text"] for row in linked(open_page(page, **parameters), "facts")["rows"]}
    assert there["Prediction"].split(",")[0] in "\n".join(first["lines"])
    assert "of 2 have the label of this case" in said(at)


def test_a_case_says_which_stresses_change_its_call_and_leads_to_the_others(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        run = audited(db, members=()).run_id
        for image, changes in {1: ("noisy", "blurred"), 7: ("noisy",), 9: ()}.items():
            of_image = {"run_id": run, "image_id": image}
            db.add(ImageMeasure(**of_image, name="call_changes", value=len(changes)))
            db.add_all(ImageMeasure(**of_image, name=f"stress: {name}", value=0.321) for name in changes)
        for name, changed in {"noisy": 2, "blurred": 1, "darker": 0}.items():
            db.add(Metric(run_id=run, name="stress_changed", split="test", slice=name, value=changed / 40, n=40))
    at = open_page("case", image=1)
    rows = {row[0]["text"]: row[1]["text"] for row in linked(at, "audited")["rows"]}
    assert rows == {
        "Run": str(run),
        "Stresses that change the call": "2",
        "– blurred": "32.1 % pneumonia",
        "– noisy": "32.1 % pneumonia",
    }
    page, parameters = asked(cell(at, "audited", "– noisy")["href"])
    there = open_page(page, **parameters)
    cards = linked(there, "cases")["cards"]
    assert sorted(int(asked(card["href"])[1]["image"]) for card in cards) == [1, 7]
    assert all("noisy: 32.1 %" in card["lines"] for card in cards)
    told = said(there)
    assert "2 distinct images." in told and "Only cases whose call changes when the image is noisy." in told
    assert "calls that a stress changes" in told, "metrics of images selected so would be meaningless"
    options = ["noisy, 5.0 % of calls", "blurred, 2.5 % of calls", "darker, 0.0 % of calls"]
    assert [one for one in there.selectbox(key="url_stress").options if one.endswith("calls")] == options
    table = linked(open_page("cases", stress="noisy", look="table"), "cases")
    assert [row[3]["text"] for row in table["rows"]] == ["32.1 %"] * 2 and table["columns"][3]["text"] == "Noisy"
    elsewhere = said(open_page("cases", stress="noisy", threshold=0.9))
    assert "whose call at the run's own threshold of" in elsewhere
    rows = {row[0]["text"]: row[1]["text"] for row in linked(open_page("case", image=9), "audited")["rows"]}
    assert rows == {"Run": str(run), "Stresses that change the call": "0"}


def test_a_case_shows_the_copies_that_change_its_call_and_each_opens_in_the_viewer(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        part = audited(db, members=())
        db.get_one(Run, part.run_id).summary = {"stresses": {"noisy": "Gaussian noise", "framed": "a black edge"}}
        for image, changes in {1: ("framed",), 7: ("framed", "noisy"), 9: ()}.items():
            of_image = {"run_id": part.run_id, "image_id": image}
            db.add(ImageMeasure(**of_image, name="call_changes", value=len(changes)))
            db.add_all(ImageMeasure(**of_image, name=f"stress: {name}", value=0.987) for name in changes)
        for name in ("noisy", "framed"):
            db.add(Metric(run_id=part.run_id, name="stress_auc", split="test", slice=name, value=0.9, n=40))
            db.add(Metric(run_id=part.run_id, name="stress_changed", split="test", slice=name, value=0.1, n=40))
        sha256 = db.get_one(Image, 1).sha256
    at = open_page("case", image=1, split="test")
    unaltered, framed = linked(at, "altered")["cards"]
    assert linked(at, "film")["src"] == pictures.image_url(sha256)
    assert (framed["title"], framed["lines"]) == ("Framed", ["98.7 % pneumonia", "a black edge"])
    assert (framed["mark"], framed["tone"]) == ("FP", "wrong")
    assert unaltered["lines"][1:] == ["as ingested", "displayed above"] and unaltered["mark"] == "TN"
    page, parameters = asked(framed["href"])
    assert (page, parameters["altered"], parameters["split"]) == ("case", "framed", "test")
    at = open_page(page, **parameters)
    shown = linked(at, "film")
    assert shown["src"] == pictures.altered_url(sha256, "framed") and shown["heat"] is None
    assert "a black edge. 98.7 % pneumonia, unaltered " in shown["caption"]
    unaltered, framed = linked(at, "altered")["cards"]
    assert framed["lines"][-1] == "displayed above" and "altered" not in asked(unaltered["href"])[1]
    for of_none in (open_page("case", image=9), open_page("case", image=9, altered="framed")):
        assert not [one for one in of_none.get("bidi_component") if one.proto.id.endswith("-altered")]
        assert "/image/" in linked(of_none, "film")["src"]
    at = open_page("runs", run=part.run_id)
    cards = linked(at, "stressed")["cards"]
    assert "Example: image 7," in said(at) and [card["title"] for card in cards] == ["Unaltered", "Noisy", "Framed"]
    assert asked(cards[2]["href"])[1] | {"run": ""} == {"image": "7", "altered": "framed", "run": ""}


def test_a_stress_that_changes_no_call_has_no_cases_and_an_unknown_filter_is_named(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        part = audited(db, members=(1, 7))
        db.add(Metric(run_id=part.run_id, name="stress_changed", split="test", slice="darker", value=0.0, n=40))
    assert "0 distinct images." in said(open_page("cases", stress="darker"))
    for name, value in {"stress": "foo", "slice": "999", "outcome": "ZZ"}.items():
        told = said(open_page("cases", **{name: value}))
        assert "**Ignored**, as unknown for these predictions: " in told and f"{value}." in told, name
    assert "**Ignored**" in said(open_page("reviews", split="all", stress="foo", reviewer="R1"))
    assert "**Ignored**" not in said(open_page("reviews", split="all", reviewer="R1"))
    assert "**Ignored**" not in said(open_page("cases", stress="darker", outcome="wrong", slice=part.id))


def test_a_stress_that_changes_many_calls_is_on_the_overview(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        run = audited(db, members=()).run_id
        for name, value in {"noisy": 0.25, "blurred": 0.1}.items():
            told = {"slice": name, "value": value, "low": value - 0.03, "high": value + 0.05, "n": 40}
            db.add(Metric(run_id=run, name="stress_changed", split="test", **told))
    at = open_page("overview")
    assert asked(cell(at, "attention", "Calls that change when the image is noisy")["href"])[1]["stress"] == "noisy"
    assert cell(at, "attention", "10 of 40")
    with database.transaction(workbench.engine) as db:
        for metric in db.scalars(select(Metric).where(Metric.name == "stress_changed")):
            metric.low = 0.04
    assert "Calls that change" not in str(linked(open_page("overview"), "attention"))


def test_a_case_without_an_audit_says_nothing_of_one(workbench: Workbench) -> None:
    at = open_page("case", image=1)
    assert "Most similar training images" not in said(at)
    assert not [one for one in at.get("bidi_component") if one.proto.id.endswith("-audited")]


def test_a_slice_with_excess_errors_links_from_the_overview_to_its_cases(
    workbench: Workbench,
) -> None:
    with database.transaction(workbench.engine) as db:
        part = audited(db, members=(1, 7))
    name = "Slice normal A: more errors than other normal images"
    assert name not in str(linked(open_page("overview"), "attention"))
    with database.transaction(workbench.engine) as db:
        db.get_one(ErrorSlice, part.id).p_value = 0.01
    at = open_page("overview")
    page, parameters = asked(cell(at, "attention", name)["href"])
    assert cell(at, "attention", "1 of 2")
    assert "Slice normal A: brighter." in said(open_page(page, **parameters))
    probes = {"frame pixels": 0.83, "file size": 0.91, "classifier, whole image": 0.98, "frame features": 0.55}
    with database.transaction(workbench.engine) as db:
        for name, value in probes.items():
            told = {"slice": name, "value": value, "low": value - 0.1, "high": value + 0.01}
            db.add(Metric(run_id=part.run_id, name="probe_auc", split="test", **told))
            db.add(Metric(run_id=part.run_id, name="probe_auc", split="oof", **told | {"value": 0.99, "low": 0.98}))
    at = open_page("overview")
    assert f"run={part.run_id}" in cell(at, "attention", "Possible shortcut: file size")["href"]
    assert cell(at, "attention", "AUC 0.910")


def test_the_run_of_an_audit_lists_its_slices_with_links_until_another_audit_takes_its_place(
    workbench: Workbench,
) -> None:
    with database.transaction(workbench.engine) as db:
        part = audited(db, members=(1, 7))
    row = linked(open_page("runs", run=part.run_id), "slices")["rows"][0]
    assert [one["text"] for one in row] == ["normal A", "brighter", "2", "1", "50.0 % (10.0 to 90.0 %)", "0.2"]
    assert asked(row[0]["href"])[1]["slice"] == str(part.id)
    with database.transaction(workbench.engine) as db:
        audited(db, members=(1,))
    assert cell(open_page("runs", run=part.run_id), "slices", "normal A")["href"] is None
