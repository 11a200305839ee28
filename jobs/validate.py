"""python -m jobs validate [--recipe NAME]: how a recipe fares on films unlike those it learned from, before any test.

Random folds do not foresee a test split that was taken elsewhere. These checks hold out training patients on purpose:
conflict: the fifth of each class that looks most like the other class by exposure, contrast, sharpness and borders;
clusters: groups of films that look alike by the same measures, one after the other; stress: the conflict's films,
blurred, turned, squeezed and so on (random films are told apart under every stress, and say nothing). One member of
each backbone is trained for every check. The test split is not read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.classification import versions
from jobs.command import JobError, UsageError, command, natural, open_context, parser
from jobs.processes import Processes
from jobs.run import ActiveRun, Advance
from jobs.trainings.common import TrainingSet, looks_of
from jobs.trainings.members import stored_member, train_member
from jobs.trainings.tails import views_of

if TYPE_CHECKING:
    from engine.classification.backbones import Backbone
    from engine.classification.recipes import Recipe
    from engine.classification.training import Epoch

VERSION = 2
"""Raised when a check measures something else."""
CONFLICT = "conflict"
CHECKS = (CONFLICT, "clusters", "stress")
CLUSTERS = 6
FEWEST = 10
"""Images of each class that a cluster needs for an AUC that says something."""


@dataclass(frozen=True)
class Check:
    """What is held out from training, and which of that is judged: bool (n,) each."""

    name: str
    judged: np.ndarray
    held_out: np.ndarray


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "validate")
    options.add_argument("--dataset", metavar="NAME", help="default: the latest")
    options.add_argument(
        "--recipe", default="lite0", metavar="NAME", help="a recipe that trains tails (default: lite0)"
    )
    options.add_argument("--checks", nargs="+", choices=CHECKS, default=list(CHECKS), help="default: all")
    options.add_argument("--seed", type=natural, default=0, help="of all that is drawn (default: 0)")
    args = options.parse_args(argv)

    from engine.classification.recipes import RECIPES, Recipe

    recipe = RECIPES.get(args.recipe)
    tails = ", ".join(name for name, known in RECIPES.items() if isinstance(known, Recipe))
    if not isinstance(recipe, Recipe):
        raise UsageError(f"recipe '{args.recipe}' has no members to train; known that have: {tails}")
    processes = Processes.launched()
    if processes.count > 1:
        raise UsageError(
            f"validate is one process's work, and {processes.count} were launched; start it without a launcher"
        )
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    training_set = TrainingSet.of(context, dataset)
    run = ActiveRun.claim(
        context,
        kind="validate",
        config={"dataset": dataset.name, "recipe": asdict(recipe), "checks": sorted(args.checks)},
        inputs=f"{training_set.fingerprint} {VERSION} {versions.VIEWS} {versions.TRUNK} {versions.TRAINING}",
        dataset_id=dataset.id,
        seed=args.seed,
    )
    if not run.already_finished:
        with run:
            validate(run, training_set, recipe, args.checks, seed=args.seed, processes=processes)
    for reason in run.summary.get("left_out", []):
        print(f"validate: left out {reason}")
    for name, value in run.summary["auc"].items():
        print(f"{name:<24} AUC {value:.4f}")
    print(f"validate: run {run.id}, recipe '{recipe.name}', the test split was not read")
    return 0


def validate(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: "Recipe",
    wanted: Sequence[str],
    *,
    seed: int,
    processes: Processes,
) -> None:
    """Train each check's members, backbone by backbone, then judge their mean. Raises JobError where no check can be
    made."""
    from engine.classification.backbones import load_backbone

    looks = looks_of(run, training_set, processes)
    checks = list(checks_of(training_set, looks, wanted))
    reasons = left_out(checks, wanted)
    if not checks:
        raise JobError(f"nothing is left to check: {'; '.join(reasons)}; add images, or ask for --checks {CONFLICT}")
    run.summary = {"left_out": reasons}
    judged = [check.name for check in checks]
    logits: dict[str, list[np.ndarray]] = {name: [] for name in judged}
    under_stress: dict[str, list[np.ndarray]] = {}
    for name in recipe.backbones:
        backbone = load_backbone(name, models=run.context.models, cut=recipe.cut).to(processes.device)
        views = views_of(run, training_set, recipe, backbone, seed=seed, processes=processes)
        with run.progress(f"training {name}", len(checks) * recipe.epochs) as advance:
            for number, check in enumerate(checks):
                path = run.folder / f"{name}-{check.name.replace(' ', '-')}.safetensors"
                fresh = train_member(
                    path,
                    training_set,
                    recipe,
                    backbone,
                    views,
                    check.held_out,
                    seed=seed * 1000 + number,
                    device=processes.device,
                    on_epoch=partial(show_epoch, advance, check.name),
                )
                if not fresh:
                    advance(recipe.epochs)
                member = stored_member(path, recipe.keep)
                logits[check.name].append(member.logits[check.judged[check.held_out]])
                if check.name == CONFLICT and "stress" in wanted:
                    for stress, scored in stressed_logits(
                        run, training_set, recipe, backbone, member.state, check, device=processes.device
                    ):
                        under_stress.setdefault(f"stress: {stress}", []).append(scored)
    store(run, training_set, checks, logits, under_stress, seed=seed)


def show_epoch(advance: Advance, name: str, epoch: "Epoch") -> None:
    """One step of the bar, and the epoch's AUC beside it."""
    advance(1, f"{name} AUC {epoch.valid_auc:.4f}")


def checks_of(training_set: TrainingSet, looks: np.ndarray, wanted: Sequence[str]) -> Iterator[Check]:
    """The checks asked for, with the patients that each keeps out of training."""
    from engine.classification import acquisition

    labels, patients = training_set.labels, training_set.patients
    if {CONFLICT, "stress"} & set(wanted):
        judged = acquisition.contradicting(acquisition.propensity(looks, labels, patients), labels)
        yield Check(CONFLICT, judged, acquisition.with_patients(judged, patients))
    if "clusters" in wanted:
        cluster = acquisition.clusters(looks, count=CLUSTERS)
        for number in range(CLUSTERS):
            judged = cluster == number
            if np.bincount(labels[judged], minlength=2).min() >= FEWEST:
                yield Check(f"cluster {number}", judged, acquisition.with_patients(judged, patients))


def left_out(checks: Sequence[Check], wanted: Sequence[str]) -> list[str]:
    """What was asked for and is not among the checks, with the reason."""
    missing = CLUSTERS - sum(check.name.startswith("cluster ") for check in checks)
    if "clusters" not in wanted or not missing:
        return []
    return [f"{missing} of {CLUSTERS} clusters: they have fewer than {FEWEST} images of a class"]


def stressed_logits(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: "Recipe",
    backbone: "Backbone",
    state: dict[str, Any],
    check: Check,
    *,
    device: str,
) -> Iterator[tuple[str, np.ndarray]]:
    """For each stress the member's logits of the judged films under it: (m,)."""
    import torch

    from engine.classification.inference import Branch, Classifier
    from engine.classification.stresses import STRESSES, stressed
    from engine.classification.training import new_member
    from engine.images import read_batch

    member = new_member(backbone, recipe)
    member.load_state_dict(state)
    calibration = {"temperature": 1.0, "threshold": 0.5}
    classifier = Classifier([Branch(backbone, [member.to(device)])], recipe, calibration, "")
    classifier.device = device
    pixels = read_batch([training_set.files[row] for row in np.flatnonzero(check.judged)])
    with torch.inference_mode():
        for stress in run.track(list(STRESSES), stage=f"stressing {backbone.spec.name}"):
            yield stress, classifier.run(stressed(pixels, stress)).logits


def store(
    run: ActiveRun,
    training_set: TrainingSet,
    checks: Sequence[Check],
    logits: dict[str, list[np.ndarray]],
    under_stress: dict[str, list[np.ndarray]],
    *,
    seed: int,
) -> None:
    """An AUC with its patient-cluster interval for each check and stress, and the means of clusters and stresses."""
    from engine.metrics.bootstrap import cluster_bootstrap
    from engine.metrics.classification import METRICS, Sample
    from jobs.results import metric_value

    judged = {check.name: check.judged for check in checks}
    scores = {name: np.mean(members, axis=0) for name, members in {**logits, **under_stress}.items()}
    intervals = {}
    for name, scored in scores.items():
        films = judged[name if name in judged else CONFLICT]
        sample = Sample.of(training_set.labels[films], scored, threshold=0.0)
        intervals[name] = cluster_bootstrap(partial(METRICS["auc"], sample), training_set.patients[films], seed=seed)
    run.metrics(metric_value("auc", "train", name, interval) for name, interval in intervals.items())
    found = {name: interval.value for name, interval in intervals.items()}
    for kind in ("cluster", "stress"):
        values = [value for name, value in found.items() if name.startswith(kind)]
        if values:
            found[f"mean of {kind}{'es' if kind == 'stress' else 's'}"] = float(np.mean(values))
    run.summary |= {"auc": found, "images": len(training_set.labels)}
    for left in run.folder.glob("*.safetensors"):
        left.unlink()


if __name__ == "__main__":
    raise SystemExit(main())
