"""Which tables there are: SQLAlchemy 2 typed models, the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, Index, MetaData, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


def now() -> datetime:
    """The current time, UTC, aware."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on both databases; SQLite stores no offset, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Constraint names are fixed so that migrations can name them on both databases."""

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
"""Of a tag: that it is in no review."""


class Dataset(Base):
    """A collection of radiographs, ingested from one folder."""

    __tablename__ = "dataset"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    root: Mapped[str]
    """Absolute folder that image paths are relative to."""
    synthetic: Mapped[bool]
    """True for phantoms: results on them show that the wiring works, nothing else."""
    patients_across: Mapped[int] = mapped_column(server_default="0")
    """Patients with films in the test split and outside it; see db.tallies."""
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    """How many images have each value of each attribute: {name: {value: images}}; see db.tallies."""
    created: Mapped[datetime] = mapped_column(default=now)


class Image(Base):
    """One distinct radiograph of a dataset: byte-identical files are one row with file_count above 1."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("dataset_id", "sha256"),
        Index(None, "dataset_id", "id"),
        Index(None, "dataset_id", "split", "label"),
        Index(None, "dataset_id", "patient_key"),
        {"sqlite_autoincrement": True},  # an index on disk may still name a forgotten image: its id is not given again
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    path: Mapped[str]
    """Relative to the dataset's root."""
    split: Mapped[str | None] = mapped_column(String(10))
    """train, val, test, or None where the source names none."""
    label: Mapped[int | None]
    """1 pneumonia, 0 normal, None unknown."""
    cause: Mapped[str | None] = mapped_column(String(20))
    """bacterial, viral, or None where unknown."""
    patient_key: Mapped[str] = mapped_column(String(200))
    """Pseudonymous; images with one key are never split across folds."""
    width: Mapped[int]
    height: Mapped[int]
    file_count: Mapped[int] = mapped_column(default=1)
    """Byte-identical files this row stands for; official counts are sums of it."""


class ImageAttribute(Base):
    """What is known of a film beside its label, such as sex, age group or view; nothing that names its patient."""

    __tablename__ = "image_attribute"
    __table_args__ = (Index(None, "name", "value", "image_id"),)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(17), primary_key=True)
    value: Mapped[str] = mapped_column(String(60))


class Run(Base):
    """One execution of a job: what it was asked, how far it is, how it ended."""

    __tablename__ = "run"
    __table_args__ = (Index(None, "kind", "status"), Index(None, "fingerprint"))
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), index=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """sha256 of kind, config and inputs: equal fingerprints mean the work is the same."""
    config: Mapped[dict[str, Any]]
    code_version: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int | None]
    status: Mapped[str] = mapped_column(String(12))
    """running, finished, failed, interrupted or lost; a running row may read as lost, see queries.runs."""
    stage: Mapped[str | None] = mapped_column(String(100))
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int | None]
    eta_seconds: Mapped[float | None]
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int]
    started: Mapped[datetime] = mapped_column(default=now)
    heartbeat: Mapped[datetime] = mapped_column(default=now)
    finished: Mapped[datetime | None]
    in_force: Mapped[datetime] = mapped_column(default=now, server_default="1970-01-01 00:00:00")
    """Since when its results are those of its kind: its end, or when a later command asked for the same and found it
    done. Of finished runs the one with the latest is shown and built upon."""
    seconds: Mapped[float] = mapped_column(default=0.0)
    """Wall time spent, summed over resumptions."""
    command: Mapped[str | None]
    """The command line that started it, without what names a database or a secret."""
    error: Mapped[str | None]
    """One line a person can act on."""
    traceback: Mapped[str | None]
    summary: Mapped[dict[str, Any] | None]

    @property
    def threshold(self) -> float | None:
        """Of train and predict runs: from which probability on the classifier says pneumonia."""
        found: float | None = (self.summary or {}).get("threshold")
        return found

    @property
    def train_run_id(self) -> int | None:
        """Of a predict run: the train run whose classifier it asked."""
        found: int | None = (self.summary or {}).get("train_run")
        return found

    @property
    def imported(self) -> bool:
        """Of predict runs: whether the predictions were made elsewhere, by a classifier of which the name is known."""
        return bool((self.summary or {}).get("imported"))

    @property
    def recipe(self) -> str | None:
        """Of train and predict runs: the name of the classifier's recipe, or of one that is not ours."""
        found: str | None = (self.summary or {}).get("recipe")
        return found

    @property
    def checkpoint_sha256(self) -> str | None:
        """Of train and predict runs: of the classifier's checkpoint."""
        found: str | None = (self.summary or {}).get("checkpoint_sha256")
        return found


class SkippedFile(Base):
    """A file that ingest left out, and why."""

    __tablename__ = "skipped_file"
    __table_args__ = (UniqueConstraint("run_id", "path"), Index(None, "run_id", "reason"))
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    path: Mapped[str]
    reason: Mapped[str] = mapped_column(String(40), index=True)
    detail: Mapped[str]
    image_id: Mapped[int | None] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))
    """For a duplicate: the image that stands for it."""


class Artifact(Base):
    """A file or folder that a run made."""

    __tablename__ = "artifact"
    __table_args__ = (UniqueConstraint("run_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    path: Mapped[str]
    """Relative to the artifact folder."""
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int]
    shape: Mapped[str | None] = mapped_column(String(60))


class Metric(Base):
    """A measured value with its interval; step is the epoch for curves and NULL-free (-1) for final values."""

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
    """A classifier's output for one image; the outcome follows from the run's threshold."""

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
    """The fold that held the image out, for out-of-fold predictions."""
    logit: Mapped[float]
    probability: Mapped[float]
    """Calibrated, of pneumonia, in [0, 1]."""
    error: Mapped[float | None]
    """Distance of the probability from the label, in [0, 1]; None where the label is unknown. See db.tallies."""
    heatmap_row: Mapped[int | None]
    """Row in the run's `heatmaps` artifact, a float16 array (n, h, w) in [0, 1]."""
    zones: Mapped[dict[str, Any] | None]
    """Share of the heatmap's mass in each of the six lung zones."""


class Prompt(Base):
    """A prompt text under its strategy, stored once per wording."""

    __tablename__ = "prompt"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    strategy: Mapped[str] = mapped_column(String(60))
    text: Mapped[str]


class TrainedOn(Base):
    """An image that a train run learned from, by content: known also when the image has been forgotten since."""

    __tablename__ = "trained_on"
    __table_args__ = (Index(None, "run_id", "patient_key"),)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    image_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    patient_key: Mapped[str | None] = mapped_column(String(200))
    """As the image has it, or had it when it was forgotten; None where that was before patients were kept."""


class Report(Base):
    """A generated report; exactly one for each image, model revision, prompt and settings."""

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
    """A report that could not be written, and why; gone once it is."""

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
    """One score of one report."""

    __tablename__ = "report_score"
    __table_args__ = (UniqueConstraint("report_id", "metric"), Index(None, "metric", "value", "report_id"))
    id: Mapped[int] = mapped_column(primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("report.id", ondelete="CASCADE"))
    metric: Mapped[str] = mapped_column(String(60))
    value: Mapped[float | None]
    detail: Mapped[dict[str, Any] | None]


class VectorIndex(Base):
    """A vector index on disk, verified by hash before it is read."""

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
    """Of the folder's manifest, which holds the hash of every file."""
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
    """What the reader had been told of the film, such as "label, outcome"; "" where nothing, None where that was not
    noted."""
    created: Mapped[datetime] = mapped_column(default=now)


class ImageTag(Base):
    """A word that people put on an image: in a review, or on its own, then once."""

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
    """How many images of a dataset have these properties, so that no page need count them; see db.tallies."""

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
    """Patients that no cause before this one counted, so that a split's and label's add up; 0 beside an attribute."""


class PredictionTally(Base):
    """How many predictions of a run have these properties, so that no page need count them; see db.tallies."""

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
    """Probabilities from bin / 1000 up to, not with, (bin + 1) / 1000; 1000: exactly 1."""
    called: Mapped[bool | None]
    """Whether the probability reaches the run's own threshold; None where it has none."""
    images: Mapped[int]


class Neighbour(Base):
    """A training image that is near a judged one, as an audit found it; rank counts from 1, the nearest first."""

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
    """Bits in which the perceptual hashes differ, 0 to 256."""
    verdict: Mapped[str] = mapped_column(String(20))
    """near-duplicate or different."""


class NearDuplicate(Base):
    """Two images of a dataset that are nearly the same picture; image_id is the smaller of the two."""

    __tablename__ = "near_duplicate"
    __table_args__ = (UniqueConstraint("run_id", "image_id", "other_id"), Index(None, "image_id"))
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))
    other_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), index=True)
    hash_distance: Mapped[int]
    """Bits in which the perceptual hashes differ, 0 to 256."""
    similarity: Mapped[float | None]
    """Cosine of the two in ImageNet features, in [-1, 1]."""
    verdict: Mapped[str] = mapped_column(String(20))
    """near-duplicate or possible."""


class ErrorSlice(Base):
    """A group of judged images that look alike, and how often the classifier is wrong on them."""

    __tablename__ = "error_slice"
    __table_args__ = (UniqueConstraint("run_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(80))
    label: Mapped[int]
    """Of all its images: 1 pneumonia, 0 normal."""
    description: Mapped[str]
    images: Mapped[int]
    patients: Mapped[int]
    failures: Mapped[int]
    rate: Mapped[float]
    """failures / images, with its 95 % interval low to high."""
    low: Mapped[float]
    high: Mapped[float]
    p_value: Mapped[float]
    """That the rest of the label fails as often, corrected for the number of slices."""


class SliceMember(Base):
    """An image's place in a slice."""

    __tablename__ = "slice_member"
    __table_args__ = (UniqueConstraint("slice_id", "image_id"), Index(None, "image_id"))
    id: Mapped[int] = mapped_column(primary_key=True)
    slice_id: Mapped[int] = mapped_column(ForeignKey("error_slice.id", ondelete="CASCADE"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))


class ImageMeasure(Base):
    """A number that a run found for one image, such as the share of its heat in the outer frame."""

    __tablename__ = "image_measure"
    __table_args__ = (UniqueConstraint("run_id", "image_id", "name"), Index(None, "image_id"))
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(60))
    value: Mapped[float]


class ReportTally(Base):
    """How many reports, or scores of one metric, have these properties, so that no page need count them; see
    db.report_tallies."""

    __tablename__ = "report_tally"
    __table_args__ = (UniqueConstraint("dataset_id", "label", "metric", "model", "strategy", "bin"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"))
    model: Mapped[str] = mapped_column(String(200))
    strategy: Mapped[str] = mapped_column(String(60))
    label: Mapped[str] = mapped_column(String(10))
    """pneumonia, normal or unknown: of the image. Empty in the rows that sum up all of them."""
    metric: Mapped[str] = mapped_column(String(60))
    """Empty where the reports themselves are counted."""
    bin: Mapped[int]
    """Of the value: 2 k where it is k / 100, 2 k + 1 between that and the next; others as db.report_tallies names."""
    reports: Mapped[int]
    total: Mapped[float]
    """Sum of the values that are known."""
