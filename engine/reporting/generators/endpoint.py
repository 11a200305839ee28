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
"""Characters of an answer; no report is longer."""
MOST = 2**20
"""Bytes of a response; no answer of LONGEST characters takes more."""
LONGEST_NAME = 200
"""Characters that a report's row has for its model."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 20.0
"""Seconds between two tries: doubled each time, unless the server says how long."""
WAVES = 4
"""Requests handed over at a time, as a multiple of those that run at once, so that a slow one holds up few others."""
TOGETHER = 1.0
"""Seconds that an answer waits for others, to be stored with them."""
PASSING = (APIConnectionError, RateLimitError, InternalServerError)
"""Errors that another try may not meet; a timeout is a connection error."""
REFUSALS = (AuthenticationError, PermissionDeniedError, NotFoundError)
"""Errors that every other report would meet too."""
UNACCEPTABLE = (BadRequestError, UnprocessableEntityError)
"""Errors of servers that do not take what they are sent: a parameter, or this one picture."""
INSTEAD = {"max_tokens": "max_completion_tokens", "temperature": None}
"""What takes the place of a parameter that a server does not take, if anything. OpenAI's reasoning models take neither
of these two."""


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
        self.parameters: Mapping[str, Any] = self.settings  # as far as this server takes them
        self.trusted = create_ssl_context()  # once, for it takes longer than all else that a batch needs

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> Iterator[dict[int, Outcome]]:
        """One report for each case, as they come, whatever order they come in. Raises InputError where the server
        refuses, or is not there by the deadline; then, and where the caller stops, what is not yet answered is given
        up."""
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
            default_headers={"accept-encoding": "identity"},  # so that the bytes that come are those that are held
            http_client=DefaultAsyncHttpxClient(verify=self.trusted, event_hooks={"response": [bound]}),
        )

    async def _one(self, client: AsyncOpenAI, turns: anyio.Semaphore, case: Case, prompt: PromptStrategy) -> Outcome:
        """Ask until there is an answer, the deadline has passed, or the server says no."""
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
                        self.parameters = parameters  # so that the later ones are not refused first
                    return report(answer, seconds=time.monotonic() - began)
                except REFUSALS as error:
                    said = f"{self.url} refuses model '{self.model}': {told(error)}; {way_out(error)}"
                    raise InputError(said) from error
                except PASSING as error:
                    pause = min(asked_to_wait(error) or wait, LONGEST_WAIT)
                    if time.monotonic() - began + pause >= self.deadline:
                        if isinstance(error.__cause__, ConnectError):
                            way = "start it, or correct its URL"
                            raise InputError(f"{self.url} cannot be reached ({error.__cause__}); {way}") from error
                        return Failed(f"no answer within {self.deadline:g} s: {told(error)}")
                    await anyio.sleep(pause)
                    wait *= 2
                except UNACCEPTABLE as error:
                    others = without_refused(parameters, error)
                    if others is None:
                        return Failed(f"the server refuses this request: {told(error)}")
                    parameters = others
                except APIError as error:
                    return Failed(f"the answer makes no sense: {told(error)}")
                except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                    return Failed("the answer is no chat completion; is the URL whole? Most servers answer below /v1")

    async def _asked(
        self,
        client: AsyncOpenAI,
        picture: str,
        prompt: PromptStrategy,
        parameters: Mapping[str, Any],
        *,
        seconds: float,
    ) -> ChatCompletion:
        """What the server answers. Raises an APIError, of which APITimeoutError where the whole of it, connecting and
        the last byte included, takes longer than `seconds`."""
        content: Any = [
            {"type": "text", "text": prompt.text},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
        ]
        try:
            with anyio.fail_after(seconds):  # the client's own timeout is one for each read
                answer: ChatCompletion = await client.chat.completions.create(
                    model=self.model, timeout=seconds, messages=[{"role": "user", "content": content}], **parameters
                )
                return answer
        except TimeoutError as error:
            raise APITimeoutError(Request("POST", self.url)) from error


def _arrive(came: "SimpleQueue[tuple[int, Future[Outcome]]]", place: int, answer: "Future[Outcome]") -> None:
    came.put((place, answer))


def together(came: "SimpleQueue[T]", *, most: int) -> list[T]:
    """What comes within TOGETHER seconds of the first, at most so many."""
    found = [came.get()]
    until = time.monotonic() + TOGETHER
    with suppress(Empty):
        while len(found) < most:
            found.append(came.get(timeout=max(until - time.monotonic(), 0.0)))
    return found


class Bounded(AsyncByteStream):
    """A response's body as it comes. Raises APIError where it has more than MOST bytes."""

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
        await self.body.aclose()


async def bound(response: Response) -> None:
    """Have the response, whatever its status, read no further than MOST bytes."""
    response.stream = Bounded(response)


def report(answer: ChatCompletion, *, seconds: float) -> Outcome:
    """The report that an answer holds, or why it holds none. Raises AttributeError, LookupError or TypeError where the
    answer is no chat completion, for the client checks none."""
    choice = answer.choices[0]
    text = storable(choice.message.content or "").strip()
    if not text:
        return Failed("the answer is empty")
    if len(text) > LONGEST:
        return Failed(f"the answer has {len(text):,} characters; a report has at most {LONGEST:,}")
    return Generated(text, seconds, counted(answer.usage, text), cut=choice.finish_reason == "length")


def parsed(name: str) -> tuple[str, str]:
    """Model and URL of 'openai:MODEL@URL'. Raises InputError that shows the form, or where the URL holds a secret."""
    model, at, url = name.removeprefix("openai:").partition("@http")
    url = f"http{url}"
    try:
        parts = urlsplit(url)
        whole = model and at and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        URL(url)  # is stricter than urlsplit
    except (ValueError, InvalidURL):  # such as a port that is no number, or too large a one
        whole = False
    if not whole:
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


def without_refused(parameters: Mapping[str, Any], error: APIError) -> dict[str, Any] | None:
    """The parameters in the form that the server takes, as far as its refusal names one; None where it names none."""
    said = f"{error.param} {error}"
    for name, other in INSTEAD.items():
        if name in parameters and any(word in said for word in (name, other) if word):
            left = {one: value for one, value in parameters.items() if one != name}
            return left | ({other: parameters[name]} if other else {})
    return None


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
    said = storable(f"{type(error).__name__}: {error}").replace(os.environ.get(KEY) or "\0", "[secret]")
    return " ".join(said.split())[:200]


def way_out(error: APIError) -> str:
    """What to do about a refusal."""
    return "name a model that it serves" if isinstance(error, NotFoundError) else f"set {KEY} to a key that it takes"
