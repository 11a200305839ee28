"""artifacts of 2 GiB and more; images whose answer a reader may have seen before a verdict was taken back."""

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('artifact') as batch_op:
        batch_op.alter_column('bytes', existing_type=sa.Integer(), type_=sa.BigInteger(), existing_nullable=False)
    op.create_table(
        'answer_seen',
        sa.Column('image_id', sa.Integer(), nullable=False),
        sa.Column('reviewer', sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(['image_id'], ['image.id'], name=op.f('fk_answer_seen_image_id_image'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('image_id', 'reviewer', name=op.f('pk_answer_seen')),
    )


def downgrade() -> None:
    op.drop_table('answer_seen')
    op.execute("UPDATE artifact SET bytes = 2147483647 WHERE bytes > 2147483647")
    with op.batch_alter_table('artifact') as batch_op:
        batch_op.alter_column('bytes', existing_type=sa.BigInteger(), type_=sa.Integer(), existing_nullable=False)
