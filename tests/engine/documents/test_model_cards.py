"""A model card reports what the runs stored, and draws only conclusions that the values support."""

from dataclasses import replace

from engine.documents.markdown_reports import BANNER
from engine.documents.model_cards import Card, Holding, Holdings, model_card
from engine.metrics.bootstrap import Interval
from engine.metrics.evaluation import Measured


def measured(name: str, value: float, where: str = "all") -> Measured:
    return Measured(name, where, Interval(value, value - 0.01, value + 0.01, 618))


CARD = Card(
    name="best, train run 2",
    synthetic=False,
    details={"checkpoint sha256": "c" * 64, "audited": None},
    recipe={"backbones": ["efficientnet_lite0", "efficientnet_lite1"], "penalty": 100.0},
    backbones=[("efficientnet_lite0", "ImageNet-1k", "Apache-2.0")],
    training=Holdings("chest_xray", [Holding("train", "normal", 1341, 1349, 900)]),
    evaluation=Holdings("chest_xray", [Holding("test", "normal", 233, 234, 200)]),
    judged="test",
    protocol={"temperature": 1.25},
    openings=1,
    values={
        "test": [
            *(measured("auc", 0.98), measured("specificity", 0.8), measured("recall", 0.99, "recall97")),
            *(measured("ece", 0.05), measured("recall", 0.97, "viral"), measured("ece", 0.09, "before_scaling")),
            *(measured("threshold", 0.412), measured("threshold", 0.2, "recall97")),
        ],
        "oof": [measured("auc", 0.99), measured("specificity", 0.95)],
    },
    verdicts={},
    slices=[],
    replicates=1000,
    commands=["python -m jobs train --dataset chest_xray --recipe best --seed 0"],
)


def section(text: str, title: str) -> str:
    return text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_a_card_holds_every_fact_it_is_given_in_the_sections_of_the_paper() -> None:
    text = model_card(CARD)
    assert text.startswith("# Model card: best, train run 2\n") and BANNER not in text
    titles = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        *("Model details", "Intended use", "Factors", "Training data", "Evaluation data", "Protocol", "Metrics"),
        *("Quantitative analyses", "Audit", "Caveats and recommendations", "How to repeat it"),
    ]
    for line in (
        f"| checkpoint sha256 | {'c' * 64} |",
        r"| efficientnet\_lite0 | ImageNet-1k | Apache-2.0 |",
        r"| backbones | efficientnet\_lite0, efficientnet\_lite1 |",
        "| temperature | 1.25 |",
        "| AUC | 0.980 | 0.970 to 0.990 | 0.990 | 0.980 to 1.000 |",
        "### At the current threshold (0.412)",
        "### At the threshold for a recall of .97 (0.200)",
        "| Recall (sensitivity) | 0.990 | 0.980 to 1.000 |  |  |",
        "### Calibration before temperature scaling\n\n| metric |",
        "### Viral pneumonia against normal",
        "python -m jobs train --dataset chest_xray --recipe best --seed 0\n```",
    ):
        assert line in text, line
    assert "| train | normal | 1,341 | 1,349 | 900 |" in section(text, "Training data")
    assert "| test | normal | 233 | 234 | 200 |" in section(text, "Evaluation data")
    assert "The test split was scored once in this database." in section(text, "Evaluation data")
    assert "audited" not in section(text, "Model details"), "what is not known is left out"


def test_caveats_follow_the_values() -> None:
    said = section(model_card(CARD), "Caveats and recommendations")
    assert "Specificity is 0.950 out of fold and 0.800 on test" in said
    assert "AUC is" not in said, "its intervals overlap"
    assert "scored more than once" not in said and "phantoms" not in said
    assert "Not audited" in section(model_card(CARD), "Audit")
    verdicts = {"sanity": "failed: the same map", "shortcuts": "classes separated by frame pixels (AUC 0.7)"}
    slices = [("normal A", "12 of 40 (30%, 18% to 45%)", "higher brightness")]
    worse = model_card(replace(CARD, verdicts=verdicts, slices=slices, openings=3, synthetic=True))
    said = section(worse, "Caveats and recommendations")
    parts = (
        "synthetic phantoms",
        "scored more than once",
        "they resemble those of random weights, so they are no explanation",
        "Possible shortcuts separate the classes",
    )
    for part in parts:
        assert part in said, part
    assert BANNER in worse and "scored 3 times" in worse
    assert "| normal A | 12 of 40 (30%, 18% to 45%) | higher brightness |" in section(worse, "Audit")


def test_a_classifier_judged_on_another_data_set_says_on_which_and_on_what_of_it() -> None:
    elsewhere = Holdings("hospital", [Holding("none", "pneumonia", 61, 61, 60)])
    card = model_card(
        replace(CARD, evaluation=elsewhere, judged="all", values={"all": CARD.values["test"]}, openings=2)
    )
    assert "Data set chest\\_xray." in section(card, "Training data")
    judged = section(card, "Evaluation data")
    assert "Data set hospital." in judged and "| none | pneumonia | 61 | 61 | 60 |" in judged
    assert "The evaluation data was scored 2 times" in judged and "test split" not in card
    assert "| metric | images without a split | 95 % interval |" in section(card, "Quantitative analyses")
    said = section(card, "Caveats and recommendations")
    assert "Trained on chest\\_xray and evaluated on hospital: nothing here shows how" in said


def test_a_card_without_values_says_so() -> None:
    text = model_card(replace(CARD, values={}))
    assert "Nothing has been measured." in section(text, "Quantitative analyses")


def test_subgroups_are_factors_with_a_table_of_their_own_and_no_causes() -> None:
    assert "Results by age, sex, device were not measured" in section(model_card(CARD), "Factors")
    parts = [measured("recall", 0.7, "sex: female"), measured("recall", 0.9, "sex: male")]
    parts += [measured("recall_difference", -0.2, "sex: female"), measured("recall_p", 0.004, "sex: female")]
    text = model_card(replace(CARD, values={"test": [*CARD.values["test"], *parts]}))
    factors = section(text, "Factors")
    assert "these attributes of the image: sex." in factors and "Results by age, device were not" in factors
    assert "### By subgroup, test\n\n| subgroup | Recall (sensitivity) | n | difference from the others |" in text
    assert "| sex: female | 0.700 (0.690 to 0.710) | 618 | -0.200 (-0.210 to -0.190), p 0.004 |" in text
    assert "| sex: male | 0.900 (0.890 to 0.910) | 618 |  |" in text
    assert "Sex pneumonia" not in text
