"""The pages in complete, outdated and partly broken states, with all state in the URL."""

import os
import subprocess
import sys

import numpy as np
import pytest
from sqlalchemy import Engine, delete, select, text, update

from dashboard.components import figures, wording
from dashboard.components.reports import report_view
from db import session as database
from db import tallies
from db.models import (
    Base,
    Dataset,
    Image,
    ImageTally,
    Metric,
    Prediction,
    Report,
    ReportScore,
    ReportTally,
    Review,
    Run,
    VectorIndex,
    now,
)
from db.queries import case_questions
from db.slice_names import report_slice
from engine.imaging.images import thumbnail_path
from tests.dashboard.opened import APP, PAGES, PINNED, Workbench, asked, cell, linked, open_page, said
from tests.sample import THRESHOLD, build, films

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.mark.usefixtures("served")
def test_a_database_without_tables_shows_what_to_run() -> None:
    assert "make demo" in said(open_page("overview"))


def test_an_unreachable_server_is_named_without_its_password(served: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://reader:secret@127.0.0.1:9/none")
    at = open_page("cases")
    assert not at.exception
    assert "127.0.0.1:9" in said(at)
    assert "secret" not in said(at)


@pytest.mark.parametrize(("revision", "command"), [(None, "python -m jobs migrate"), ("9999", "git pull")])
def test_another_schema_names_the_command(workbench: Workbench, revision: str | None, command: str) -> None:
    with workbench.engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        if revision:
            connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})
    for name in PAGES:
        at = open_page(name)
        assert not at.exception, name
        assert command in said(at), name


def test_a_filter_in_the_address_shows_in_its_widget_and_in_the_list(workbench: Workbench) -> None:
    at = open_page("cases", split="test", label="pneumonia", low=0.2, high=0.9)
    assert at.segmented_control(key="url_split").value == "test"
    assert at.segmented_control(key="url_label").value == "pneumonia"
    assert at.slider(key="url_low").value == (0.2, 0.9)
    with database.transaction(workbench.engine) as db:
        query = (
            select(Image.id).join(Prediction, Prediction.image_id == Image.id).join(Run, Run.id == Prediction.run_id)
        )
        query = query.where(Run.kind == "predict", Image.label == 1, Prediction.probability.between(0.2, 0.9))
        wanted = set(db.scalars(query))
    shown = {int(asked(card["href"])[1]["image"]) for card in linked(at, "cases")["cards"]}
    assert shown == wanted
    assert wanted


def test_a_widget_writes_its_filter_to_the_address_and_starts_at_the_first_page(workbench: Workbench) -> None:
    at = open_page("cases", page=2)
    assert at.pagination[0].value == 2
    at.segmented_control(key="url_outcome").set_value("FN").run()
    assert at.query_params == {**PINNED, "outcome": "FN"}
    at.slider(key="url_low").set_value((0.1, 1.0)).run()
    assert at.query_params == {**PINNED, "outcome": "FN", "low": "0.1"}
    at.segmented_control(key="url_outcome").set_value(None).run()
    assert at.query_params == {**PINNED, "low": "0.1"}


def test_the_second_page_goes_on_where_the_first_ends(workbench: Workbench) -> None:
    first, second = open_page("cases", sort="file"), open_page("cases", sort="file")
    second.pagination[0].set_value(2).run()
    assert second.query_params == {**PINNED, "sort": "file", "page": "2"}
    ids = [int(asked(card["href"])[1]["image"]) for at in (first, second) for card in linked(at, "cases")["cards"]]
    assert ids == sorted(set(ids))
    assert len(ids) == 60


@pytest.mark.parametrize(
    "parameters",
    [
        {"run": "x", "page": "0", "low": "nan", "high": "9", "sort": "'; DROP TABLE image; --"},
        {"split": "<b>", "label": "2", "outcome": "maybe", "cause": "%", "image": "-1", "opacity": "inf"},
        {"image": "99999999999999999999", "k": "1000000", "by": "x", "index": "../..", "kind": "x", "dataset": "x"},
    ],
)
def test_invalid_parameters_in_the_url_are_ignored(workbench: Workbench, parameters: dict[str, str]) -> None:
    for name in PAGES:
        assert not open_page(name, **parameters).exception, name


def test_each_outcome_leads_to_as_many_cases_as_it_counts(workbench: Workbench) -> None:
    at = open_page("cases")
    for outcome in case_questions.OUTCOMES:
        link = cell(at, "confusion", outcome)
        page, parameters = asked(link["href"])
        assert parameters["outcome"] == outcome
        shown = linked(open_page(page, **parameters), "cases")["cards"]
        assert link["text"] == f"{outcome}  {len(shown)}"
        assert {card["mark"] for card in shown} <= {outcome}


def test_items_that_need_attention_are_links(workbench: Workbench) -> None:
    link = cell(open_page("overview"), "attention", "Missed pneumonia")
    page, parameters = asked(link["href"])
    assert (page, parameters) == ("cases", {**PINNED, "outcome": "FN"})


def test_metrics_are_shown_with_interval_n_and_the_original_tool(workbench: Workbench) -> None:
    real(workbench)
    rows = linked(open_page("overview"), "classification")["rows"]
    recall = next([one["text"] for one in row] for row in rows if row[0]["text"] == "Recall (sensitivity)")
    assert recall[:5] == ["Recall (sensitivity)", "95.0 %", "92.0 to 97.0 %", "20", "~ 96.0 %"]


def test_a_data_set_without_a_test_split_shows_the_figures_of_the_split_that_is_judged_on(
    workbench: Workbench,
) -> None:
    real(workbench)
    with database.transaction(workbench.engine) as db:
        db.execute(delete(Metric).where(Metric.split == "oof"))
        db.execute(update(Metric).where(Metric.split == "test").values(split="all"))
    at = open_page("overview")
    table = linked(at, "classification")
    assert [head["text"] for head in table["columns"]] == ["Classification", "No split", "95 % interval", "n"]
    recall = next([one["text"] for one in row] for row in table["rows"] if row[0]["text"] == "Recall (sensitivity)")
    assert recall == ["Recall (sensitivity)", "95.0 %", "92.0 to 97.0 %", "20"]
    assert "evaluated on images without a split" in said(at)
    assert figures.ORIGIN not in said(at), "it was measured on a test split"


def test_where_files_are_identical_the_overview_says_which_figures_count_them_all(workbench: Workbench) -> None:
    assert figures.FILES not in said(open_page("overview"))
    with database.transaction(workbench.engine) as db:
        db.execute(update(ImageTally).values(files=ImageTally.files + 1))
    assert figures.FILES in said(open_page("overview"))


def test_a_case_shows_its_prediction_its_reports_and_others_like_it(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        report = db.scalars(select(Report).order_by(Report.id)).first()
        assert report is not None
        image, wording_of_it = db.get_one(Image, report.image_id), report.text
    at = open_page("case", image=image.id)
    assert report_view.coloured(wording_of_it) in said(at)
    assert "Reports (4)" in said(at)
    similar = [int(asked(card["href"])[1]["image"]) for card in linked(at, "similar")["cards"]]
    assert len(similar) == 12
    assert image.id not in similar
    with database.transaction(workbench.engine) as db:
        labels = [db.get_one(Image, one).label for one in similar]
    assert set(labels) == {image.label}
    film = linked(at, "film")
    assert film["src"] == f"/app/static/image/{image.sha256}"
    assert f"/{image.sha256}.webp?v=" in film["heat"]["src"]


def test_the_steps_of_a_case_walk_through_the_whole_list_in_its_order(workbench: Workbench) -> None:
    listed = [
        int(asked(card["href"])[1]["image"]) for card in linked(open_page("cases", outcome="wrong"), "cases")["cards"]
    ]
    walked = [listed[0]]
    while (step := linked(open_page("case", image=walked[-1], outcome="wrong"), "steps")["steps"][-1])["href"]:
        page, parameters = asked(step["href"])
        assert (page, parameters["outcome"]) == ("case", "wrong")
        walked.append(int(parameters["image"]))
    assert walked == listed


def test_a_case_outside_the_list_leads_back_to_the_list(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        image = db.scalars(select(Image.id).where(Image.split == "train")).first()
    (back,) = linked(open_page("case", image=image, split="test", outcome="wrong"), "steps")["steps"]
    assert asked(back["href"]) == ("cases", {**PINNED, "split": "test", "outcome": "wrong"})


def test_an_image_that_does_not_exist_says_so(workbench: Workbench) -> None:
    assert "No such case" in said(open_page("case", image=12345))
    assert "has no image abc" in said(open_page("case", image="abc"))
    assert "has no image" not in said(open_page("case"))


def test_a_broken_index_says_so_in_its_place_and_the_rest_is_there(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        folder = workbench.artifacts / db.scalars(select(VectorIndex)).one().path
    (folder / "index.faiss").write_bytes(b"torn")
    at = open_page("case", image=1)
    assert not at.exception
    (error,) = [str(one.value) for one in at.error]
    assert "index.faiss is not the file that was written" in error
    assert "build it again with: python -m jobs embed --dataset sample --embedder" in error
    assert "Reports (4)" in said(at)


def test_an_index_that_is_cut_while_it_is_open_is_refused_and_not_read_beyond_its_end(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        folder = workbench.artifacts / db.scalars(select(VectorIndex)).one().path
    assert not open_page("case", image=1).error
    os.truncate(folder / "vectors.npy", 4096)
    (error,) = open_page("case", image=1).error
    assert "vectors.npy is not the file that was written" in str(error.value)


def test_a_missing_run_file_is_marked_and_a_missing_thumbnail_breaks_no_page(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run).where(Run.kind == "predict")).one()
        image = db.get_one(Image, 1)
    (workbench.artifacts / f"runs/{run.id:04d}-predict/heatmaps.npy").unlink()
    thumbnail_path(workbench.artifacts, image.sha256).unlink()
    assert cell(open_page("runs", run=run.id), "files", "missing")["tone"] == "wrong"
    assert not open_page("cases").exception


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_what_it_is_not_for(page: str, workbench: Workbench) -> None:
    assert "Research use, not for diagnosis." in said(open_page(page))


def real(workbench: Workbench) -> None:
    """Mark the sample as real radiographs."""
    with database.transaction(workbench.engine) as db:
        db.scalars(select(Dataset)).one().synthetic = False


def test_the_overview_holds_each_embedder_against_the_original_tool_on_real_films_alone(workbench: Workbench) -> None:
    (phantoms,) = linked(open_page("overview"), "retrieval")["rows"]
    assert phantoms[0]["text"] == "imagenet-lite0"
    real(workbench)
    table = linked(open_page("overview"), "retrieval")
    assert [head["text"] for head in table["columns"]] == ["Retrieval by embedder", "P@1", "P@10"]
    measured, original = table["rows"]
    assert [cell["text"] for cell in measured[:2]] == ["imagenet-lite0", "90.0 % (88.0 to 92.0 %)"]
    assert [cell["text"] for cell in original[:2]] == ["original tool", "~ 78.0 %"]


@pytest.mark.parametrize("hosts", ["", "films.example.org"])
def test_the_folder_of_a_dataset_is_shown_only_locally_and_verbatim(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch, hosts: str
) -> None:
    with database.transaction(workbench.engine) as db:
        db.get_one(Dataset, workbench.dataset_id).root = "/data/`a` *b*"
    monkeypatch.setenv("PNEUMOSCOPE_ALLOWED_HOSTS", hosts)
    assert (r" /data/\`a\` \*b\*" in said(open_page("overview"))) == (not hosts)
    assert ("/data/" in said(open_page("overview"))) == (not hosts)


def test_the_overview_counts_the_reports_of_a_model_whose_long_name_is_shortened(workbench: Workbench) -> None:
    long = "/models/" + "x" * 150
    with database.transaction(workbench.engine) as db:
        for metric in db.scalars(select(Metric).where(Metric.split == "reports")):
            metric.slice = report_slice(long, metric.slice.removeprefix("template / "))
        db.execute(update(ReportTally).values(model=long))
    rows = linked(open_page("overview"), "reports")["rows"]
    assert [row[1]["text"] for row in rows] == ["6"] * 4


def test_reports_are_filtered_by_label_strategy_and_words(workbench: Workbench) -> None:
    at = open_page("reports", label="pneumonia", strategy="basic", words="right lower")
    assert at.text_input(key="url_words").value == "right lower"
    assert "3 of 24 reports" in said(at)
    at.text_input(key="url_words").set_value("nodule").run()
    assert at.query_params == {**PINNED, "label": "pneumonia", "strategy": "basic", "words": "nodule"}
    assert "0 of 24 reports" in said(at)


def test_a_report_with_markup_in_it_shows_as_it_was_written(workbench: Workbench) -> None:
    hostile = "<script>alert(1)</script> **bold** [a](http://b) :red[c] $x$ # d"
    with database.transaction(workbench.engine) as db:
        db.execute(update(Report).values(text=hostile))
    shown = [str(one.value) for one in open_page("reports").markdown]
    assert wording.plain(hostile) in shown
    assert not any("<script>" in one or "**bold**" in one for one in shown)


def test_a_failed_run_shows_its_error_and_traceback(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run).where(Run.status == "failed")).one()
    at = open_page("runs", run=run.id)
    assert "needs 7.5 GB of weights" in said(at).replace("\\", "")
    assert "Traceback (most recent call last)" in said(at)


def test_a_run_whose_process_died_shows_as_lost_and_a_living_one_shows_its_progress(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run).where(Run.kind == "embed")).one()
        run.status, run.host, run.stage, run.done, run.total, run.eta_seconds = "running", "x", "vectors", 30, 60, 75.0
        run.heartbeat = now()
        number = run.id
    at = open_page("runs", run=number)
    assert "running" in str(at.title[0].value)
    assert "vectors 30 of 60, 75 s left" in [one.proto.text for one in at.get("progress")]
    with database.transaction(workbench.engine) as db:
        db.execute(update(Run).where(Run.id == number).values(heartbeat=now().replace(year=2020)))
    assert cell(open_page("runs"), "runs", "lost")["tone"] == "wrong"


def test_an_ingest_run_lists_what_it_left_out(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run).where(Run.kind == "ingest")).one()
    assert cell(open_page("runs", run=run.id), "skipped", "notes.txt")


def test_without_predictions_the_cases_are_there_and_the_command_is_named(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        db.execute(Base.metadata.tables["prediction"].delete())
    at = open_page("cases", outcome="FN")
    assert not at.exception
    assert "python -m jobs predict --dataset sample" in said(at)
    assert len(linked(at, "cases")["cards"]) == 48
    assert {card["mark"] for card in linked(at, "cases")["cards"]} == {""}


def test_a_second_dataset_is_chosen_in_the_address_and_kept_by_the_links(workbench: Workbench, engine: Engine) -> None:
    build(engine, workbench.artifacts, workbench.folder, pictures=films(20, seed=1), name="real one", synthetic=False)
    assert "real one" in said(open_page("overview")).replace("\\", "")
    at = open_page("overview", dataset="sample")
    assert any("SYNTHETIC" in str(one.value) for one in at.warning)
    page, parameters = asked(cell(at, "holdings", "20")["href"])
    assert (page, parameters["dataset"]) == ("cases", "sample")
    at.selectbox(key="url_dataset").set_value("real one").run()
    assert not at.warning


def test_no_page_but_an_upload_loads_torch(workbench: Workbench) -> None:
    script = (
        "import sys; sys.path[:0] = ['.']\n"
        "from tests.dashboard.opened import PAGES, open_page\n"
        "for name in PAGES:\n"
        "    at = open_page(name, image=1, by='image', run=2)\n"
        "    assert not at.exception and at.title, name\n"
        "print([name for name in ('torch', 'transformers', 'sklearn') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=APP.parent.parent, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_the_overview_counts_patients_with_films_in_test_and_elsewhere(workbench: Workbench) -> None:
    name = "Patients in test and in another split"
    assert name not in str(linked(open_page("overview"), "attention"))
    with database.transaction(workbench.engine) as db:
        for split in ("train", "test"):
            image = db.scalars(select(Image).where(Image.split == split)).first()
            assert image is not None
            image.patient_key = "p"
        db.flush()
        tallies.dataset(db, workbench.dataset_id)
    at = open_page("overview")
    rows = {row[0]["text"]: row for row in linked(at, "attention")["rows"]}
    assert rows[name][1]["text"] == "1"
    page, parameters = asked(rows[name][0]["href"])
    assert "Run 1: ingest" in said(open_page(page, **parameters))


def test_the_overview_links_to_disputed_labels_contradicting_reports_and_outdated_indexes(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        ill = db.scalars(select(Image).where(Image.label == 1)).first()
        assert ill is not None
        db.add(Review(image_id=ill.id, reviewer="A", verdict="normal"))
        index = db.scalars(select(VectorIndex)).one()
        index.count = 59
        run = db.scalars(select(Run).where(Run.kind == "predict")).one()
        stance = {
            row.report_id: row.value for row in db.scalars(select(ReportScore).where(ReportScore.metric == "stance"))
        }
        query = select(Report.id, Prediction.probability).join(Prediction, Prediction.image_id == Report.image_id)
        judged = db.execute(query.where(Prediction.run_id == run.id)).all()
    opposed = sum((row.probability >= THRESHOLD) != (stance[row.id] == 1.0) for row in judged)
    at = open_page("overview")
    rows = {row[0]["text"]: row for row in linked(at, "attention")["rows"]}
    doubted, contradicting = rows["Labels disputed by a reader"], rows["Reports that contradict the classifier"]
    assert (doubted[1]["text"], contradicting[1]["text"]) == ("1", str(opposed))
    page, parameters = asked(doubted[0]["href"])
    assert [asked(card["href"])[1]["image"] for card in linked(open_page(page, **parameters), "cases")["cards"]] == [
        str(ill.id)
    ]
    page, parameters = asked(contradicting[0]["href"])
    assert f"{opposed} of 24 reports" in said(open_page(page, **parameters))
    assert rows["Index imagenet-lite0 is out of date"][1]["text"] == "59 of 60 images"


@pytest.mark.parametrize(("shift", "told"), [(0, None), (-1, "latest images missing")])
def test_an_index_of_as_many_images_as_the_dataset_but_others_is_stale(
    workbench: Workbench, shift: int, told: str | None
) -> None:
    """As after an image was replaced: the old vector is present, the new one is missing."""
    with database.transaction(workbench.engine) as db:
        index = db.scalars(select(VectorIndex)).one()
    file = workbench.artifacts / index.path / "ids.npy"
    np.save(file, np.load(file) + shift)
    rows = {row[0]["text"]: row for row in linked(open_page("overview"), "attention")["rows"]}
    stale = rows.get("Index imagenet-lite0 is out of date")
    assert (stale and stale[1]["text"]) == told
