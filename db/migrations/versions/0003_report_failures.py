"""report failures, and whether a report was cut."""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # not in batch mode, which would copy the table and lose the triggers that keep its full text
    op.add_column('report', sa.Column('cut', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table('report_failure',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('image_id', sa.Integer(), nullable=False),
    sa.Column('image_sha256', sa.String(length=64), nullable=False),
    sa.Column('model', sa.String(length=200), nullable=False),
    sa.Column('revision', sa.String(length=80), nullable=False),
    sa.Column('strategy', sa.String(length=60), nullable=False),
    sa.Column('prompt_sha256', sa.String(length=64), nullable=False),
    sa.Column('settings_sha256', sa.String(length=64), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], name=op.f('fk_report_failure_image_id_image'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['prompt_sha256'], ['prompt.sha256'], name=op.f('fk_report_failure_prompt_sha256_prompt')),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_report_failure_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_report_failure')),
    sa.UniqueConstraint('image_sha256', 'model', 'revision', 'prompt_sha256', 'settings_sha256', name=op.f('uq_report_failure_image_sha256_model_revision_prompt_sha256_settings_sha256'))
    )
    with op.batch_alter_table('report_failure', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_report_failure_image_id'), ['image_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_report_failure_run_id'), ['run_id'], unique=False)


def downgrade() -> None:
    op.drop_table('report_failure')
    op.drop_column('report', 'cut')
