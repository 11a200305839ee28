"""Reports from a server that speaks OpenAI's chat protocol: vLLM, Ollama, LM Studio, llama.cpp, or OpenAI itself."""

import base64
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio
from anyio.from_thread import start_blocking_portal
from httpx2 import URL, AsyncByteStream, ConnectError, InvalidURL, Request, Response, create_ssl_context
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    DefaultAsyncHttpxClient,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from openai.types.chat import ChatCompletion

from engine.errors import InputError
from engine.reporting.generators import Case, Failed, Generated, Options, Outcome, storable
from engine.reporting.generators.pictures import png
from engine.reporting.prompts import PromptStrategy

T = TypeVar("T")
KEY = "OPENAI_API_KEY"
LONGEST = 20_000
"""Maximum number of characters of an answer; longer ones are rejected."""
MOST = 2**20
"""Maximum size of a response in bytes, enough for any answer of LONGEST characters."""
LONGEST_NAME = 200
"""Maximum length of a model's name in the database."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 20.0
"""First and longest pause between retries, in seconds: doubled each time, unless the server asks for another."""
WAVES = 4
"""Batch size as a multiple of the concurrency, so that a slow request delays few others."""
TOGETHER = 1.0
"""Time in seconds that an answer waits for others, to be stored together."""
PASSING = (APIConnectionError, RateLimitError, InternalServerError)
"""Temporary errors, which are retried; a timeout is a connection error."""
REFUSALS = (AuthenticationError, PermissionDeniedError, NotFoundError)
"""Errors that would affect every other report too."""
UNACCEPTABLE = (BadRequestError, UnprocessableEntityError)
"""Errors about the request's content: a parameter, or this image."""
INSTEAD = {"max_tokens": "max_completion_tokens", "temperature": None}
"""Replacements for parameters that a server rejects, None to leave it out. OpenAI's reasoning models reject both."""


class Endpoint:
    """`openai:MODEL@URL`. The API key, if the server needs one, is read from OPENAI_API_KEY and stored nowhere."""

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
        self.parameters: Mapping[str, Any] = self.settings  # adapted to what this server accepts
        self.ssl_context = create_ssl_context()  # once, because it takes longer than the rest of a batch

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> Iterator[dict[int, Outcome]]:
        """One outcome for each case, in order of arrival. Raises InputError if the server refuses all requests or
        cannot be reached by the deadline. Then, and if the caller stops early, pending requests are cancelled."""
        came: SimpleQueue[tuple[int, Future[Outcome]]] = SimpleQueue()
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(self._client()) as client:
            turns = anyio.Semaphore(self.concurrency)
            answers = [portal.start_task_soon(self._one, client, turns, case, prompt) for case in cases]
            for place, answer in enumerate(answers):
                answer.add_done_callback(partial(_arrive, came, place))
            try:
                left = len(answers)
                while left:
                    part = together(came, most=left)
                    errors = [error for _, answer in part if (error := answer.exception()) is not None]
                    if len(errors) < len(part):
                        yield {place: answer.result() for place, answer in part if answer.exception() is None}
                    if errors:
                        raise errors[0]
                    left -= len(part)
            finally:
                for answer in answers:
                    answer.cancel()

    def _client(self) -> AsyncOpenAI:
        return AsyncOpenAI(
            api_key=os.environ.get(KEY) or "none",
            base_url=self.url,
            max_retries=0,
            default_headers={"accept-encoding": "identity"},  # so that the size limit applies to the decoded bytes
            http_client=DefaultAsyncHttpxClient(verify=self.ssl_context, event_hooks={"response": [bound]}),
        )

    async def _one(self, client: AsyncOpenAI, turns: anyio.Semaphore, case: Case, prompt: PromptStrategy) -> Outcome:
        """Request until there is an answer, the deadline has passed, or the server refuses (InputError)."""
        assert case.pixels is not None
        async with turns:
            began = time.monotonic()
            picture = base64.b64encode(await anyio.to_thread.run_sync(png, case.pixels)).decode()
            wait, parameters = FIRST_WAIT, self.parameters
            while True:
                left = self.deadline - (time.monotonic() - began)
                try:
                    answer = await self._asked(client, picture, prompt, parameters, seconds=max(left, 0.1))
                    if parameters != self.settings:
                        self.parameters = parameters  # so that later requests are not rejected first
                    return report(answer, seconds=time.monotonic() - began)
                except REFUSALS as error:
                    message = f"{self.url} refuses model '{self.model}': {one_line(error)}; {advice(error)}"
                    raise InputError(message) from error
                except PASSING as error:
                    pause = min(asked_to_wait(error) or wait, LONGEST_WAIT)
                    if time.monotonic() - began + pause >= self.deadline:
                        if isinstance(error.__cause__, ConnectError):
                            way = "start it, or correct its URL"
                            raise InputError(f"{self.url} cannot be reached ({error.__cause__}); {way}") from error
                        return Failed(f"no answer within {self.deadline:g} s: {one_line(error)}")
                    await anyio.sleep(pause)
                    wait *= 2
                except UNACCEPTABLE as error:
                    others = without_refused(parameters, error)
                    if others is None:
                        return Failed(f"the server refuses this request: {one_line(error)}")
                    parameters = others
                except APIError as error:
                    return Failed(f"the answer is invalid: {one_line(error)}")
                except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                    return Failed("the answer is not a chat completion; check the URL, which mostly ends in /v1")

    async def _asked(
        self,
        client: AsyncOpenAI,
        picture: str,
        prompt: PromptStrategy,
        parameters: Mapping[str, Any],
        *,
        seconds: float,
    ) -> ChatCompletion:
        """The server's answer. Raises APIError; APITimeoutError if everything from connecting to the last byte takes
        longer than `seconds`."""
        content: Any = [
            {"type": "text", "text": prompt.text},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
        ]
        try:
            with anyio.fail_after(seconds):  # the client's own timeout applies to each read
                answer: ChatCompletion = await client.chat.completions.create(
                    model=self.model, timeout=seconds, messages=[{"role": "user", "content": content}], **parameters
                )
                return answer
        except TimeoutError as error:
            raise APITimeoutError(Request("POST", self.url)) from error


def _arrive(came: "SimpleQueue[tuple[int, Future[Outcome]]]", place: int, answer: "Future[Outcome]") -> None:
    came.put((place, answer))


def together(came: "SimpleQueue[T]", *, most: int) -> list[T]:
    """The items that arrive within TOGETHER seconds of the first one, at most `most`."""
    found = [came.get()]
    until = time.monotonic() + TOGETHER
    with suppress(Empty):
        while len(found) < most:
            found.append(came.get(timeout=max(until - time.monotonic(), 0.0)))
    return found


class Bounded(AsyncByteStream):
    """A response's body as a stream that raises APIError beyond MOST bytes."""

    def __init__(self, response: Response) -> None:
        assert isinstance(response.stream, AsyncByteStream)
        self.body, self.request = response.stream, response.request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for part in self.body:
            count += len(part)
            if count > MOST:
                raise APIError(f"it has more than {MOST:,} bytes", self.request, body=None)
            yield part

    async def aclose(self) -> None:
        """Close the connection, whether or not the body was read to its end."""
        await self.body.aclose()


async def bound(response: Response) -> None:
    """Limit the body of a response of any status to MOST bytes."""
    response.stream = Bounded(response)


def report(answer: ChatCompletion, *, seconds: float) -> Outcome:
    """The report in an answer, or why there is none. Raises AttributeError, LookupError or TypeError if the answer is
    not a chat completion, because the client does not validate it."""
    choice = answer.choices[0]
    text = storable(choice.message.content or "").strip()
    if not text:
        return Failed("the answer is empty")
    if len(text) > LONGEST:
        return Failed(f"the answer has {len(text):,} characters; a report has at most {LONGEST:,}")
    return Generated(text, seconds, counted(answer.usage, text), cut=choice.finish_reason == "length")


def parsed(name: str) -> tuple[str, str]:
    """(model, URL) of 'openai:MODEL@URL'. Raises InputError if the form is wrong, the URL contains a user name,
    password or query, or the name is too long."""
    model, at, url = name.removeprefix("openai:").partition("@http")
    url = f"http{url}"
    try:
        parts = urlsplit(url)
        whole = model and at and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        URL(url)  # stricter than urlsplit
    except (ValueError, InvalidURL):  # such as a port that is not a number or too large
        whole = False
    if not whole:
        raise InputError("an endpoint is written openai:MODEL@URL, such as openai:llava@http://127.0.0.1:11434/v1")
    if "@" in parts.netloc or parts.query:
        raise InputError(f"leave user names, passwords and keys out of the URL; put the key into {KEY}")
    if len(name) > LONGEST_NAME:
        raise InputError(f"model and URL of an endpoint have at most {LONGEST_NAME} characters together")
    return model, url


def counted(usage: Any, text: str) -> int:
    """The server's token count; the number of words if it gives none, or none that the database can store."""
    number = getattr(usage, "completion_tokens", None)
    return number if isinstance(number, int) and 0 <= number < 2**31 else len(text.split())


def without_refused(parameters: Mapping[str, Any], error: APIError) -> dict[str, Any] | None:
    """The parameters without one that the server's error rejects, or with its replacement; None if it names none."""
    message = f"{error.param} {error}"
    for name, other in INSTEAD.items():
        if name in parameters and any(word in message for word in (name, other) if word):
            left = {one: value for one, value in parameters.items() if one != name}
            return left | ({other: parameters[name]} if other else {})
    return None


def asked_to_wait(error: APIError) -> float | None:
    """The pause in seconds that the server requests in Retry-After; None if it gives none in seconds."""
    if not isinstance(error, APIStatusError):
        return None
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None


def one_line(error: Exception) -> str:
    """The error on one storable line of at most 200 characters, with the API key removed."""
    text = storable(f"{type(error).__name__}: {error}").replace(os.environ.get(KEY) or "\0", "[secret]")
    return " ".join(text.split())[:200]


def advice(error: APIError) -> str:
    """What to do about a refusal."""
    return "name a model that it serves" if isinstance(error, NotFoundError) else f"set {KEY} to a key that it takes"
