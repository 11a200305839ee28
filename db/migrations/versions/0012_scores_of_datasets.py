"""scores of reports against labels and predictions belong to a dataset; those whose dataset is unknown are deleted."""

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None

OF_TEXT = "('stance', 'contradictions', 'format', 'words', 'repetition', 'truncated')"
UNIQUE, INDEX = 'uq_report_score_report_id_metric', 'ix_report_score_metric_value_report_id'


def upgrade() -> None:
    with op.batch_alter_table('report_score') as batch_op:
        batch_op.add_column(sa.Column('dataset_id', sa.Integer(), nullable=True))
        batch_op.create_foreign_key(op.f('fk_report_score_dataset_id_dataset'), 'dataset', ['dataset_id'], ['id'], ondelete='CASCADE')
        batch_op.drop_constraint(UNIQUE, type_='unique')
        batch_op.drop_index(INDEX)
        batch_op.create_unique_constraint(op.f(f'{UNIQUE}_dataset_id'), ['report_id', 'metric', 'dataset_id'])
        batch_op.create_index(f'{INDEX}_dataset_id', ['metric', 'value', 'report_id', 'dataset_id'])
    # the dataset is known where only one with the image ever scored reports, and its run wrote the report
    op.execute("UPDATE report_score SET dataset_id = known.dataset_id FROM ("
               "SELECT report_id, MIN(dataset_id) AS dataset_id FROM ("
               "SELECT report.id AS report_id, run.dataset_id FROM report JOIN run ON run.id = report.run_id "
               "UNION SELECT report.id, image.dataset_id FROM report JOIN image ON image.sha256 = report.image_sha256 "
               "WHERE image.dataset_id IN (SELECT dataset_id FROM run WHERE kind IN ('report', 'score'))"
               ") AS scorer GROUP BY report_id HAVING COUNT(*) = 1) AS known "
               f"WHERE known.report_id = report_score.report_id AND report_score.metric NOT IN {OF_TEXT}")
    op.execute("UPDATE report_score SET dataset_id = NULL WHERE dataset_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM report "
               "JOIN image ON image.sha256 = report.image_sha256 WHERE report.id = report_score.report_id "
               "AND image.dataset_id = report_score.dataset_id)")
    op.execute(f"DELETE FROM report_score WHERE dataset_id IS NULL AND metric NOT IN {OF_TEXT}")
    op.execute("DELETE FROM report_tally")  # db.tallies.missing counts again


def downgrade() -> None:
    op.execute("DELETE FROM report_score WHERE EXISTS (SELECT 1 FROM report_score AS other WHERE other.id < report_score.id "
               "AND other.report_id = report_score.report_id AND other.metric = report_score.metric)")
    op.execute("DELETE FROM report_tally")
    with op.batch_alter_table('report_score') as batch_op:
        batch_op.drop_index(f'{INDEX}_dataset_id')
        batch_op.drop_constraint(f'{UNIQUE}_dataset_id', type_='unique')
        batch_op.drop_constraint('fk_report_score_dataset_id_dataset', type_='foreignkey')
        batch_op.drop_column('dataset_id')
        batch_op.create_unique_constraint(UNIQUE, ['report_id', 'metric'])
        batch_op.create_index(INDEX, ['metric', 'value', 'report_id'])
