"""The guarded decoder: same images as without it, a one-line error if the worker dies, and a working successor."""

import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import data_store  # pydicom-data's files
import numpy as np
import pytest
from PIL import Image
from pydicom import data as dicom_examples

from engine.errors import UnreadableImageError
from engine.imaging import images
from engine.imaging.guarded import MEMORY, GuardedDecoder

REPOSITORY = Path(__file__).parents[3]
KINDS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM")


def film(kind: str = "PNG", side: int = 64, **options: object) -> bytes:
    """A ramp from black to white."""
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def decoder() -> Iterator[GuardedDecoder]:
    """A decoder that is ready."""
    made = GuardedDecoder()
    made.decode(film())
    yield made


def outcome(decode: Callable[[bytes], images.Decoded], data: bytes) -> tuple[str, str, bytes]:
    """The result of decoding a file, as text and bytes."""
    try:
        decoded = decode(data)
    except UnreadableImageError as error:
        return error.reason, " ".join(str(error).split()), b""
    return decoded.source_format, str(decoded.pixels.shape), decoded.pixels.tobytes()


def works(decoder: GuardedDecoder) -> bool:
    """Whether the next upload is decoded."""
    return decoder.decode(film()).pixels.shape == (64, 64)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_the_same_as_when_it_is_decoded_here(decoder: GuardedDecoder, kind: str) -> None:
    assert outcome(decoder.decode, film(kind)) == outcome(images.decode, film(kind))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_a_compressed_tiff_is_the_same_too(decoder: GuardedDecoder, compression: str) -> None:
    data = film("TIFF", compression=compression)
    assert outcome(decoder.decode, data) == outcome(images.decode, data)


def test_every_dicom_example_comes_out_as_it_does_here_picture_or_reason() -> None:
    """Also shows that nothing is imported late, since files can no longer be opened."""
    decoder = GuardedDecoder()
    files = [*Path(data_store.__path__[0]).rglob("*.dcm"), *Path(dicom_examples.__path__[0]).rglob("*.dcm")]
    assert len(files) > 100
    seen = set()
    for file in files:
        if file.stat().st_size < 2**20:
            told = outcome(images.decode, file.read_bytes())
            assert outcome(decoder.decode, file.read_bytes()) == told, file.name
            seen.add(told[0])
    assert seen >= {"DICOM", "unsupported", "broken", "truncated", "not-an-image"}


@pytest.mark.parametrize("data", [b"", b"no picture", film()[:40], b"\x89PNG and then nothing"])
def test_what_is_no_picture_is_refused_with_the_same_words(decoder: GuardedDecoder, data: bytes) -> None:
    before = decoder.process_id
    assert outcome(decoder.decode, data) == outcome(images.decode, data)
    assert decoder.process_id == before


def test_a_worker_that_is_killed_is_one_line_and_the_next_upload_works(decoder: GuardedDecoder) -> None:
    os.kill(decoder.process_id, signal.SIGSTOP)  # so that the file is in its hands when it dies
    killer = threading.Timer(0.3, os.kill, [decoder.process_id, signal.SIGKILL])
    killer.start()
    reason, line, _ = outcome(decoder.decode, film())
    assert (reason, line) == (
        "broken",
        "the decoder crashed on this file; save it as an 8-bit PNG or JPEG and try again",
    )
    assert works(decoder)


def test_a_worker_that_died_while_nobody_asked_is_not_noticed(decoder: GuardedDecoder) -> None:
    os.kill(decoder.process_id, signal.SIGKILL)
    time.sleep(0.2)
    assert works(decoder)


def test_a_worker_that_hangs_is_ended_and_the_next_upload_works() -> None:
    decoder = GuardedDecoder(seconds=1)
    decoder.decode(film())
    os.kill(decoder.process_id, signal.SIGSTOP)
    began = time.monotonic()
    reason, line, _ = outcome(decoder.decode, film())
    assert 0.9 < time.monotonic() - began < 5
    assert reason == "too-large"
    assert line == "decoding it takes more than 1 s; save it as an 8-bit PNG or JPEG and try again"
    assert works(decoder)


def test_a_decompression_bomb_within_the_pixel_limit_ends_at_the_memory_limit() -> None:
    decoder = GuardedDecoder(memory=384 * 2**20)
    stream = io.BytesIO()
    Image.new("RGBA", (5_000, 5_000)).save(stream, "PNG")  # 100 KB that become 400 MiB
    assert len(stream.getvalue()) < 2**20
    reason, line, _ = outcome(decoder.decode, stream.getvalue())
    assert reason == "too-large"
    assert line.startswith("decoding it needs more than 0.4 GiB of memory; save it")
    assert works(decoder)


def test_a_deep_picture_of_twenty_million_pixels_fits_into_the_memory(decoder: GuardedDecoder) -> None:
    stream = io.BytesIO()
    deep = np.linspace(0, 65535, 4_500 * 4_500).astype(np.uint16).reshape(4_500, 4_500)
    Image.fromarray(deep).save(stream, "PNG", compress_level=1)
    assert decoder.decode(stream.getvalue()).pixels.shape == (4_500, 4_500)


def test_the_worker_can_open_no_file_and_knows_no_secret(
    decoder: GuardedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://reader:secret@host/films")
    started = GuardedDecoder()
    started.decode(film())
    number = started.process_id
    environment = Path(f"/proc/{number}/environ").read_bytes()
    assert b"PYTHONPATH" in environment
    assert b"secret" not in environment
    assert resource.prlimit(number, resource.RLIMIT_NOFILE) == (0, 0)
    assert resource.prlimit(number, resource.RLIMIT_FSIZE) == (0, 0)
    assert resource.prlimit(number, resource.RLIMIT_AS) == (MEMORY, MEMORY)
    assert 0 < resource.prlimit(number, resource.RLIMIT_CPU)[0] < 60


def test_the_worker_loads_neither_torch_nor_streamlit_nor_a_database() -> None:
    code = "import sys, engine.imaging.guarded as g; g._preload(); print([m for m in sys.modules if '.' not in m])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert "'PIL'" in loaded
    assert not {name for name in ("torch", "streamlit", "sqlalchemy", "pandas", "sklearn") if f"'{name}'" in loaded}


def test_no_process_is_left_when_the_decoder_goes() -> None:
    decoder = GuardedDecoder()
    decoder.decode(film())
    folder = Path(f"/proc/{decoder.process_id}")
    assert folder.is_dir()
    del decoder
    assert not folder.exists()


def test_files_that_come_at_once_all_get_their_own_answer(decoder: GuardedDecoder) -> None:
    sides = list(range(40, 60))
    got = list(images.parallel(lambda side: decoder.decode(film(side=side)).pixels.shape, sides, workers=8))
    assert got == [(side, side) for side in sides]
