"""python -m jobs migrate: bring the database's tables up to date (every other job also does this before it starts)."""

from collections.abc import Sequence

from db import schema, session
from jobs.command import command, open_context, parser, settings_of


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    args = parser(__doc__, "migrate").parse_args(argv)
    context = open_context(args)
    state, url = schema.state(context.engine), session.shown(settings_of(args).database)
    print(f"migrate: the tables of {url} are {state}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
