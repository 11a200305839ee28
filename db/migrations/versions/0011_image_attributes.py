"""attributes of images, such as sex, age group and view, and how many images of a dataset have each."""

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('dataset', sa.Column('attributes', sa.JSON(), server_default='{}', nullable=False))
    op.create_table(
        'image_attribute',
        sa.Column('image_id', sa.Integer(), nullable=False),
        sa.Column('name', sa.String(length=17), nullable=False),
        sa.Column('value', sa.String(length=60), nullable=False),
        sa.ForeignKeyConstraint(['image_id'], ['image.id'], name=op.f('fk_image_attribute_image_id_image'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('image_id', 'name', name=op.f('pk_image_attribute')),
    )
    op.create_index('ix_image_attribute_name_value_image_id', 'image_attribute', ['name', 'value', 'image_id'])
    for table in ('image_tally', 'prediction_tally'):
        op.add_column(table, sa.Column('attribute', sa.String(length=17), server_default='', nullable=False))
        op.add_column(table, sa.Column('value', sa.String(length=60), server_default='', nullable=False))
    op.drop_index('ix_prediction_tally_run_id', table_name='prediction_tally')
    op.create_index('ix_prediction_tally_run_id_attribute_value', 'prediction_tally', ['run_id', 'attribute', 'value'])


def downgrade() -> None:
    op.drop_index('ix_prediction_tally_run_id_attribute_value', table_name='prediction_tally')
    op.create_index('ix_prediction_tally_run_id', 'prediction_tally', ['run_id'])
    for table in ('prediction_tally', 'image_tally'):
        op.execute(f"DELETE FROM {table} WHERE attribute <> ''")
        op.drop_column(table, 'value')
        op.drop_column(table, 'attribute')
    op.drop_index('ix_image_attribute_name_value_image_id', table_name='image_attribute')
    op.drop_table('image_attribute')
    op.drop_column('dataset', 'attributes')
