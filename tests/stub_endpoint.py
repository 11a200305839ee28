"""A server that speaks OpenAI's chat protocol, for tests: it answers as told, and remembers what it was asked.

python -m tests.stub_endpoint --seconds .2 serves one in a process of its own until its input ends.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.stub_server import served


@dataclass
class Stub:
    """answer: what the n-th request (from 0) is answered with: a text, an HTTP status, or a name of a misbehaviour.
    refused: parameter -> what a request that has it is told with a status of 400."""

    answer: Callable[[int], str | int] = lambda _: "No pneumonia."
    seconds: float = 0.0
    finish: str = "stop"
    usage: dict[str, Any] = field(default_factory=lambda: {"completion_tokens": 7})
    refused: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""
    at_once: int = 0
    """The most requests that were open at the same time."""
    open_now: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def stub_endpoint(stub: Stub) -> Iterator[Stub]:
    """The stub, served on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with stub.lock:
                number = len(stub.asked)
                stub.asked.append(body)
                stub.keys.append(self.headers.get("authorization"))
                stub.open_now += 1
                stub.at_once = max(stub.at_once, stub.open_now)
            try:
                time.sleep(stub.seconds)
                refusal = next((words for name, words in stub.refused.items() if name in body), None)
                if refusal is None:
                    self.reply(stub.answer(number))
                else:
                    self.send(400, json.dumps({"error": {"message": refusal}}).encode())
            except (BrokenPipeError, ConnectionResetError):
                pass
            finally:
                with stub.lock:
                    stub.open_now -= 1

        def pour(self, answer: str) -> None:
            """A head or a body that comes byte by byte for 3 s, or a body of 640 MB."""
            status = "500 Oops" if "error" in answer else "200 OK"
            self.wfile.write(f"HTTP/1.1 {status}\r\nx:".encode() + (b"" if "head" in answer else b"\r\n\r\n"))
            for _ in range(60 if "drip" in answer else 10_000):
                self.wfile.write(b" " if "drip" in answer else b" " * 2**16)
                time.sleep(0.05 if "drip" in answer else 0)

        def reply(self, answer: str | int) -> None:
            if isinstance(answer, str) and answer.startswith(("drip", "flood")):
                return self.pour(answer)
            if answer in ("hang", "slow"):
                time.sleep(3)
            if answer == "hang":
                return
            if answer == "break off":
                self.send_response(200)
                self.send_header("content-length", "1000")
                self.end_headers()
                self.wfile.write(b'{"choices": [')
                return
            status = answer if isinstance(answer, int) else 200
            message = {"role": "assistant", "content": answer}
            good = {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "stub",
                "choices": [{"index": 0, "message": message, "finish_reason": stub.finish}],
                "usage": {"prompt_tokens": 1, "total_tokens": 8, **stub.usage},
            }
            raw = json.dumps(good if status == 200 else {"error": {"message": f"status {status} \0\ud83d"}}).encode()
            if answer == "nonsense":
                raw = b"<html>not what you asked for</html>"
            if answer == "no choices":
                raw = b'{"id": "1", "choices": []}'
            if answer == "no end of brackets":
                raw = b"[" * 100_000
            self.send(status, raw)

        def send(self, status: int, raw: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            if status == 429:
                self.send_header("retry-after", "0.05")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    with served(Handler) as server:
        stub.url = f"http://127.0.0.1:{server.server_port}/v1"
        yield stub


def main() -> None:
    """Print the stub's URL and serve it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=0.0, help="time that an answer takes")
    options.add_argument("--text", default="No pneumonia.", help="what is answered")
    args = options.parse_args()
    with stub_endpoint(Stub(answer=lambda _: args.text, seconds=args.seconds)) as stub:
        print(stub.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
