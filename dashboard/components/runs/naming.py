"""Short descriptions that distinguish a run from others of its kind."""

from typing import Any

from dashboard.components import wording
from db.models import Dataset, Run

DISTINCTIVE = ("recipe", "recipe.name", "model", "embedder", "split")
"""Settings that distinguish runs of the same kind."""


def description(run: Run) -> list[str]:
    """The parts of the description, such as recipe and split, or the run that it evaluated."""
    named = wording.classifier(run)
    known = {**flat({"recipe": named} if named else {}), **flat(run.config)}
    settings = dict.fromkeys(known[name] for name in DISTINCTIVE if name in known)
    point, looked_at = known.get("operating_point"), run.config.get("predict_run") or run.config.get("evaluate_run")
    more = [f"operating point {point}"] if point else []
    return [*settings, *more, *([f"of run {looked_at}"] if looked_at else []), *_forgotten(run)]


def _forgotten(run: Run) -> list[str]:
    """What a forget run removed; empty for other kinds."""
    if run.kind != "forget":
        return []
    numbers = run.config["runs"]
    some = f"run {numbers[0]}" if len(numbers) == 1 else wording.count(len(numbers), "run")
    return [f"dataset {run.config['dataset']}", some] if "dataset" in run.config else [some]


def of_dataset(dataset: Dataset) -> str:
    """The dataset's name, marked if it is synthetic."""
    return f"{dataset.name}{', synthetic' * dataset.synthetic}"


def flat(given: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings flattened to one level, with values as text."""
    found: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)
    return found
