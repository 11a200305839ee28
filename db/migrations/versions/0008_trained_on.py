"""training images of each classifier, by content."""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('trained_on',
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('image_sha256', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_trained_on_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('run_id', 'image_sha256', name=op.f('pk_trained_on'))
    )
    # A training predicts each of its images once, out of fold.
    op.execute("INSERT INTO trained_on (run_id, image_sha256) SELECT DISTINCT run.id, image.sha256 FROM prediction "
               "JOIN run ON run.id = prediction.run_id AND run.kind = 'train' JOIN image ON image.id = prediction.image_id")


def downgrade() -> None:
    op.drop_table('trained_on')
