"""initial tables."""

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('dataset',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('root', sa.Text(), nullable=False),
    sa.Column('synthetic', sa.Boolean(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_dataset')),
    sa.UniqueConstraint('name', name=op.f('uq_dataset_name'))
    )
    op.create_table('prompt',
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('strategy', sa.String(length=60), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('sha256', name=op.f('pk_prompt'))
    )
    op.create_table('image',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('dataset_id', sa.Integer(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('path', sa.Text(), nullable=False),
    sa.Column('split', sa.String(length=10), nullable=True),
    sa.Column('label', sa.Integer(), nullable=True),
    sa.Column('cause', sa.String(length=20), nullable=True),
    sa.Column('patient_key', sa.String(length=200), nullable=False),
    sa.Column('width', sa.Integer(), nullable=False),
    sa.Column('height', sa.Integer(), nullable=False),
    sa.Column('file_count', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name=op.f('fk_image_dataset_id_dataset'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_image')),
    sa.UniqueConstraint('dataset_id', 'sha256', name=op.f('uq_image_dataset_id_sha256')),
    sqlite_autoincrement=True
    )
    with op.batch_alter_table('image', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_image_dataset_id_patient_key'), ['dataset_id', 'patient_key'], unique=False)
        batch_op.create_index(batch_op.f('ix_image_dataset_id_split_label'), ['dataset_id', 'split', 'label'], unique=False)
        batch_op.create_index(batch_op.f('ix_image_sha256'), ['sha256'], unique=False)

    op.create_table('run',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(length=20), nullable=False),
    sa.Column('dataset_id', sa.Integer(), nullable=True),
    sa.Column('fingerprint', sa.String(length=64), nullable=False),
    sa.Column('config', sa.JSON(), nullable=False),
    sa.Column('code_version', sa.String(length=64), nullable=False),
    sa.Column('seed', sa.Integer(), nullable=True),
    sa.Column('status', sa.String(length=12), nullable=False),
    sa.Column('stage', sa.String(length=100), nullable=True),
    sa.Column('done', sa.Integer(), nullable=False),
    sa.Column('total', sa.Integer(), nullable=True),
    sa.Column('eta_seconds', sa.Double(), nullable=True),
    sa.Column('host', sa.String(length=200), nullable=False),
    sa.Column('pid', sa.Integer(), nullable=False),
    sa.Column('started', sa.DateTime(timezone=True), nullable=False),
    sa.Column('heartbeat', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished', sa.DateTime(timezone=True), nullable=True),
    sa.Column('seconds', sa.Double(), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('traceback', sa.Text(), nullable=True),
    sa.Column('summary', sa.JSON(), nullable=True),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name=op.f('fk_run_dataset_id_dataset'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_run'))
    )
    with op.batch_alter_table('run', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_run_dataset_id'), ['dataset_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_run_fingerprint'), ['fingerprint'], unique=False)
        batch_op.create_index(batch_op.f('ix_run_kind_status'), ['kind', 'status'], unique=False)

    op.create_table('artifact',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=100), nullable=False),
    sa.Column('path', sa.Text(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('bytes', sa.Integer(), nullable=False),
    sa.Column('shape', sa.String(length=60), nullable=True),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_artifact_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_artifact')),
    sa.UniqueConstraint('run_id', 'name', name=op.f('uq_artifact_run_id_name'))
    )
    op.create_table('metric',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('split', sa.String(length=20), nullable=False),
    sa.Column('slice', sa.String(length=80), nullable=False),
    sa.Column('step', sa.Integer(), nullable=False),
    sa.Column('value', sa.Double(), nullable=True),
    sa.Column('low', sa.Double(), nullable=True),
    sa.Column('high', sa.Double(), nullable=True),
    sa.Column('n', sa.Integer(), nullable=True),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_metric_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_metric')),
    sa.UniqueConstraint('run_id', 'name', 'split', 'slice', 'step', name=op.f('uq_metric_run_id_name_split_slice_step'))
    )
    with op.batch_alter_table('metric', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_metric_name_split'), ['name', 'split'], unique=False)

    op.create_table('prediction',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('image_id', sa.Integer(), nullable=False),
    sa.Column('fold', sa.Integer(), nullable=True),
    sa.Column('logit', sa.Double(), nullable=False),
    sa.Column('probability', sa.Double(), nullable=False),
    sa.Column('heatmap_row', sa.Integer(), nullable=True),
    sa.Column('zones', sa.JSON(), nullable=True),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], name=op.f('fk_prediction_image_id_image'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_prediction_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_prediction')),
    sa.UniqueConstraint('run_id', 'image_id', name=op.f('uq_prediction_run_id_image_id'))
    )
    with op.batch_alter_table('prediction', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_prediction_image_id'), ['image_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_prediction_run_id_probability'), ['run_id', 'probability'], unique=False)

    op.create_table('report',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('image_id', sa.Integer(), nullable=False),
    sa.Column('image_sha256', sa.String(length=64), nullable=False),
    sa.Column('model', sa.String(length=200), nullable=False),
    sa.Column('revision', sa.String(length=80), nullable=False),
    sa.Column('strategy', sa.String(length=60), nullable=False),
    sa.Column('prompt_sha256', sa.String(length=64), nullable=False),
    sa.Column('settings', sa.JSON(), nullable=False),
    sa.Column('settings_sha256', sa.String(length=64), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('seconds', sa.Double(), nullable=False),
    sa.Column('tokens', sa.Integer(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], name=op.f('fk_report_image_id_image'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['prompt_sha256'], ['prompt.sha256'], name=op.f('fk_report_prompt_sha256_prompt')),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_report_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_report')),
    sa.UniqueConstraint('image_sha256', 'model', 'revision', 'prompt_sha256', 'settings_sha256', name=op.f('uq_report_image_sha256_model_revision_prompt_sha256_settings_sha256'))
    )
    with op.batch_alter_table('report', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_report_image_id'), ['image_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_report_model_strategy'), ['model', 'strategy'], unique=False)
        batch_op.create_index(batch_op.f('ix_report_run_id'), ['run_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_report_strategy'), ['strategy'], unique=False)

    op.create_table('review',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('image_id', sa.Integer(), nullable=False),
    sa.Column('reviewer', sa.String(length=100), nullable=False),
    sa.Column('verdict', sa.String(length=20), nullable=False),
    sa.Column('tags', sa.JSON(), server_default=sa.text("'[]'"), nullable=False),
    sa.Column('note', sa.Text(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], name=op.f('fk_review_image_id_image'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_review'))
    )
    with op.batch_alter_table('review', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_review_image_id_reviewer'), ['image_id', 'reviewer'], unique=False)

    op.create_table('skipped_file',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('path', sa.Text(), nullable=False),
    sa.Column('reason', sa.String(length=40), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.Column('image_id', sa.Integer(), nullable=True),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], name=op.f('fk_skipped_file_image_id_image'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_skipped_file_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_skipped_file')),
    sa.UniqueConstraint('run_id', 'path', name=op.f('uq_skipped_file_run_id_path'))
    )
    with op.batch_alter_table('skipped_file', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_skipped_file_reason'), ['reason'], unique=False)

    op.create_table('vector_index',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('dataset_id', sa.Integer(), nullable=False),
    sa.Column('embedder', sa.String(length=200), nullable=False),
    sa.Column('revision', sa.String(length=80), nullable=False),
    sa.Column('dimension', sa.Integer(), nullable=False),
    sa.Column('count', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(length=40), nullable=False),
    sa.Column('path', sa.Text(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name=op.f('fk_vector_index_dataset_id_dataset'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_vector_index_run_id_run'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_vector_index'))
    )
    with op.batch_alter_table('vector_index', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_vector_index_run_id'), ['run_id'], unique=False)

    op.create_table('report_score',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('report_id', sa.Integer(), nullable=False),
    sa.Column('metric', sa.String(length=60), nullable=False),
    sa.Column('value', sa.Double(), nullable=True),
    sa.Column('detail', sa.JSON(), nullable=True),
    sa.ForeignKeyConstraint(['report_id'], ['report.id'], name=op.f('fk_report_score_report_id_report'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_report_score')),
    sa.UniqueConstraint('report_id', 'metric', name=op.f('uq_report_score_report_id_metric'))
    )

    # Full-text search over reports: an FTS5 table fed by triggers on SQLite, an expression index on PostgreSQL.
    if op.get_bind().dialect.name == "sqlite":
        op.execute("CREATE VIRTUAL TABLE report_text USING fts5(text, content='report', content_rowid='id', tokenize='porter')")
        op.execute("CREATE TRIGGER report_text_insert AFTER INSERT ON report BEGIN "
                   "INSERT INTO report_text(rowid, text) VALUES (new.id, new.text); END")
        op.execute("CREATE TRIGGER report_text_delete AFTER DELETE ON report BEGIN "
                   "INSERT INTO report_text(report_text, rowid, text) VALUES ('delete', old.id, old.text); END")
        op.execute("CREATE TRIGGER report_text_update AFTER UPDATE ON report BEGIN "
                   "INSERT INTO report_text(report_text, rowid, text) VALUES ('delete', old.id, old.text); "
                   "INSERT INTO report_text(rowid, text) VALUES (new.id, new.text); END")
    else:
        op.execute("CREATE INDEX report_text_words ON report USING gin (to_tsvector('english', text))")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE report_text")
    op.drop_table('report_score')
    with op.batch_alter_table('vector_index', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_vector_index_run_id'))

    op.drop_table('vector_index')
    with op.batch_alter_table('skipped_file', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_skipped_file_reason'))

    op.drop_table('skipped_file')
    with op.batch_alter_table('review', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_review_image_id_reviewer'))

    op.drop_table('review')
    with op.batch_alter_table('report', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_report_strategy'))
        batch_op.drop_index(batch_op.f('ix_report_run_id'))
        batch_op.drop_index(batch_op.f('ix_report_model_strategy'))
        batch_op.drop_index(batch_op.f('ix_report_image_id'))

    op.drop_table('report')
    with op.batch_alter_table('prediction', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_prediction_run_id_probability'))
        batch_op.drop_index(batch_op.f('ix_prediction_image_id'))

    op.drop_table('prediction')
    with op.batch_alter_table('metric', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_metric_name_split'))

    op.drop_table('metric')
    op.drop_table('artifact')
    with op.batch_alter_table('run', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_run_kind_status'))
        batch_op.drop_index(batch_op.f('ix_run_fingerprint'))
        batch_op.drop_index(batch_op.f('ix_run_dataset_id'))

    op.drop_table('run')
    with op.batch_alter_table('image', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_image_sha256'))
        batch_op.drop_index(batch_op.f('ix_image_dataset_id_split_label'))
        batch_op.drop_index(batch_op.f('ix_image_dataset_id_patient_key'))

    op.drop_table('image')
    op.drop_table('prompt')
    op.drop_table('dataset')
