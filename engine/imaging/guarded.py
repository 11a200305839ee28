"""Decoding untrusted images in a separate process, which may crash, hang or run out of memory.

The worker (`python -m engine.imaging.guarded MEMORY SECONDS`) receives the file's bytes through a pipe and sends back
raw pixels; nothing is pickled. Its environment holds no secrets, and once its libraries are loaded it cannot open files
or sockets.
"""

import codecs
import io
import math
import os
import struct
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from engine.errors import InputError, UnreadableImageError
from engine.imaging.images import MAX_PIXELS, Decoded, Pixels, decode

SECONDS = 10.0
"""Time limit for one file; 64 million pixels with transparency take 3.5 s."""
MEMORY = 2 * 2**30
"""Address space of the worker in bytes; 64 million pixels take 1.1 GiB in colour, 1.3 at 16 bits, 1.9 as floats."""
STARTING = 60.0
"""Time limit in seconds for loading the worker's libraries, generous enough for a busy machine."""
REASONS = ("empty", "not-an-image", "broken", "truncated", "too-large", "unsupported")
KEPT = ("LD_LIBRARY_PATH", "SYSTEMROOT")
"""Environment variables that the interpreter may need to start; the worker gets none of the server's others."""
READY = b"\x06"
SIZE = struct.Struct("<Q")
ANSWER = struct.Struct("<BIIH")
"""kind, height, width, bytes of text; the text and the pixels follow."""
PICTURE, REFUSED, EXHAUSTED = range(3)
ADVICE = "save it as an 8-bit PNG or JPEG and try again"


class GuardedDecoder:
    """A warm worker process that decodes one file at a time; it is replaced when it dies or takes too long."""

    def __init__(self, *, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        """Start a worker without waiting for it. seconds: time limit for one file. memory: address space in bytes."""
        self._seconds = seconds
        self._command = [sys.executable, "-m", "engine.imaging.guarded", str(memory), str(math.ceil(seconds))]
        self._memory = memory
        self._lock = threading.Lock()
        self._start()

    @property
    def process_id(self) -> int:
        """The worker's process id."""
        return self._worker.pid

    def decode(self, data: bytes) -> Decoded:
        """The decoded image, as from `engine.imaging.images.decode`.

        Raises UnreadableImageError as that does, also with reason broken if the decoder crashed on the file and
        too-large if it ran out of memory or time; InputError if no worker can be started.
        """
        with self._lock:
            if self._worker.poll() is not None:
                self._restart()
            self._await_start()
            late = threading.Event()
            watch = threading.Timer(self._seconds, _give_up, [self._worker, late])
            watch.start()
            try:
                return self._ask(data)
            except (EOFError, OSError) as error:
                self._end()
                if late.is_set():
                    detail = f"decoding it takes more than {self._seconds:g} s; {ADVICE}"
                    raise UnreadableImageError("too-large", detail) from error
                raise UnreadableImageError("broken", f"the decoder crashed on this file; {ADVICE}") from error
            finally:
                watch.cancel()
                watch.join()
                if late.is_set() or not self._end.alive:
                    self._restart()

    def _ask(self, data: bytes) -> Decoded:
        """Send the file and read the answer. Raises EOFError or OSError if the worker died."""
        asked, answered = self._pipes()
        asked.write(SIZE.pack(len(data)))
        asked.write(data)
        asked.flush()
        kind, height, width, length = ANSWER.unpack(_exactly(answered, ANSWER.size))
        text = " ".join(_exactly(answered, length).decode(errors="replace").split())
        if kind == PICTURE and 0 < height * width <= MAX_PIXELS:
            pixels = np.empty((height, width), np.uint8)
            _fill(answered, pixels)
            return Decoded(pixels, text)
        if kind == REFUSED:
            reason, _, detail = text.partition(" ")
            raise UnreadableImageError(reason if reason in REASONS else "broken", detail)
        if kind == EXHAUSTED:
            self._end()
            limit = f"{self._memory / 2**30:.1f} GiB"
            raise UnreadableImageError("too-large", f"decoding it needs more than {limit} of memory; {ADVICE}")
        raise EOFError("the worker sent an invalid answer")

    def _start(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self._worker = subprocess.Popen(
            self._command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=root, env=environment
        )
        self._end = weakref.finalize(self, _end, self._worker)
        self._started = False

    def _restart(self) -> None:
        """Replace the worker by a new one, whose libraries load in the background."""
        self._end()
        self._start()

    def _await_start(self) -> None:
        if self._started:
            return
        watch = threading.Timer(STARTING, self._worker.kill)
        watch.start()
        try:
            self._started = self._pipes()[1].read(1) == READY
        finally:
            watch.cancel()
        if not self._started:
            self._restart()
            raise InputError("the process that decodes uploads does not start; try again, or restart the dashboard")

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._worker.stdin is not None and self._worker.stdout is not None
        return self._worker.stdin, self._worker.stdout


def _give_up(worker: "subprocess.Popen[bytes]", late: threading.Event) -> None:
    late.set()
    worker.kill()


def _end(worker: "subprocess.Popen[bytes]") -> None:
    """Kill the worker and close its pipes."""
    worker.kill()
    for pipe in (worker.stdin, worker.stdout):
        with suppress(OSError):  # flushing data to a dead worker fails
            assert pipe is not None
            pipe.close()
    worker.wait()


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("the worker's answer breaks off")
    return data


def _fill(stream: IO[bytes], pixels: Pixels) -> None:
    rest = pixels.data.cast("B")
    while rest:
        count = stream.readinto(rest)  # type: ignore[attr-defined]  # a BufferedReader, which typeshed calls IO
        if not count:
            raise EOFError("the worker's answer breaks off")
        rest = rest[count:]


def serve(memory: int, seconds: int) -> None:
    """The worker's loop: answer one file after another until the input ends or memory runs out."""
    asked, answered = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not write into an answer
    _preload()
    _limit(memory)
    answered.write(READY)
    answered.flush()
    while len(size := asked.read(SIZE.size)) == SIZE.size:
        _limit_time(seconds)
        data = asked.read(SIZE.unpack(size)[0])
        kind, text, pixels = _answered(data)
        raw = text.encode()[:4096]
        height, width = pixels.shape
        answered.write(ANSWER.pack(kind, height, width, len(raw)) + raw)
        answered.write(np.ascontiguousarray(pixels).data.cast("B") if pixels.size else b"")
        answered.flush()
        if kind == EXHAUSTED:
            return


def _answered(data: bytes) -> tuple[int, str, Pixels]:
    nothing = np.empty((0, 0), np.uint8)
    try:
        decoded = decode(data)
    except MemoryError:
        return EXHAUSTED, "", nothing
    except UnreadableImageError as error:
        return REFUSED, f"{error.reason} {error}", nothing
    return PICTURE, decoded.source_format, decoded.pixels


def _preload() -> None:
    """Load everything that decoders import lazily, because no file can be opened afterwards."""
    from PIL import Image
    from pydicom import charset
    from pydicom.pixels import get_decoder

    from engine.imaging.dicom import DECODERS

    Image.init()
    for syntax in DECODERS:
        get_decoder(syntax)
    for name in {*charset.python_encoding.values(), "utf-8", "latin-1", "ascii", "utf-16"}:
        with suppress(LookupError):
            codecs.lookup(name)
    for kind, mode in (("PNG", "I;16"), ("JPEG", "L"), ("TIFF", "F"), ("WEBP", "RGBA"), ("JPEG2000", "L")):
        sample = io.BytesIO()
        Image.new(mode, (8, 8)).save(sample, kind)
        decode(sample.getvalue())


def _limit(memory: int) -> None:
    """Forbid opening files and sockets, growing files, core dumps and new processes; cap memory at `memory` bytes."""
    with suppress(ImportError):  # Windows has no such limits; the separate process is the only protection there
        import resource

        limits = {"RLIMIT_AS": memory, "RLIMIT_NOFILE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0, "RLIMIT_NPROC": 0}
        for name, limit in limits.items():
            with suppress(ValueError, OSError, AttributeError):  # macOS does not accept RLIMIT_AS
                resource.setrlimit(getattr(resource, name), (limit, limit))


def _limit_time(seconds: int) -> None:
    """Have the system kill this process if the next file takes over `seconds` of CPU time, even without a parent."""
    with suppress(ImportError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = math.ceil(used.ru_utime + used.ru_stime) + seconds + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
