"""Reports from a server that speaks OpenAI's chat protocol: vLLM, Ollama, LM Studio, llama.cpp, or OpenAI itself."""

import base64
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from httpx2 import ConnectError
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AuthenticationError,
    InternalServerError,
    NotFoundError,
    OpenAI,
    PermissionDeniedError,
    RateLimitError,
)

from engine.errors import InputError
from engine.reporting.generators import Case, Failed, Generated, Options, kept
from engine.reporting.generators.pictures import png
from engine.reporting.prompts import PromptStrategy

KEY = "OPENAI_API_KEY"
LONGEST = 20_000
"""Characters of an answer; no report is longer."""
LONGEST_NAME = 200
"""Characters that a report's row has for its model."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 20.0
"""Seconds between two tries: doubled each time, unless the server says how long."""
WAVES = 4
"""Requests handed over at a time, as a multiple of those that run at once, so that a slow one holds up few others."""
PASSING = (APIConnectionError, RateLimitError, InternalServerError)
"""Errors that another try may not meet; a timeout is a connection error."""
REFUSALS = (AuthenticationError, PermissionDeniedError, NotFoundError)
"""Errors that every other report would meet too."""


class Endpoint:
    """`openai:MODEL@URL`. The key, where the server wants one, is read from OPENAI_API_KEY and stored nowhere."""

    reads_pixels = True
    reads_prediction = False
    reads_nearest = 0

    def __init__(self, name: str, options: Options) -> None:
        self.model, self.url = parsed(name)
        self.name = name
        self.revision = self.model[:80]
        self.concurrency = options.concurrency
        self.batch_size = WAVES * options.concurrency
        self.deadline = options.deadline
        self.settings: Mapping[str, Any] = MappingProxyType(
            {"temperature": 0, "max_tokens": options.max_tokens, "seed": options.seed}
        )
        self.client = OpenAI(api_key=os.environ.get(KEY) or "none", base_url=self.url, max_retries=0)

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> Iterator[Generated | Failed]:
        """One report for each case, in order and as they come. Raises InputError where the server refuses, or is not
        there by the deadline; then, and where the caller stops, what was not yet asked is not asked."""
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="endpoint")
        try:
            yield from pool.map(partial(self._one, prompt=prompt), cases)
        finally:
            pool.shutdown(cancel_futures=True)

    def _one(self, case: Case, *, prompt: PromptStrategy) -> Generated | Failed:
        """Ask until there is an answer, the deadline has passed, or the server says no."""
        began = time.monotonic()
        wait = FIRST_WAIT
        while True:
            left = self.deadline - (time.monotonic() - began)
            try:
                return self._asked(case, prompt, seconds=max(left, 0.1), began=began)
            except REFUSALS as error:
                raise InputError(f"{self.url} refuses model '{self.model}': {told(error)}; {way_out(error)}") from error
            except PASSING as error:
                pause = min(asked_to_wait(error) or wait, LONGEST_WAIT)
                if time.monotonic() - began + pause >= self.deadline:
                    if isinstance(error.__cause__, ConnectError):
                        way = "start it, or correct its URL"
                        raise InputError(f"{self.url} cannot be reached ({error.__cause__}); {way}") from error
                    return Failed(f"no answer within {self.deadline:g} s: {told(error)}")
                time.sleep(pause)
                wait *= 2
            except APIError as error:
                return Failed(f"the answer makes no sense: {told(error)}")
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                return Failed("the answer is no chat completion; is the URL whole? Most servers answer below /v1")

    def _asked(self, case: Case, prompt: PromptStrategy, *, seconds: float, began: float) -> Generated | Failed:
        assert case.pixels is not None
        picture = base64.b64encode(png(case.pixels)).decode()
        answer = self.client.chat.completions.create(
            model=self.model,
            timeout=seconds,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": prompt.text},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
                    ],
                }
            ],
            **self.settings,
        )
        choice = answer.choices[0]
        text = kept(choice.message.content or "").strip()
        if not text:
            return Failed("the answer is empty")
        if len(text) > LONGEST:
            return Failed(f"the answer has {len(text):,} characters; a report has at most {LONGEST:,}")
        tokens = counted(answer.usage, text)
        return Generated(text, time.monotonic() - began, tokens, cut=choice.finish_reason == "length")


def parsed(name: str) -> tuple[str, str]:
    """Model and URL of 'openai:MODEL@URL'. Raises InputError that shows the form, or where the URL holds a secret."""
    model, at, url = name.removeprefix("openai:").partition("@http")
    url = f"http{url}"
    parts = urlsplit(url)
    if not (model and at and parts.scheme in ("http", "https") and parts.hostname):
        raise InputError("an endpoint is written openai:MODEL@URL, such as openai:llava@http://127.0.0.1:11434/v1")
    if "@" in parts.netloc or parts.query:
        raise InputError(f"leave user names, passwords and keys out of the URL; put the key into {KEY}")
    if len(name) > LONGEST_NAME:
        raise InputError(f"model and URL of an endpoint have at most {LONGEST_NAME} characters together")
    return model, url


def counted(usage: Any, text: str) -> int:
    """Tokens as the server counts them; the text's words where it tells no number, or none that a row can hold."""
    number = getattr(usage, "completion_tokens", None)
    return number if isinstance(number, int) and 0 <= number < 2**31 else len(text.split())


def asked_to_wait(error: APIError) -> float | None:
    """Seconds that the server asks for in Retry-After, where it does in seconds."""
    if not isinstance(error, APIStatusError):
        return None
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None


def told(error: Exception) -> str:
    """The error in one line of at most 200 characters that can be kept, without the key."""
    said = kept(f"{type(error).__name__}: {error}").replace(os.environ.get(KEY) or "\0", "[secret]")
    return " ".join(said.split())[:200]


def way_out(error: APIError) -> str:
    """What to do about a refusal."""
    return "name a model that it serves" if isinstance(error, NotFoundError) else f"set {KEY} to a key that it takes"
