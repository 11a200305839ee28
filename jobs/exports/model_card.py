"""The facts for a model card: the runs behind the evaluation, their data and their audit."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from db import session
from db.models import Dataset, ErrorSlice, Run
from db.queries import audit as queries
from db.queries import datasets, runs
from db.queries.cases import LABEL_NAMES
from engine.classification.recipes import RECIPES
from engine.datasets.splits import OUT_OF_FOLD, UNSPLIT, evaluated_split
from engine.errors import InputError
from jobs.checkpoints import repeating
from jobs.exports.source import Export

if TYPE_CHECKING:
    from engine.documents.model_cards import Holdings
    from engine.metrics.evaluation import Measured

SLICES = 5
NOT_COMMITTED = "  # plus uncommitted changes, so results may differ"
TRAINED = "TRAIN_RUN  # the run number that train printed"
OPTIONS = ("epochs", "batch_size", "views", "folds", "repeats")
"""The settings of a recipe that command-line options can override."""


def model_card(export: Export) -> None:
    """model_card.md, for the classifier that made the predictions. Raises InputError if the evaluation has no predict
    run, or if the recipe of its train run is unknown."""
    from engine.classification.networks.backbones import REGISTRY
    from engine.documents.model_cards import Card
    from engine.documents.model_cards import model_card as written

    predict = export.run("predict")
    train = trained(export, predict)
    recipe: dict[str, Any] = train.config.get("recipe") or {}
    if "name" not in recipe:
        again = repeating(export.context, train)
        raise InputError(f"the recipe of train run {train.id} is unknown; train again with: {again}")
    splits = values_of(export, train)
    judged = evaluated_split(splits.keys() - {OUT_OF_FOLD})
    with session.reading(export.context.engine) as db:
        audit = queries.latest(db, predict.id)
        slices = queries.slices(db, audit.id)[:SLICES] if audit else []
        learned_from = db.get_one(Dataset, train.dataset_id)
        training = [row for row in datasets.counts(db, learned_from.id) if row.split != "test"]
        evaluation = [row for row in datasets.counts(db, export.dataset.id) if (row.split or UNSPLIT) == judged]
        if learned_from.id == export.dataset.id:
            training = [row for row in training if row not in evaluation]
        openings = runs.test_openings(db, export.dataset.id)
    card = Card(
        name=f"{recipe['name']}, train run {train.id}",
        synthetic=learned_from.synthetic or export.synthetic,
        details=details(export, train, predict, audit),
        recipe={name.replace("_", " "): value for name, value in recipe.items() if name != "name"},
        backbones=[
            (spec.name, spec.weights, spec.licence)
            for name in named(recipe)
            if (spec := REGISTRY.get(name)) is not None
        ],
        training=holdings(learned_from, training),
        evaluation=holdings(export.dataset, evaluation),
        judged=judged,
        protocol=protocol(train, predict),
        openings=openings,
        values={
            name: splits[name] for name in sorted(splits, key=lambda name: (name == OUT_OF_FOLD, name != judged, name))
        },
        verdicts=(audit.summary or {})["verdicts"] if audit else {},
        slices=[sliced(one) for one in slices],
        replicates=int(export.evaluation.config["replicates"]),
        commands=list(commands(export, learned_from, train, predict, audit)),
    )
    export.text("model_card.md", written(card))


def values_of(export: Export, train: Run) -> "dict[str, list[Measured]]":
    """Split -> the classifier's metrics; out-of-fold ones only if they are of this train run."""
    own = export.evaluation.config["train_run"] == train.id
    return {split: values for split, values in export.classified().items() if own or split != OUT_OF_FOLD}


def details(export: Export, train: Run, predict: Run, audit: Run | None) -> dict[str, Any]:
    """The card's runs, with their dates and code versions."""
    return {
        "recipe": train.config["recipe"]["name"],
        "checkpoint sha256": predict.checkpoint_sha256,
        "trained": f"{train.finished:%Y-%m-%d}, run {train.id}, code {train.code_version}, seed {train.seed}",
        "predicted": f"{predict.finished:%Y-%m-%d}, run {predict.id}, code {predict.code_version}",
        "evaluated": f"run {export.evaluation.id}, code {export.evaluation.code_version}",
        "audited": f"run {audit.id}, code {audit.code_version}" if audit else "no",
    }


def protocol(train: Run, predict: Run) -> dict[str, Any]:
    """How thresholds and temperature were chosen, and what they are."""
    from engine.documents.markdown_reports import FIXED

    summary, chosen = predict.summary or {}, train.summary or {}
    point = summary.get("operating_point", chosen.get("operating_point"))
    return {
        "folds": "assigned by patient; the test split is never trained on",
        "temperature and fitted thresholds chosen on": chosen.get("chosen_on"),
        "decision threshold": summary.get("threshold"),
        "decision threshold chosen on": FIXED if point == "half" else summary.get("threshold_chosen_on"),
        "threshold for a recall of .97": summary.get("threshold_recall97"),
        "Youden's threshold": summary.get("threshold_youden"),
        "temperature": summary.get("temperature"),
    }


def sliced(one: ErrorSlice) -> tuple[str, str, str]:
    """A slice's name, its failures with the rate and its interval, and its description."""
    rate = f"{one.failures} of {one.images} ({one.rate:.0%}, {one.low:.0%} to {one.high:.0%})"
    return one.name, rate, one.description


def trained(export: Export, predict: Run) -> Run:
    """The train run of the classifier that made the predictions, possibly of another dataset; if that is unknown, the
    evaluated train run. Raises InputError if there is none."""
    with session.reading(export.context.engine) as db:
        behind = db.get(Run, predict.train_run_id) if predict.train_run_id else None
    return behind or export.run("train")


def holdings(dataset: Dataset, rows: Sequence[datasets.Holding]) -> "Holdings":
    """The image counts of a part of a dataset, as the card needs them."""
    from engine.documents.model_cards import Holding, Holdings

    return Holdings(
        dataset.name,
        [Holding(row.split or "none", LABEL_NAMES[row.label], row.images, row.files, row.patients) for row in rows],
    )


def named(recipe: dict[str, Any]) -> list[str]:
    """Every string among a recipe's values, and those of the recipes in its ensemble; these include the backbones'
    names."""
    values = [one for value in recipe.values() for one in (value if isinstance(value, list | tuple) else [value])]
    texts = [value for value in values if isinstance(value, str)]
    parts = [asdict(RECIPES[name]) for name in recipe.get("parts", ()) if name in RECIPES]
    return list(dict.fromkeys(texts + [text for part in parts for text in named(part)]))


def commands(export: Export, learned_from: Dataset, train: Run, predict: Run, audit: Run | None) -> Iterator[str]:
    """The commands that reproduce these runs, from a checkout of the code that they name."""
    recipe = train.config["recipe"]
    known = RECIPES.get(recipe["name"])
    usual = asdict(known) if known else {}
    differing = [name for name in OPTIONS if name in recipe and recipe[name] != usual.get(name)]
    changed = "".join(f" --{name.replace('_', '-')} {recipe[name]}" for name in differing)
    data, trained_on = (f"--dataset {shlex.quote(one.name)}" for one in (export.dataset, learned_from))
    split = predict.config.get("split")
    point = predict.config.get("operating_point")
    epoch = str(predict.config.get("checkpoint", "")).removeprefix("checkpoint").removeprefix("_")
    chosen = {"split": split, "operating-point": point, "checkpoint": epoch}
    options = "".join(f" --{name} {value}" for name, value in chosen.items() if value)
    elsewhere = learned_from.id != export.dataset.id
    evaluation = export.evaluation
    steps = [
        *((train, ingested(one)) for one in {one.id: one for one in (learned_from, export.dataset)}.values()),
        (train, f"train {trained_on} --recipe {recipe['name']}{changed}{seeded(train)}"),
        (predict, f"predict {data}{options}{f' --train-run {TRAINED}' if elsewhere else ''}"),
        (evaluation, f"evaluate {data} --replicates {evaluation.config['replicates']}{seeded(evaluation)}"),
    ]
    if audit:
        options = " ".join(f"--{name} {audit.config[name]}" for name in ("sample", "folds", "replicates"))
        steps.append((audit, f"audit {data} {options}{seeded(audit)}"))
    code = None
    for run, step in steps:
        if run.code_version not in (code, "unknown"):
            code = run.code_version
            yield f"git checkout {code.removesuffix('+')}{NOT_COMMITTED * code.endswith('+')}"
        yield f"python -m jobs {step}"
    yield f"python -m jobs export {data}"


def ingested(dataset: Dataset) -> str:
    """The arguments that ingest the dataset."""
    return f"ingest FOLDER --name {shlex.quote(dataset.name)}{' --synthetic' * dataset.synthetic}"


def seeded(run: Run) -> str:
    """The option that sets the run's seed."""
    return "" if run.seed is None else f" --seed {run.seed}"
