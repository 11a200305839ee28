"""what a reader had been shown about an image before a review."""

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('review', sa.Column('unblinded_by', sa.String(length=200), nullable=True))


def downgrade() -> None:
    op.drop_column('review', 'unblinded_by')
