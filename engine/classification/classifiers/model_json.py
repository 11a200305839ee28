"""Reading a checkpoint's model.json, without loading weights."""

import json
from pathlib import Path
from typing import Any

from engine.errors import InputError


def described(folder: Path) -> dict[str, Any]:
    """The contents of the folder's model.json. Raises InputError if it cannot be read or is not a JSON object."""
    try:
        found = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("model.json is not a JSON object")
    except (OSError, ValueError) as error:
        raise InputError(f"checkpoint {folder} cannot be read ({error}); train again as its run's page says") from error
    return found


def revision(folder: Path) -> str | None:
    """The checkpoint's sha256, which is its classifier's `revision`; None if it cannot be read."""
    try:
        return described(folder).get("sha256")
    except InputError:
        return None
