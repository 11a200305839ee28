"""when a run became the current one."""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('run', sa.Column('in_force', sa.DateTime(timezone=True), server_default='1970-01-01 00:00:00', nullable=False))
    op.execute('UPDATE run SET in_force = COALESCE(finished, started)')


def downgrade() -> None:
    op.drop_column('run', 'in_force')
