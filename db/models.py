"""The tables: SQLAlchemy 2 typed models, the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


def now() -> datetime:
    """The current time, UTC, aware."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware UTC datetime on both databases; SQLite stores no offset, so it is restored on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """The same time in UTC; one without a timezone is taken as local time."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """The stored time in UTC; one without an offset is taken as UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of all models; constraint names are fixed so that migrations can refer to them on both databases."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[str]: JSON, str: Text}  # noqa: RUF012


ALONE = text("review_id IS NULL")
"""Condition on a tag: it is not part of a review."""


class Dataset(Base):
    """A collection of radiographs, ingested from one folder."""

    __tablename__ = "dataset"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    root: Mapped[str]
    """Absolute folder that image paths are relative to."""
    synthetic: Mapped[bool]
    """True for phantoms: results on them show that the software works, nothing else."""
    patients_across: Mapped[int] = mapped_column(server_default="0")
    """Number of patients with images both in the test split and outside it; see db.tallies."""
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    """Number of images with each value of each attribute: {name: {value: images}}; see db.tallies."""
    created: Mapped[datetime] = mapped_column(default=now)


class Image(Base):
    """One distinct radiograph of a dataset: byte-identical files are one row with file_count above 1."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("dataset_id", "sha256"),
        Index(None, "dataset_id", "id"),
        Index(None, "dataset_id", "split", "label"),
        Index(None, "dataset_id", "patient_key"),
        {"sqlite_autoincrement": True},  # an index on disk may refer to a deleted image, so ids are not reused
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    path: Mapped[str]
    """Relative to the dataset's root."""
    split: Mapped[str | None] = mapped_column(String(10))
    """train, val, test, or None if the source assigns none."""
    label: Mapped[int | None]
    """1 pneumonia, 0 normal, None unknown."""
    cause: Mapped[str | None] = mapped_column(String(20))
    """bacterial, viral, or None if unknown."""
    patient_key: Mapped[str] = mapped_column(String(200))
    """Pseudonymous; images with the same key are always in the same fold."""
    width: Mapped[int]
    height: Mapped[int]
    file_count: Mapped[int] = mapped_column(default=1)
    """Number of byte-identical files this row represents; official counts are sums of it."""


class ImageAttribute(Base):
    """A known attribute of an image, such as sex, age group or view; never one that identifies the patient."""

    __tablename__ = "image_attribute"
    __table_args__ = (Index(None, "name", "value", "image_id"),)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(17), primary_key=True)
    value: Mapped[str] = mapped_column(String(60))


class Run(Base):
    """One execution of a job: its configuration, progress and result."""

    __tablename__ = "run"
    __table_args__ = (Index(None, "kind", "status"), Index(None, "fingerprint"))
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), index=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """sha256 of kind, config and inputs: equal fingerprints mean the same work."""
    config: Mapped[dict[str, Any]]
    code_version: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int | None]
    status: Mapped[str] = mapped_column(String(12))
    """running, finished, failed, interrupted or lost; a run stored as running may actually be lost, see
    queries.runs.status."""
    stage: Mapped[str | None] = mapped_column(String(100))
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int | None]
    eta_seconds: Mapped[float | None]
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int]
    started: Mapped[datetime] = mapped_column(default=now)
    heartbeat: Mapped[datetime] = mapped_column(default=now)
    finished: Mapped[datetime | None]
    current_since: Mapped[datetime] = mapped_column("in_force", default=now, server_default="1970-01-01 00:00:00")
    """When it became current: when it finished, or when a later command requested the same work and found it done. The
    finished run with the latest time is the current run of its kind, which is shown and built upon."""
    seconds: Mapped[float] = mapped_column(default=0.0)
    """Wall time in seconds, summed over resumptions."""
    command: Mapped[str | None]
    """The command line that started it, without databases and secrets."""
    error: Mapped[str | None]
    """The error message, one line."""
    traceback: Mapped[str | None]
    summary: Mapped[dict[str, Any] | None]

    @property
    def threshold(self) -> float | None:
        """For train and predict runs: the classifier's decision threshold on the probability."""
        found: float | None = (self.summary or {}).get("threshold")
        return found

    @property
    def train_run_id(self) -> int | None:
        """For predict runs: the train run whose classifier was used."""
        found: int | None = (self.summary or {}).get("train_run")
        return found

    @property
    def imported(self) -> bool:
        """For predict runs: whether the predictions were imported from an external classifier."""
        return bool((self.summary or {}).get("imported"))

    @property
    def recipe(self) -> str | None:
        """For train and predict runs: the name of the classifier's recipe, or of the external classifier."""
        found: str | None = (self.summary or {}).get("recipe")
        return found

    @property
    def checkpoint_sha256(self) -> str | None:
        """For train and predict runs: the hash of the classifier's checkpoint."""
        found: str | None = (self.summary or {}).get("checkpoint_sha256")
        return found

    @property
    def weights(self) -> str | None:
        """For embed runs: the path of the weights that were given; None if they came from the embedder's own places."""
        found: str | None = (self.summary or {}).get("weights")
        return found


class SkippedFile(Base):
    """A file that ingest skipped, and why."""

    __tablename__ = "skipped_file"
    __table_args__ = (UniqueConstraint("run_id", "path"), Index(None, "run_id", "reason"))
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    path: Mapped[str]
    reason: Mapped[str] = mapped_column(String(40), index=True)
    detail: Mapped[str]
    image_id: Mapped[int | None] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))
    """For a duplicate: the image that represents it."""


class Artifact(Base):
    """A file or folder that a run created."""

    __tablename__ = "artifact"
    __table_args__ = (UniqueConstraint("run_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    path: Mapped[str]
    """Relative to the artifact folder."""
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger)
    shape: Mapped[str | None] = mapped_column(String(60))


class Metric(Base):
    """A measured value with its interval; step is the epoch for curves and -1 (rather than NULL) for final values."""

    __tablename__ = "metric"
    __table_args__ = (UniqueConstraint("run_id", "name", "split", "slice", "step"), Index(None, "name", "split"))
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(80))
    split: Mapped[str] = mapped_column(String(20))
    slice: Mapped[str] = mapped_column(String(80), default="all")
    step: Mapped[int] = mapped_column(default=-1)
    value: Mapped[float | None]
    low: Mapped[float | None]
    high: Mapped[float | None]
    n: Mapped[int | None]


class Prediction(Base):
    """A classifier's output for one image; the outcome depends on the threshold and is not stored."""

    __tablename__ = "prediction"
    __table_args__ = (
        UniqueConstraint("run_id", "image_id"),
        Index(None, "run_id", "probability", "image_id"),
        Index(None, "run_id", "error", "image_id"),
        Index(None, "image_id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))
    fold: Mapped[int | None]
    """For out-of-fold predictions: the fold in which the image was held out."""
    logit: Mapped[float]
    probability: Mapped[float]
    """Calibrated, of pneumonia, in [0, 1]."""
    error: Mapped[float | None]
    """Absolute difference of probability and label, in [0, 1]; None if the label is unknown. See db.tallies."""
    heatmap_row: Mapped[int | None]
    """Row in the run's `heatmaps` artifact, a float16 array (n, h, w) in [0, 1]."""
    zones: Mapped[dict[str, Any] | None]
    """Share of the heatmap's heat in each of the six lung zones."""


class Prompt(Base):
    """A prompt text with the name of its strategy, stored once for each wording."""

    __tablename__ = "prompt"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    strategy: Mapped[str] = mapped_column(String(60))
    text: Mapped[str]


class TrainedOn(Base):
    """An image that a train run was trained on, by content hash, so that it outlives the image's row."""

    __tablename__ = "trained_on"
    __table_args__ = (Index(None, "run_id", "patient_key"),)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    image_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    patient_key: Mapped[str | None] = mapped_column(String(200))
    """The image's patient key, or its last one if the image was deleted; None if that predates this column."""


class Report(Base):
    """A generated report; at most one for each image, model revision, prompt and settings."""

    __tablename__ = "report"
    __table_args__ = (
        UniqueConstraint("image_sha256", "model", "revision", "prompt_sha256", "settings_sha256"),
        Index(None, "model", "strategy"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), index=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), index=True)
    image_sha256: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(200), index=True)
    revision: Mapped[str] = mapped_column(String(80))
    strategy: Mapped[str] = mapped_column(String(60), index=True)
    prompt_sha256: Mapped[str] = mapped_column(ForeignKey("prompt.sha256"))
    settings: Mapped[dict[str, Any]]
    settings_sha256: Mapped[str] = mapped_column(String(64))
    text: Mapped[str]
    seconds: Mapped[float]
    tokens: Mapped[int]
    cut: Mapped[bool] = mapped_column(server_default=false())
    """Whether the generator stopped at its length limit."""
    created: Mapped[datetime] = mapped_column(default=now)


class ReportFailure(Base):
    """A report that could not be generated, and why; deleted once it succeeds."""

    __tablename__ = "report_failure"
    __table_args__ = (UniqueConstraint("image_sha256", "model", "revision", "prompt_sha256", "settings_sha256"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), index=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), index=True)
    image_sha256: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(200))
    revision: Mapped[str] = mapped_column(String(80))
    strategy: Mapped[str] = mapped_column(String(60))
    prompt_sha256: Mapped[str] = mapped_column(ForeignKey("prompt.sha256"))
    settings_sha256: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str]
    created: Mapped[datetime] = mapped_column(default=now)


class ReportScore(Base):
    """One score of one report, by its text alone or against the labels and predictions of one dataset."""

    __tablename__ = "report_score"
    __table_args__ = (
        UniqueConstraint("report_id", "metric", "dataset_id"),
        Index(None, "metric", "value", "report_id", "dataset_id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("report.id", ondelete="CASCADE"))
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"))
    """The dataset that the score is of; None for scores of the text alone, which all datasets share."""
    metric: Mapped[str] = mapped_column(String(60))
    value: Mapped[float | None]
    detail: Mapped[dict[str, Any] | None]


class VectorIndex(Base):
    """A vector index on disk, whose hashes are verified before it is read."""

    __tablename__ = "vector_index"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), index=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"))
    embedder: Mapped[str] = mapped_column(String(200))
    revision: Mapped[str] = mapped_column(String(80))
    dimension: Mapped[int]
    count: Mapped[int]
    kind: Mapped[str] = mapped_column(String(40))
    path: Mapped[str]
    """Folder, relative to the artifact folder."""
    sha256: Mapped[str] = mapped_column(String(64))
    """Of the folder's manifest, which contains the hash of every file."""
    created: Mapped[datetime] = mapped_column(default=now)


class Review(Base):
    """A reader's verdict on an image."""

    __tablename__ = "review"
    __table_args__ = (Index(None, "image_id", "reviewer"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))
    reviewer: Mapped[str] = mapped_column(String(100))
    verdict: Mapped[str] = mapped_column(String(20))
    note: Mapped[str] = mapped_column(default="")
    unblinded_by: Mapped[str | None] = mapped_column(String(200))
    """What the reader had been shown about the image, such as "label, outcome"; "" for nothing (a blind review), None
    if it was not recorded."""
    created: Mapped[datetime] = mapped_column(default=now)


class AnswerSeen(Base):
    """An image whose answer a reader may have seen, because they took back a verdict on it."""

    __tablename__ = "answer_seen"
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), primary_key=True)
    reviewer: Mapped[str] = mapped_column(String(100), primary_key=True)


class ImageTag(Base):
    """A tag on an image, as part of a review or separate; a separate tag is unique per image."""

    __tablename__ = "image_tag"
    __table_args__ = (
        Index(None, "name", "image_id"),
        Index(None, "review_id"),
        Index("uq_image_tag_alone", "image_id", "name", unique=True, sqlite_where=ALONE, postgresql_where=ALONE),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(60))
    review_id: Mapped[int | None] = mapped_column(ForeignKey("review.id", ondelete="CASCADE"))
    created: Mapped[datetime] = mapped_column(default=now)


class ImageTally(Base):
    """The number of images of a dataset with these properties, so that pages need not count; see db.tallies."""

    __tablename__ = "image_tally"
    __table_args__ = (Index(None, "dataset_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"))
    split: Mapped[str | None] = mapped_column(String(10))
    label: Mapped[int | None]
    cause: Mapped[str | None] = mapped_column(String(20))
    attribute: Mapped[str] = mapped_column(String(17), server_default="")
    """Empty in the rows that count all images; in others only those with this attribute's value."""
    value: Mapped[str] = mapped_column(String(60), server_default="")
    """unknown: of images of which the attribute is not known."""
    images: Mapped[int]
    files: Mapped[int]
    patients: Mapped[int]
    """Patients not counted for an earlier cause of the same split and label, so that sums over causes are correct; 0 in
    rows of an attribute."""


class PredictionTally(Base):
    """The number of predictions of a run with these properties, so that pages need not count; see db.tallies."""

    __tablename__ = "prediction_tally"
    __table_args__ = (Index(None, "run_id", "attribute", "value"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    split: Mapped[str | None] = mapped_column(String(10))
    label: Mapped[int | None]
    cause: Mapped[str | None] = mapped_column(String(20))
    attribute: Mapped[str] = mapped_column(String(17), server_default="")
    """Empty in the rows that count all images; in others only those with this attribute's value."""
    value: Mapped[str] = mapped_column(String(60), server_default="")
    """unknown: of images of which the attribute is not known."""
    bin: Mapped[int]
    """Probabilities in [bin / 1000, (bin + 1) / 1000); bin 1000 is exactly 1."""
    called: Mapped[bool | None]
    """Whether the probability is at least the run's own threshold; None if the run has none."""
    images: Mapped[int]


class Neighbour(Base):
    """A training image near an evaluated image, found by an audit; rank counts from 1, nearest first."""

    __tablename__ = "neighbour"
    __table_args__ = (UniqueConstraint("run_id", "image_id", "rank"), Index(None, "image_id"))
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))
    neighbour_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), index=True)
    rank: Mapped[int]
    similarity: Mapped[float]
    """Cosine of the classifier's features, in [-1, 1]."""
    hash_distance: Mapped[int]
    """Hamming distance of the perceptual hashes, 0 to 256 bits."""
    verdict: Mapped[str] = mapped_column(String(20))
    """near-duplicate or different."""


class NearDuplicate(Base):
    """A pair of near-duplicate images of a dataset; image_id is the smaller id."""

    __tablename__ = "near_duplicate"
    __table_args__ = (UniqueConstraint("run_id", "image_id", "other_id"), Index(None, "image_id"))
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))
    other_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), index=True)
    hash_distance: Mapped[int]
    """Hamming distance of the perceptual hashes, 0 to 256 bits."""
    similarity: Mapped[float | None]
    """Cosine of the two images' ImageNet features, in [-1, 1]."""
    verdict: Mapped[str] = mapped_column(String(20))
    """near-duplicate or possible."""


class ErrorSlice(Base):
    """A cluster of evaluated images of similar appearance, with the classifier's error rate on it."""

    __tablename__ = "error_slice"
    __table_args__ = (UniqueConstraint("run_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(80))
    label: Mapped[int]
    """Label of all its images: 1 pneumonia, 0 normal."""
    description: Mapped[str]
    images: Mapped[int]
    patients: Mapped[int]
    failures: Mapped[int]
    rate: Mapped[float]
    """failures / images; low and high are its 95 % interval."""
    low: Mapped[float]
    high: Mapped[float]
    p_value: Mapped[float]
    """For an error rate no higher than in the rest of the label, adjusted for the number of slices."""


class SliceMember(Base):
    """An image's membership in a slice."""

    __tablename__ = "slice_member"
    __table_args__ = (UniqueConstraint("slice_id", "image_id"), Index(None, "image_id"))
    id: Mapped[int] = mapped_column(primary_key=True)
    slice_id: Mapped[int] = mapped_column(ForeignKey("error_slice.id", ondelete="CASCADE"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))


class ImageMeasure(Base):
    """A number that a run measured for one image, such as the share of heat in the outer frame."""

    __tablename__ = "image_measure"
    __table_args__ = (UniqueConstraint("run_id", "image_id", "name"), Index(None, "image_id"))
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(60))
    value: Mapped[float]


class ReportTally(Base):
    """The number of reports, or of scores of one metric, with these properties, so that pages need not count; see
    db.report_tallies."""

    __tablename__ = "report_tally"
    __table_args__ = (UniqueConstraint("dataset_id", "label", "metric", "model", "strategy", "bin"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"))
    model: Mapped[str] = mapped_column(String(200))
    strategy: Mapped[str] = mapped_column(String(60))
    label: Mapped[str] = mapped_column(String(10))
    """The image's label: pneumonia, normal or unknown. Empty in rows that sum over labels."""
    metric: Mapped[str] = mapped_column(String(60))
    """Empty in rows that count the reports themselves."""
    bin: Mapped[int]
    """Bin of the value: 2 k for exactly k / 100, 2 k + 1 between that and the next; for others see
    db.report_tallies."""
    reports: Mapped[int]
    total: Mapped[float]
    """Sum of the known values."""
