"""A few words that distinguish a run from others of its kind, from its settings and its outcome."""

from typing import Any

from dashboard.components import wording
from db.models import Dataset, Run

TELLING = ("recipe", "recipe.name", "model", "embedder", "split")
"""Settings, or what came of them, by which runs of a kind are told apart."""


def telling(run: Run) -> list[str]:
    """The words, such as recipe and split, or the run that it looked at."""
    named = wording.classifier(run)
    known = {**flat({"recipe": named} if named else {}), **flat(run.config)}
    told = dict.fromkeys(known[name] for name in TELLING if name in known)
    point, looked_at = known.get("operating_point"), run.config.get("predict_run") or run.config.get("evaluate_run")
    more = [f"threshold {point}"] if point else []
    return [*told, *more, *([f"of run {looked_at}"] if looked_at else []), *_forgotten(run)]


def _forgotten(run: Run) -> list[str]:
    """What a run forgot that forgets others."""
    if run.kind != "forget":
        return []
    numbers = run.config["runs"]
    some = f"run {numbers[0]}" if len(numbers) == 1 else wording.count(len(numbers), "run")
    return [f"dataset {run.config['dataset']}", some] if "dataset" in run.config else [some]


def of_dataset(dataset: Dataset) -> str:
    """The dataset's name, and that it is of phantoms where it is."""
    return f"{dataset.name}{', synthetic' * dataset.synthetic}"


def flat(given: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one level of texts."""
    found: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)
    return found
