"""What model.json says of the checkpoint in its folder; reading it loads no weights."""

import json
from pathlib import Path
from typing import Any

from engine.errors import InputError


def described(folder: Path) -> dict[str, Any]:
    """All of it. Raises InputError where it cannot be read."""
    try:
        found: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"checkpoint {folder} cannot be read ({error}); train again as its run's page says") from error
    return found


def revision(folder: Path) -> str | None:
    """The sha256 that its classifier has as `revision`; None where it cannot be read."""
    try:
        return described(folder).get("sha256")
    except InputError:
        return None
