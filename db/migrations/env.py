"""Alembic environment: migrations run on the caller's connection, in the caller's transaction."""

from alembic import context

from db.models import Base


def belongs_to_models(name: str | None, kind: str, _parents: object) -> bool:
    """Whether a table or index belongs to a model; full-text ones are created by hand in the migrations."""
    return not (kind in ("table", "index") and name is not None and name.startswith(("report_text", "review_text")))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    include_name=belongs_to_models,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
