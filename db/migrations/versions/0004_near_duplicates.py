"""near-duplicates, and the full text of reviews' notes."""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('near_duplicate',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('image_id', sa.Integer(), nullable=False),
    sa.Column('other_id', sa.Integer(), nullable=False),
    sa.Column('hash_distance', sa.Integer(), nullable=False),
    sa.Column('similarity', sa.Double(), nullable=True),
    sa.Column('verdict', sa.String(length=20), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], name=op.f('fk_near_duplicate_image_id_image'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['other_id'], ['image.id'], name=op.f('fk_near_duplicate_other_id_image'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_near_duplicate_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_near_duplicate')),
    sa.UniqueConstraint('run_id', 'image_id', 'other_id', name=op.f('uq_near_duplicate_run_id_image_id_other_id'))
    )
    with op.batch_alter_table('near_duplicate', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_near_duplicate_image_id'), ['image_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_near_duplicate_other_id'), ['other_id'], unique=False)

    # Reviewers' notes are searched as reports are, see 0001.
    if op.get_bind().dialect.name == "sqlite":
        op.execute("CREATE VIRTUAL TABLE review_text USING fts5(note, content='review', content_rowid='id', tokenize='porter')")
        op.execute("CREATE TRIGGER review_text_insert AFTER INSERT ON review BEGIN "
                   "INSERT INTO review_text(rowid, note) VALUES (new.id, new.note); END")
        op.execute("CREATE TRIGGER review_text_delete AFTER DELETE ON review BEGIN "
                   "INSERT INTO review_text(review_text, rowid, note) VALUES ('delete', old.id, old.note); END")
        op.execute("CREATE TRIGGER review_text_update AFTER UPDATE ON review BEGIN "
                   "INSERT INTO review_text(review_text, rowid, note) VALUES ('delete', old.id, old.note); "
                   "INSERT INTO review_text(rowid, note) VALUES (new.id, new.note); END")
        op.execute("INSERT INTO review_text(review_text) VALUES ('rebuild')")
    else:
        op.execute("CREATE INDEX review_text_words ON review USING gin (to_tsvector('english', note))")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for trigger in ("insert", "delete", "update"):
            op.execute(f"DROP TRIGGER review_text_{trigger}")
        op.execute("DROP TABLE review_text")
    else:
        op.execute("DROP INDEX review_text_words")
    op.drop_table('near_duplicate')
