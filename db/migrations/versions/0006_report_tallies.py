"""tallies of reports and their scores, and indexes for lists of reports."""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('report_tally',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('dataset_id', sa.Integer(), nullable=False),
    sa.Column('model', sa.String(length=200), nullable=False),
    sa.Column('strategy', sa.String(length=60), nullable=False),
    sa.Column('label', sa.String(length=10), nullable=False),
    sa.Column('metric', sa.String(length=60), nullable=False),
    sa.Column('bin', sa.Integer(), nullable=False),
    sa.Column('reports', sa.Integer(), nullable=False),
    sa.Column('total', sa.Double(), nullable=False),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name=op.f('fk_report_tally_dataset_id_dataset'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_report_tally')),
    sa.UniqueConstraint('dataset_id', 'label', 'metric', 'model', 'strategy', 'bin', name=op.f('uq_report_tally_dataset_id_label_metric_model_strategy_bin'))
    )
    op.create_index('ix_report_model', 'report', ['model'])
    op.create_index('ix_report_score_metric_value_report_id', 'report_score', ['metric', 'value', 'report_id'])
    op.create_index('ix_skipped_file_run_id_reason', 'skipped_file', ['run_id', 'reason'])


def downgrade() -> None:
    op.drop_index('ix_skipped_file_run_id_reason', table_name='skipped_file')
    op.drop_index('ix_report_score_metric_value_report_id', table_name='report_score')
    op.drop_index('ix_report_model', table_name='report')
    op.drop_table('report_tally')
