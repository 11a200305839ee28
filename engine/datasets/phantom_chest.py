"""Drawing one synthetic chest radiograph: anatomy, finding, pose, exposure.

Everything is attenuation over u (left to right in the image) and v (top to bottom), both in [-1, 1], mapped through a
film-like response curve. The patient's right is on the image's left. Lengths are in units of half the image.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Field = NDArray[np.float32]

SIZE = 256
SIDES = (-1, 1)


@dataclass(frozen=True)
class Finding:
    """A phantom's pathology.

    cause: None (healthy), 'bacterial' (one focal opacity) or 'viral' (both lungs, interstitial). zone: where the focal
    opacity is, None for the other causes. severity: contrast, 0 to 1.3.
    """

    cause: str | None = None
    zone: str | None = None
    severity: float = 0.0


@dataclass(frozen=True)
class Anatomy:
    """One patient's chest."""

    width: float
    apex: float
    diaphragm: float
    heart: float
    lean: float
    ribs: float
    vessels: float
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Anatomy":
        """A random patient."""
        return cls(
            width=rng.uniform(0.64, 0.76),
            apex=rng.uniform(-0.82, -0.74),
            diaphragm=rng.uniform(0.58, 0.70),
            heart=rng.uniform(0.23, 0.31),
            lean=rng.uniform(-0.06, 0.06),
            ribs=rng.uniform(0.13, 0.20),
            vessels=rng.uniform(0.6, 1.2),
            seed=int(rng.integers(2**32)),
        )


def radiograph(rng: np.random.Generator, anatomy: Anatomy, finding: Finding) -> NDArray[np.uint8]:
    """The patient's chest with this finding in a random pose, exposure and noise: uint8 (SIZE, SIZE)."""
    chest = Chest(anatomy, *_pose(rng))
    attenuation = chest.tissue + chest.bones + chest.lungs * (chest.vessels - 0.50)
    attenuation += opacity(rng, chest, finding)
    center, contrast = rng.uniform(0.50, 0.60), rng.uniform(4.0, 5.5)
    film = 1 / (1 + np.exp(-contrast * (attenuation - center)))
    film = (film - film.min()) * rng.uniform(0.92, 1.08)
    film += np.float32(rng.uniform(0.010, 0.025)) * rng.standard_normal(film.shape, dtype=np.float32)
    picture = Image.fromarray((film.clip(0, 1) * 255).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    if rng.random() < 0.7:
        corner = (SIZE * rng.uniform(0.03, 0.10), SIZE * rng.uniform(0.05, 0.35))
        ImageDraw.Draw(picture).text(corner, "R", fill=int(rng.uniform(190, 255)))
    return np.asarray(picture)


def opacity(rng: np.random.Generator, chest: "Chest", finding: Finding) -> Field:
    """The attenuation that the finding adds inside the lungs: float32, the image's shape, 0 if healthy."""
    if finding.cause is None:
        return np.zeros_like(chest.u)
    grain = texture(rng, chest.u.shape, finest=0.06, coarsest=0.30)
    if finding.cause == "bacterial":
        u, v = chest.zone_center(finding.zone or "")
        wide, tall = rng.uniform(0.22, 0.38), rng.uniform(0.18, 0.28)
        distance = ((chest.u - u - rng.normal(0, 0.03)) / wide) ** 2 + ((chest.v - v - rng.normal(0, 0.03)) / tall) ** 2
        blob = np.exp(-(distance**1.5) / 2) * (1 + 0.2 * grain)
        return _field(finding.severity * 0.62 * blob.clip(0) * chest.lungs)
    lace = np.abs(texture(rng, chest.u.shape, finest=0.025, coarsest=0.08))
    hilum = 0.45 + 0.55 * np.exp(-((np.abs(chest.u) - 0.2) ** 2 + (chest.v - 0.05) ** 2) / 0.12)
    return _field(finding.severity * hilum * (0.26 + 0.14 * lace + 0.09 * grain).clip(0) * chest.lungs)


class Chest:
    """A patient's structures over coordinate fields u and v, float32 (h, w)."""

    def __init__(self, anatomy: Anatomy, u: Field, v: Field) -> None:
        self.anatomy, self.u, self.v = anatomy, u, v
        self._p = np.abs(u)  # distance from the midline
        self._wall = self._wall_at(v)

    def _wall_at(self, v: Field) -> Field:
        """Half the width of the rib cage, an egg shape whose narrow end is the apex."""
        height = np.clip((v - self.anatomy.apex) / (0.45 - self.anatomy.apex), 0, 1)
        return _field(self.anatomy.width * np.clip(height * (2 - height), 0, 1) ** 0.45 * (0.86 + 0.14 * height))

    def zone_center(self, zone: str) -> tuple[float, float]:
        """(u, v) at the centre of a lung zone."""
        side, _, level = zone.partition("_")
        v = {"upper": -0.50, "middle": 0.0, "lower": self.anatomy.diaphragm - 0.08}[level]
        wall = float(self._wall_at(np.array([v], dtype=np.float32))[0])
        return (0.12 + wall) * 0.54 * (-1 if side == "right" else 1), v

    @cached_property
    def lungs(self) -> Field:
        """The fraction of the beam's path through the chest that is lung, 0 to 1."""
        domes = [self.anatomy.diaphragm + offset - 0.55 * (self._p - 0.33) ** 2 for offset in (-0.03, 0.03)]
        dome = np.where(self.u < 0, *domes)
        inside = _edge(self._wall - 0.03 - self._p, 0.015) * _edge(self._p - 0.10, 0.02) * _edge(dome - self.v, 0.012)
        depth = np.sqrt(np.clip(1 - ((self._p - 0.38) / 0.46) ** 2, 0.15, 1)) * (1 - 0.8 * self.heart)
        return _field(inside * depth)

    @cached_property
    def heart(self) -> Field:
        """0 to 1: an egg shape tilted to the patient's left, with the great vessels above it."""
        a, sine, cosine = self.anatomy, 0.47, 0.88  # of the heart axis, 28 degrees
        x, y = self.u - 0.08 - a.lean, self.v - (a.diaphragm - 0.32)
        along, across = x * sine + y * cosine, x * cosine - y * sine
        egg = _edge(1 - np.sqrt((along / (a.heart + 0.14)) ** 2 + (across / a.heart) ** 2), 0.05)
        stalk = _edge(0.13 - np.abs(self.u - a.lean / 2), 0.025) * _edge(a.diaphragm - self.v, 0.1)
        return _field(np.maximum(egg, stalk))

    @cached_property
    def tissue(self) -> Field:
        """Skin, muscle, mediastinum and abdomen; the surrounding air is 0."""
        trunk = _edge(self._wall + 0.15 - self._p, 0.025) * _edge(self.v + 0.50, 0.06)
        arms = sum(_edge(0.18 - self._capsule((0.40, -0.52), (1.15, -0.98), side), 0.02) for side in SIDES)
        shoulders = sum(_edge(0.22 - self._capsule((0.10, -0.52), (0.60, -0.58), side), 0.03) for side in SIDES)
        neck = _edge(0.19 - self._capsule((0, -1.2), (0, -0.55), 1), 0.03) * 0.9
        jaw = _edge(1 - np.sqrt((self.u / 0.40) ** 2 + ((self.v + 1.12) / 0.24) ** 2), 0.05)
        body = np.maximum.reduce([trunk, 0.85 * np.minimum(arms, 1), 0.95 * np.minimum(shoulders, 1), neck])
        rounding = np.sqrt(np.clip(1 - (self._p / (self._wall + 0.25)) ** 2, 0.2, 1))
        belly = _edge(self.v - self.anatomy.diaphragm + 0.05, 0.08)
        bubble = np.exp(-(((self.u - 0.34) / 0.12) ** 2) - ((self.v - self.anatomy.diaphragm - 0.14) / 0.08) ** 2)
        return _field(
            body * (0.42 + 0.30 * rounding) + 0.16 * self.heart + 0.12 * belly * body + 0.2 * jaw - 0.2 * bubble * belly
        )

    @cached_property
    def bones(self) -> Field:
        """Ribs, spine, clavicles and humeri."""
        a, inside = self.anatomy, _edge(self._wall + 0.01 - self._p, 0.012)
        spine = _edge(0.075 - np.abs(self.u - a.lean / 3), 0.012) * (0.75 + 0.25 * np.cos(self.v * 2 * np.pi / 0.12))
        total, outward = 0.16 * spine, np.clip(self._wall - self._p, 0, None) ** 1.2
        back = a.ribs * inside * _edge(self._p - 0.06, 0.02)
        front = 0.5 * a.ribs * inside * _edge(self._p - 0.30, 0.06)
        for level in (a.apex + 0.08 + 0.15 * rib for rib in range(9)):
            total = total + back * _band(self.v - level - 0.30 * self._p**1.5, 0.026)
            total = total + front * _band(self.v - level - 0.12 - 0.6 * outward, 0.024)
        rim = _band(self._p - self._wall + 0.01, 0.022) * _edge(a.diaphragm + 0.15 - self.v, 0.05) * inside
        for side in SIDES:
            total = total + 0.22 * _edge(
                0.028 - self._capsule((0.07, a.apex + 0.16), (0.56, a.apex + 0.05), side), 0.01
            )
            total = total + 0.26 * _edge(0.055 - self._capsule((0.60, -0.62), (1.15, -0.96), side), 0.015)
        covered = 1 - 0.5 * _edge(self.v - a.diaphragm, 0.03)
        return _field((total + a.ribs * 0.7 * rim) * covered)

    @cached_property
    def vessels(self) -> Field:
        """Vessels that branch from both hila and taper outwards; the same in all of a patient's images, up to pose."""
        rng = np.random.default_rng(self.anatomy.seed)
        sheet = Image.new("L", (2 * SIZE, 2 * SIZE))
        pen = ImageDraw.Draw(sheet)
        for side in SIDES:
            for heading in rng.uniform(-1.3, 1.3, 16):
                _branch(rng, pen, (side * 0.16, 0.02), heading, side, width=5.0, length=0.20)
        smooth = np.asarray(sheet.filter(ImageFilter.BoxBlur(1)).reduce(2), dtype=np.float32) / 255
        rows, columns = (((axis.clip(-1, 1) + 1) * (SIZE - 1) / 2).astype(np.intp) for axis in (self.v, self.u))
        grain = texture(rng, (SIZE, SIZE), finest=0.02, coarsest=0.12)
        return _field(self.anatomy.vessels * (0.30 * smooth + 0.035 * grain)[rows, columns])

    def _capsule(self, start: tuple[float, float], end: tuple[float, float], side: int) -> Field:
        """Distance to the line segment from `start` to `end`, mirrored for side -1."""
        x, y, dx, dy = side * self.u - start[0], self.v - start[1], end[0] - start[0], end[1] - start[1]
        t = np.clip((x * dx + y * dy) / (dx * dx + dy * dy), 0, 1)
        return np.hypot(x - t * dx, y - t * dy)


def texture(rng: np.random.Generator, shape: tuple[int, ...], *, finest: float, coarsest: float) -> Field:
    """Band-pass noise of unit variance with structures between `finest` and `coarsest` wide: float32, of `shape`."""
    rows, columns = np.fft.fftfreq(shape[0], 2 / shape[0]), np.fft.rfftfreq(shape[1], 2 / shape[1])
    frequency = np.hypot(rows[:, None], columns[None, :])
    kept = np.exp(-((2.5 * frequency * finest) ** 2)) - np.exp(-((2.5 * frequency * coarsest) ** 2))
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape, dtype=np.float32)) * kept, s=shape)
    return _field(noise / noise.std())


def _branch(
    rng: np.random.Generator,
    pen: ImageDraw.ImageDraw,
    start: tuple[float, float],
    heading: float,
    side: int,
    *,
    width: float,
    length: float,
) -> None:
    """Draw a vessel and, while it is wide enough, its two branches."""
    end = start[0] + side * length * np.cos(heading), start[1] + length * np.sin(heading)
    pen.line([((x + 1) * SIZE, (y + 1) * SIZE) for x, y in (start, end)], fill=int(40 * width), width=round(width))
    if width > 1.6:
        for turn in (-1, 1):
            turned = heading + turn * rng.uniform(0.15, 0.5)
            _branch(rng, pen, end, turned, side, width=width * 0.68, length=length * rng.uniform(0.6, 0.85))


def _pose(rng: np.random.Generator) -> tuple[Field, Field]:
    """(u, v), slightly rotated, shifted, scaled and skewed as in images of children: each float32 (SIZE, SIZE)."""
    axis = (np.arange(SIZE, dtype=np.float32) + 0.5) * 2 / SIZE - 1
    x, y = np.meshgrid(axis, axis)
    angle, scale = rng.normal(0, 0.04), rng.uniform(0.86, 1.00)
    x, y = x - rng.normal(0, 0.03), y - rng.normal(0, 0.03)
    u = scale * (x * np.cos(angle) + y * np.sin(angle))
    return _field(u + rng.normal(0, 0.02) * u**2), _field(scale * (y * np.cos(angle) - x * np.sin(angle)))


def _edge(distance: NDArray[np.floating], softness: float) -> Field:
    """A soft step: 1 where `distance` is well above 0, 0 where it is well below."""
    return _field(1 / (1 + np.exp(-np.clip(distance / softness, -30, 30))))


def _band(distance: NDArray[np.floating], width: float) -> Field:
    """A soft band of about `width` on each side of a line, brighter at its rims like cortical bone."""
    near = (distance / width) ** 2
    return _field(np.exp(-near * near) * (0.7 + 0.3 * np.minimum(near, 1)))


def _field(values: NDArray[np.floating]) -> Field:
    return np.asarray(values, dtype=np.float32)
