"""The prompt strategies available to a job: built-in ones and those of a TOML file."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from db import session
from db.models import Prompt
from jobs.command import Context, UsageError

if TYPE_CHECKING:
    from engine.reporting.prompts import PromptStrategy

STRATEGIES_FILE = "TOML file with your own strategies, each a table [strategies.NAME] with text = '...'"


def chosen_strategies(names: str, file: Path | None = None) -> "list[PromptStrategy]":
    """The strategies in a comma-separated list, or all: built-in ones first, then the file's. Raises UsageError for an
    unknown strategy or an invalid file."""
    return named_strategies(None if names == "all" else [name.strip() for name in names.split(",")], file)


def named_strategies(names: Collection[str] | None, file: Path | None = None) -> "list[PromptStrategy]":
    """Like `chosen_strategies`, but takes a collection of names; None means all."""
    from engine.errors import InputError
    from engine.reporting import prompts

    try:
        known = prompts.STRATEGIES | (prompts.read_toml(file) if file else {})
        wanted = known if names is None else names
        found = {prompts.find(name, known).name for name in wanted}
    except InputError as error:
        raise UsageError(str(error)) from error
    return [strategy for name, strategy in known.items() if name in found]


def refuse_renamed(context: Context, strategies: "Sequence[PromptStrategy]") -> None:
    """Raise UsageError for a strategy whose text is stored under another name: its reports would be mixed up."""
    with session.reading(context.engine) as db:
        for strategy in strategies:
            prompt = db.get(Prompt, strategy.sha256)
            if prompt is not None and prompt.strategy != strategy.name:
                raise UsageError(
                    f"strategy '{strategy.name}' has the same text as '{prompt.strategy}', which is stored already; "
                    "use that name, or change the text"
                )
