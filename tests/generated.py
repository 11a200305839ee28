"""What a report generator wrote, as a list."""

from collections.abc import Iterable, Mapping

from engine.reporting.generators import Outcome


def in_order(parts: Iterable[Mapping[int, Outcome]]) -> list[Outcome]:
    """What it made of all its cases, in their order."""
    made = {place: outcome for part in parts for place, outcome in part.items()}
    return [made[place] for place in sorted(made)]
