"""Decoding: every format and depth becomes upright 8-bit greyscale, and every bad file gets the right reason."""

import hashlib
import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.errors import InputError, UnreadableImageError
from engine.imaging import images


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def ramp(width: int = 40, height: int = 30) -> np.ndarray:
    return np.linspace(0, 255, width * height).reshape(height, width).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "PPM", "WEBP", "JPEG2000"])
def test_lossless_formats_give_back_their_pixels(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    got = images.decode(encoded(Image.fromarray(ramp()), kind, **options))
    assert got.source_format == kind
    assert np.abs(got.pixels.astype(int) - ramp()).max() <= (1 if kind == "WEBP" else 0)
    assert images.read_header(encoded(Image.fromarray(ramp()), kind)) == images.Header(kind, 40, 30)


def test_sixteen_bit_pictures_keep_their_order_and_fill_the_range() -> None:
    deep = (ramp(64, 64).astype(np.uint16) * 12) + 900  # a detector's values: a narrow part of 16 bits
    got = images.decode(encoded(Image.fromarray(deep))).pixels
    assert (got.min(), got.max()) == (0, 255)
    assert (np.diff(got.reshape(-1).astype(int)) >= 0).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "F", "I"])
def test_every_mode_becomes_grey_of_the_same_shape(mode: str) -> None:
    kind = "TIFF" if mode in ("CMYK", "YCbCr", "F", "I") else "PNG"
    got = images.decode(encoded(Image.fromarray(ramp()).convert(mode), kind)).pixels
    assert got.dtype == np.uint8 and got.shape == (30, 40)
    assert got[-5:].mean() > got[:5].mean() + 100


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_black(mode: str) -> None:
    picture = Image.new(mode, (8, 8), (200, 0) if mode == "LA" else (200, 200, 200, 0))
    picture.putpixel((2, 3), (200, 255) if mode == "LA" else (200, 200, 200, 255))
    got = images.decode(encoded(picture)).pixels
    assert got[3, 2] == 200
    assert got.sum() == 200


def test_a_transparent_palette_colour_is_black() -> None:
    picture = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    picture.putpalette([255, 255, 255, 90, 90, 90])
    assert images.decode(encoded(picture, transparency=0)).pixels.tolist() == [[0, 90]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", [*range(10), 255])  # 1 to 8 mean something
def test_exif_orientation_is_applied_and_the_header_agrees(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(ramp()), kind, exif=exif)
    pixels = images.decode(data).pixels
    head = images.read_header(data)
    assert pixels.shape == (head.height, head.width) == ((40, 30) if orientation in (5, 6, 7, 8) else (30, 40))
    corner = {2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert pixels[corner.get(orientation, (0, 0))] == 0  # where the darkest pixel, stored first, belongs


def tiff(stored: np.ndarray, *, photometric: int, sample_format: int = 1, orientation: int = 1) -> bytes:
    """An uncompressed TIFF as TIFF 6.0 describes it; photometric: 0 where white is 0, 1 where black is."""
    height, width = stored.shape
    data = stored.tobytes()
    fields = {256: width, 257: height, 258: 8 * stored.itemsize, 259: 1, 262: photometric, 273: 8, 274: orientation}
    fields |= {277: 1, 278: height, 279: len(data), 339: sample_format}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    directory = struct.pack("<H", len(fields)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("depth", "sample_format"), [("<u1", 1), ("<u2", 1), ("<f4", 3)])
def test_a_tiff_whose_white_is_0_comes_out_as_one_whose_black_is(
    depth: str, sample_format: int, orientation: int
) -> None:
    stored, options = ramp().astype(depth), {"sample_format": sample_format, "orientation": orientation}
    shown = images.decode(tiff(stored, photometric=1, **options)).pixels
    assert np.array_equal(images.decode(tiff(255 - stored, photometric=0, **options)).pixels, shown)
    assert shown.std() > 50


def reason(data: bytes, **options: int) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        images.decode(data, **options)
    assert "\n" not in str(caught.value)
    return caught.value.reason


NOISE = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"hello, this is a text file\n" * 20, "not-an-image"),
        (b"\0" * 500, "not-an-image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not-an-image"),
        (b"\xff\xd8\xff\xd9", "broken"),
        (encoded(Image.fromarray(NOISE)).replace(b"IHDR", b"IHDX"), "broken"),
        (encoded(Image.fromarray(NOISE)).replace(b"IDAT", b"IDAT\0\0\0", 1), "broken"),
        (encoded(Image.fromarray(NOISE), "JPEG")[:9000], "truncated"),
        (encoded(Image.fromarray(NOISE), "PNG")[:9000], "truncated"),
        (encoded(Image.fromarray(NOISE), "BMP")[:9000], "truncated"),
    ],
)
def test_bad_bytes_are_named_as_what_they_are(data: bytes, expected: str) -> None:
    assert reason(data) == expected


def test_a_bomb_is_refused_by_its_header_before_any_pixel_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = encoded(Image.new("1", (9000, 9000)))  # 81 million pixels in a few kB
    assert len(bomb) < 100_000
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda self: pytest.fail("decoded"))
    assert reason(bomb) == "too-large"
    with pytest.raises(UnreadableImageError):
        images.read_header(bomb)


@pytest.mark.parametrize("side", [9700, 14000])
def test_what_pillow_itself_calls_a_bomb_is_too_large_whatever_the_warning_filter(side: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert reason(encoded(Image.new("1", (side, side)))) == "too-large"


def test_the_pixel_limit_can_be_lowered() -> None:
    assert reason(encoded(Image.fromarray(ramp())), max_pixels=1199) == "too-large"
    assert images.decode(encoded(Image.fromarray(ramp())), max_pixels=1200).pixels.shape == (30, 40)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP"])
def test_several_frames_are_unsupported(kind: str) -> None:
    frames = [Image.fromarray(NOISE[:50, :50]), Image.fromarray(NOISE[50:100, 50:100])]
    assert reason(encoded(frames[0], kind, save_all=True, append_images=frames[1:])) == "unsupported"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_decode_or_say_why_and_raise_nothing_else(data: st.DataObject) -> None:
    source = bytearray(data.draw(st.sampled_from(DAMAGEABLE)))
    for _ in range(data.draw(st.integers(1, 8))):
        source[data.draw(st.integers(0, len(source) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(source)))
    try:
        pixels = images.decode(bytes(source[:cut]), max_pixels=10_000).pixels
    except UnreadableImageError as error:
        assert error.reason in {"empty", "not-an-image", "broken", "truncated", "too-large", "unsupported"}
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == 2


DAMAGEABLE = [
    encoded(Image.fromarray(ramp()), kind) for kind in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "JPEG2000")
]


def test_a_file_above_the_byte_limit_is_too_large_and_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    (tmp_path / "a.png").write_bytes(b"x" * 1001)
    with pytest.raises(UnreadableImageError) as caught:
        images.read_bytes(tmp_path / "a.png")
    assert caught.value.reason == "too-large"


def test_read_grey_names_the_file_that_is_missing_or_bad(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png cannot be read \(No such file"):
        images.read_grey(tmp_path / "gone.png")
    (tmp_path / "bad.png").write_bytes(b"words")
    with pytest.raises(InputError, match=r"bad\.png cannot be used: neither an image"):
        images.read_grey(tmp_path / "bad.png")


def test_a_file_that_changed_since_it_was_ingested_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "film.png"
    Image.fromarray(np.full((32, 32), 90, np.uint8)).save(file)
    ingested = images.Ingested(file, hashlib.sha256(file.read_bytes()).hexdigest())
    assert (images.read_batch([ingested], size=32) == 90).all()
    Image.fromarray(np.full((32, 32), 91, np.uint8)).save(file)
    with pytest.raises(
        InputError, match=r"film\.png changed since it was ingested; ingest its folder again with --prune"
    ):
        images.read_grey(ingested)


def test_a_batch_is_in_order_and_files_of_the_right_size_are_untouched(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (32, 32), dtype=np.uint8) for _ in range(25)]
    paths = [tmp_path / f"{number}.png" for number in range(25)]
    for path, pixels in zip(paths, pictures, strict=True):
        Image.fromarray(pixels).save(path)
    assert np.array_equal(images.read_batch(paths, size=32, workers=3), np.stack(pictures))
    assert images.read_batch([], size=32).shape == (0, 32, 32)


def test_resizing_down_is_antialiased() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (256, 128))
    assert np.ptp(images.resize(stripes, 64)[:, 4:-4].astype(int)) <= 4  # without antialiasing: 0 or 255
    assert images.resize(stripes, 64).shape == (64, 64)


def test_parallel_holds_few_results_and_passes_errors_on() -> None:
    started: list[int] = []

    def work(number: int) -> int:
        started.append(number)
        if number == 50:
            raise ValueError("fifty")
        return number

    results = images.parallel(work, iter(range(1000)), workers=2)
    assert [next(results) for _ in range(10)] == list(range(10))
    assert len(started) <= 10 + 8
    with pytest.raises(ValueError, match="fifty"):
        list(results)
    assert len(started) < 80


@pytest.mark.parametrize(("shape", "expected"), [((1000, 500), (256, 128)), ((100, 60), (100, 60))])
def test_thumbnails_keep_their_shape_and_are_never_enlarged(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    data = images.thumbnail_webp(np.full(shape, 77, dtype=np.uint8))
    got = images.decode(data)
    assert got.source_format == "WEBP"
    assert got.pixels.shape == expected
    assert abs(int(got.pixels.mean()) - 77) <= 2


def test_thumbnails_lie_in_folders_by_hash(tmp_path: Path) -> None:
    assert images.thumbnail_path(tmp_path, "ab12") == tmp_path / "thumbnails" / "ab" / "ab12.webp"


def test_a_phones_picture_with_an_embedded_preview_is_its_first_frame() -> None:
    first, second = Image.fromarray(NOISE), Image.new("L", (20, 20))
    data = encoded(first.convert("RGB"), "MPO", save_all=True, append_images=[second.convert("RGB")])
    assert images.decode(data).pixels.shape == (300, 300)
