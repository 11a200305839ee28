"""audit findings."""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('error_slice',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('label', sa.Integer(), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('images', sa.Integer(), nullable=False),
    sa.Column('patients', sa.Integer(), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('rate', sa.Double(), nullable=False),
    sa.Column('low', sa.Double(), nullable=False),
    sa.Column('high', sa.Double(), nullable=False),
    sa.Column('p_value', sa.Double(), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_error_slice_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_error_slice')),
    sa.UniqueConstraint('run_id', 'name', name=op.f('uq_error_slice_run_id_name'))
    )
    op.create_table('image_measure',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('image_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=60), nullable=False),
    sa.Column('value', sa.Double(), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], name=op.f('fk_image_measure_image_id_image'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_image_measure_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_image_measure')),
    sa.UniqueConstraint('run_id', 'image_id', 'name', name=op.f('uq_image_measure_run_id_image_id_name'))
    )
    with op.batch_alter_table('image_measure', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_image_measure_image_id'), ['image_id'], unique=False)

    op.create_table('neighbour',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('image_id', sa.Integer(), nullable=False),
    sa.Column('neighbour_id', sa.Integer(), nullable=False),
    sa.Column('rank', sa.Integer(), nullable=False),
    sa.Column('similarity', sa.Double(), nullable=False),
    sa.Column('hash_distance', sa.Integer(), nullable=False),
    sa.Column('verdict', sa.String(length=20), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], name=op.f('fk_neighbour_image_id_image'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['neighbour_id'], ['image.id'], name=op.f('fk_neighbour_neighbour_id_image'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_neighbour_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_neighbour')),
    sa.UniqueConstraint('run_id', 'image_id', 'rank', name=op.f('uq_neighbour_run_id_image_id_rank'))
    )
    with op.batch_alter_table('neighbour', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_neighbour_image_id'), ['image_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_neighbour_neighbour_id'), ['neighbour_id'], unique=False)

    op.create_table('slice_member',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('slice_id', sa.Integer(), nullable=False),
    sa.Column('image_id', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], name=op.f('fk_slice_member_image_id_image'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['slice_id'], ['error_slice.id'], name=op.f('fk_slice_member_slice_id_error_slice'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_slice_member')),
    sa.UniqueConstraint('slice_id', 'image_id', name=op.f('uq_slice_member_slice_id_image_id'))
    )
    with op.batch_alter_table('slice_member', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_slice_member_image_id'), ['image_id'], unique=False)



def downgrade() -> None:
    with op.batch_alter_table('slice_member', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_slice_member_image_id'))

    op.drop_table('slice_member')
    with op.batch_alter_table('neighbour', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_neighbour_neighbour_id'))
        batch_op.drop_index(batch_op.f('ix_neighbour_image_id'))

    op.drop_table('neighbour')
    with op.batch_alter_table('image_measure', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_image_measure_image_id'))

    op.drop_table('image_measure')
    op.drop_table('error_slice')
