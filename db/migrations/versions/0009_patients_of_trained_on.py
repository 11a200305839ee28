"""patients of each classifier's training images, and number of patients both in the test split and outside it."""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('trained_on', sa.Column('patient_key', sa.String(length=200), nullable=True))
    op.execute("UPDATE trained_on SET patient_key = (SELECT image.patient_key FROM image "
               "JOIN run ON run.dataset_id = image.dataset_id "
               "WHERE run.id = trained_on.run_id AND image.sha256 = trained_on.image_sha256)")
    op.create_index('ix_trained_on_run_id_patient_key', 'trained_on', ['run_id', 'patient_key'])
    op.add_column('dataset', sa.Column('patients_across', sa.Integer(), server_default='0', nullable=False))
    op.execute("UPDATE dataset SET patients_across = (SELECT COUNT(*) FROM (SELECT image.patient_key FROM image "
               "WHERE image.dataset_id = dataset.id GROUP BY image.patient_key "
               "HAVING COUNT(CASE WHEN image.split = 'test' THEN 1 END) BETWEEN 1 AND COUNT(*) - 1) AS torn)")


def downgrade() -> None:
    op.drop_column('dataset', 'patients_across')
    op.drop_index('ix_trained_on_run_id_patient_key', table_name='trained_on')
    op.drop_column('trained_on', 'patient_key')
