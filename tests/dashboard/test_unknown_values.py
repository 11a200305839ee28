"""Values in the URL that mean nothing for the dataset are named, as is what needs labels."""

import pytest
from sqlalchemy import update

from dashboard.components import filters
from db import session as database
from db import tallies
from db.models import Image
from tests.dashboard.opened import Workbench, open_page, said

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_unknown_datasets_thresholds_and_models_are_named(workbench: Workbench) -> None:
    assert "Dataset nope does not exist. This page shows sample." in said(open_page("cases", dataset="nope"))
    assert "does not exist" not in said(open_page("cases", dataset="sample"))
    for threshold in ("5", "x", "nan"):
        told = said(open_page("cases", threshold=threshold))
        assert f"**Ignored**, as unknown for these predictions: threshold {threshold}." in told
    assert "**Ignored**" not in said(open_page("cases", threshold="0"))
    assert "**Ignored**, as unknown for these reports: model nope." in said(open_page("reports", model="nope"))
    assert "**Ignored**" not in said(open_page("reports", model="template"))


def test_without_labels_no_outcome_is_offered(workbench: Workbench) -> None:
    assert "Outcome" in [one.label for one in open_page("cases").button_group]
    with database.transaction(workbench.engine) as db:
        db.execute(update(Image).values(label=None))
        tallies.dataset(db, workbench.dataset_id)
    at = open_page("cases")
    assert "Outcome" not in [one.label for one in at.button_group]
    assert f"Outcomes and the order {filters.SORTS['wrong'].lower()} need labels" in said(at)
