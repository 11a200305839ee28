"""tallies of images and predictions, tags on images, the command of a run."""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('run', sa.Column('command', sa.Text(), nullable=True))
    op.add_column('prediction', sa.Column('error', sa.Double(), nullable=True))
    op.drop_index('ix_prediction_run_id_probability', table_name='prediction')
    op.create_index('ix_prediction_run_id_probability_image_id', 'prediction', ['run_id', 'probability', 'image_id'])
    op.create_index('ix_prediction_run_id_error_image_id', 'prediction', ['run_id', 'error', 'image_id'])
    op.create_index('ix_image_dataset_id_id', 'image', ['dataset_id', 'id'])
    op.create_table('image_tag',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('image_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=60), nullable=False),
    sa.Column('review_id', sa.Integer(), nullable=True),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], name=op.f('fk_image_tag_image_id_image'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['review_id'], ['review.id'], name=op.f('fk_image_tag_review_id_review'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_image_tag'))
    )
    op.create_index('ix_image_tag_name_image_id', 'image_tag', ['name', 'image_id'])
    op.create_index('ix_image_tag_review_id', 'image_tag', ['review_id'])
    alone = sa.text('review_id IS NULL')
    op.create_index('uq_image_tag_alone', 'image_tag', ['image_id', 'name'], unique=True,
                    sqlite_where=alone, postgresql_where=alone)
    op.execute("ALTER TABLE review DROP COLUMN tags")  # no page ever wrote one; a batch would lose the table's triggers
    op.create_table('image_tally',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('dataset_id', sa.Integer(), nullable=False),
    sa.Column('split', sa.String(length=10), nullable=True),
    sa.Column('label', sa.Integer(), nullable=True),
    sa.Column('cause', sa.String(length=20), nullable=True),
    sa.Column('images', sa.Integer(), nullable=False),
    sa.Column('files', sa.Integer(), nullable=False),
    sa.Column('patients', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name=op.f('fk_image_tally_dataset_id_dataset'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_image_tally'))
    )
    op.create_index('ix_image_tally_dataset_id', 'image_tally', ['dataset_id'])
    op.create_table('prediction_tally',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('split', sa.String(length=10), nullable=True),
    sa.Column('label', sa.Integer(), nullable=True),
    sa.Column('cause', sa.String(length=20), nullable=True),
    sa.Column('bin', sa.Integer(), nullable=False),
    sa.Column('called', sa.Boolean(), nullable=True),
    sa.Column('images', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_prediction_tally_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_prediction_tally'))
    )
    op.create_index('ix_prediction_tally_run_id', 'prediction_tally', ['run_id'])


def downgrade() -> None:
    op.drop_table('prediction_tally')
    op.drop_table('image_tally')
    op.execute("ALTER TABLE review ADD COLUMN tags JSON DEFAULT '[]' NOT NULL")
    op.drop_table('image_tag')
    op.drop_index('ix_image_dataset_id_id', table_name='image')
    op.drop_index('ix_prediction_run_id_error_image_id', table_name='prediction')
    op.drop_index('ix_prediction_run_id_probability_image_id', table_name='prediction')
    op.create_index('ix_prediction_run_id_probability', 'prediction', ['run_id', 'probability'])
    op.drop_column('prediction', 'error')
    op.drop_column('run', 'command')
