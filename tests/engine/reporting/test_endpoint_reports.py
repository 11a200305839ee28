"""Reports from an OpenAI-compatible server that may be slow, busy, broken or give invalid answers."""

import base64
import io
import time
from unittest.mock import ANY

import numpy as np
import pytest
from PIL import Image

from engine.errors import InputError
from engine.reporting.generators import Case, Failed, Generated, Options, endpoint, load
from engine.reporting.prompts import STRATEGIES
from tests.generated import in_order
from tests.stub_endpoint import Stub, stub_endpoint

BASIC = STRATEGIES["basic"]
CASE = Case(0.9, 0.5, pixels=np.arange(64 * 48, dtype=np.uint8).reshape(64, 48))


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0.02)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def asked(stub: Stub, count: int = 1, *, deadline: float = 5.0) -> list[Generated | Failed]:
    generator = load(f"openai:stub@{stub.url}", Options(deadline=deadline))
    return in_order(generator.generate([CASE] * count, BASIC))


def test_the_prompt_and_the_enlarged_picture_are_sent_and_the_answer_comes_back() -> None:
    with stub_endpoint(Stub()) as stub:
        (report,) = asked(stub)
    assert isinstance(report, Generated)
    assert (report.text, report.tokens, report.cut) == ("No pneumonia.", 7, False)
    (request,) = stub.asked
    text, picture = request["messages"][0]["content"]
    assert text["text"] == BASIC.text
    assert (request["model"], request["temperature"], request["seed"], request["max_tokens"]) == ("stub", 0, 0, 512)
    head, _, encoded = picture["image_url"]["url"].partition(",")
    shown = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert head == "data:image/png;base64" and shown.size == (512, 512) and shown.mode == "L"


def test_requests_go_out_together_and_answers_keep_their_order() -> None:
    with stub_endpoint(Stub(answer=lambda number: f"Report {number}.", seconds=0.2)) as stub:
        began = time.monotonic()
        reports = asked(stub, 16)
        took = time.monotonic() - began
    assert stub.at_once > 4 and took < 16 * 0.2
    assert all(isinstance(report, Generated) for report in reports) and len({str(r) for r in reports}) == 16


@pytest.mark.parametrize("trouble", [429, 500, 503, "break off"])
def test_a_passing_trouble_is_tried_again(trouble: str | int) -> None:
    with stub_endpoint(Stub(answer=lambda number: trouble if number < 2 else "Pneumonia.")) as stub:
        (report,) = asked(stub)
    assert isinstance(report, Generated) and report.text == "Pneumonia." and len(stub.asked) == 3


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (500, "no answer within 0.3 s: InternalServerError"),
        ("hang", "no answer within 0.3 s: APITimeoutError"),
        ("nonsense", "the answer is not a chat completion; check the URL"),
        ("no choices", "the answer is not a chat completion; check the URL"),
        ("no end of brackets", "the answer is not a chat completion; check the URL"),
        ("", "the answer is empty"),
        ("  \n", "the answer is empty"),
        (" \0 ", "the answer is empty"),
        ("word " * 20_000, "the answer has 99,999 characters; a report has at most 20,000"),
        (400, "the server refuses this request: BadRequestError: Error code: 400 - status 400"),
        (422, "the server refuses this request: UnprocessableEntityError: Error code: 422 - status 422"),
        ("drip a head", "no answer within 0.3 s: APITimeoutError"),
        ("drip a body", "no answer within 0.3 s: APITimeoutError"),
        ("drip an error", "no answer within 0.3 s: APITimeoutError"),
        ("flood", "the answer is invalid: APIError: it has more than 1,048,576 bytes"),
        ("flood with an error", "the answer is invalid: APIError: it has more than 1,048,576 bytes"),
    ],
)
def test_a_lasting_trouble_fails_this_report_alone_and_says_why(answer: str | int, reason: str) -> None:
    with stub_endpoint(Stub(answer=lambda number: answer)) as stub:
        began = time.monotonic()
        (report,) = asked(stub, deadline=0.3 if reason.startswith("no answer") else 2)
    assert isinstance(report, Failed) and report.reason.startswith(reason)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("told", [None, "many", 7.5, -1, 2**31, [], {}])
def test_words_are_counted_where_the_server_tells_no_number_of_tokens(told: object) -> None:
    with stub_endpoint(Stub(answer=lambda _: "Clear on both sides.", usage={"completion_tokens": told})) as stub:
        (report,) = asked(stub)
    assert isinstance(report, Generated) and report.tokens == 4


def test_a_caller_who_stops_waits_for_no_answer() -> None:
    with stub_endpoint(Stub(answer=lambda number: "hang" if number else "Clear.")) as stub:
        began = time.monotonic()
        parts = iter(load(f"openai:stub@{stub.url}", Options(concurrency=1)).generate([CASE] * 4, BASIC))
        assert next(parts) == {0: Generated("Clear.", ANY, 7)}
        del parts
    assert time.monotonic() - began < 2


def test_a_slow_answer_holds_up_none_of_those_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "TOGETHER", 0.2)
    with stub_endpoint(Stub(answer=lambda number: "slow" if number == 0 else "Clear.")) as stub:
        began = time.monotonic()
        parts = iter(load(f"openai:stub@{stub.url}", Options(concurrency=2)).generate([CASE] * 6, BASIC))
        first = next(parts)
        assert len(first) == 5 and time.monotonic() - began < 2
        (last,) = parts
    assert {*first, *last} == set(range(6)) and list(last.values()) == [Generated("slow", ANY, 7)]


def test_one_failure_among_many_leaves_the_others_whole() -> None:
    with stub_endpoint(Stub(answer=lambda number: "" if number == 3 else "Normal chest.")) as stub:
        reports = asked(stub, 8)
    assert sum(isinstance(report, Failed) for report in reports) == 1
    assert sum(isinstance(report, Generated) for report in reports) == 7


def test_a_report_that_stopped_at_its_limit_is_marked() -> None:
    with stub_endpoint(Stub(answer=lambda _: "The lungs are", finish="length")) as stub:
        (report,) = asked(stub)
    assert isinstance(report, Generated) and report.cut


@pytest.mark.parametrize(("status", "way_out"), [(401, "set OPENAI_API_KEY"), (404, "name a model that it serves")])
def test_a_refusal_stops_the_run_with_the_way_out_and_without_the_key(
    status: int, way_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-for-any-eyes")
    with stub_endpoint(Stub(answer=lambda _: status)) as stub, pytest.raises(InputError, match=way_out) as raised:
        asked(stub)
    assert stub.keys == ["Bearer not-for-any-eyes"]
    assert "not-for-any-eyes" not in str(raised.value)


NO_MAX_TOKENS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
NO_TEMPERATURE = (
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported."
)


@pytest.mark.parametrize(
    ("refused", "sent"),
    [
        ({"max_tokens": NO_MAX_TOKENS}, {"temperature": 0, "max_completion_tokens": 512, "seed": 0}),
        ({"temperature": NO_TEMPERATURE}, {"max_tokens": 512, "seed": 0}),
        (
            {"max_tokens": NO_MAX_TOKENS, "temperature": NO_TEMPERATURE},
            {"max_completion_tokens": 512, "seed": 0},
        ),
    ],
)
def test_a_server_that_takes_other_parameters_gets_those_and_is_asked_in_vain_once(
    refused: dict[str, str], sent: dict[str, int]
) -> None:
    with stub_endpoint(Stub(refused=refused)) as stub:
        generator = load(f"openai:stub@{stub.url}", Options(concurrency=1))
        asked_for = dict(generator.settings)
        for _ in range(2):
            reports = in_order(generator.generate([CASE] * 2, BASIC))
            assert all(isinstance(report, Generated) for report in reports)
    assert len(stub.asked) == 4 + len(refused)
    for request in stub.asked[len(refused) :]:
        assert {name: value for name, value in request.items() if name not in ("model", "messages")} == sent
    assert generator.settings == asked_for == {"temperature": 0, "max_tokens": 512, "seed": 0}


def test_a_parameter_that_is_refused_in_every_form_fails_this_report_alone_with_the_servers_words() -> None:
    refused = {"max_tokens": NO_MAX_TOKENS, "max_completion_tokens": "max_completion_tokens is too large: 512"}
    with stub_endpoint(Stub(refused=refused)) as stub:
        generator = load(f"openai:stub@{stub.url}")
        (report,) = in_order(generator.generate([CASE], BASIC))
        assert isinstance(report, Failed) and report.reason.endswith("max_completion_tokens is too large: 512")
        stub.refused = {}
        (report,) = in_order(generator.generate([CASE], BASIC))
    assert isinstance(report, Generated)
    assert [next(name for name in request if name.startswith("max")) for request in stub.asked] == [
        "max_tokens",
        "max_completion_tokens",
        "max_tokens",
    ]


def test_a_picture_that_is_refused_for_itself_changes_nothing_for_the_others() -> None:
    with stub_endpoint(Stub(answer=lambda number: 400 if number == 1 else "Clear.")) as stub:
        reports = in_order(load(f"openai:stub@{stub.url}", Options(concurrency=1)).generate([CASE] * 3, BASIC))
    assert [isinstance(report, Failed) for report in reports] == [False, True, False]
    assert all("max_tokens" in request and "temperature" in request for request in stub.asked)


def test_without_a_server_the_run_ends_at_the_first_deadline() -> None:
    with pytest.raises(
        InputError, match=r"http://127\.0\.0\.1:9/v1 cannot be reached .*failed.*; start it, or correct"
    ):
        list(load("openai:stub@http://127.0.0.1:9/v1", Options(deadline=0.3)).generate([CASE] * 4, BASIC))


@pytest.mark.parametrize(
    "name",
    [
        *("openai:", "openai:llava", "openai:@http://x/v1", "openai:llava@ftp://x/v1", "openai:llava@http:///v1"),
        *("openai:llava@http://x:99999/v1", "openai:llava@http://x:port/v1", "openai:llava@http://[::1/v1"),
    ],
)
def test_a_malformed_endpoint_is_shown_the_form(name: str) -> None:
    with pytest.raises(InputError, match="openai:MODEL@URL, such as"):
        load(name)


@pytest.mark.parametrize("name", ["openai:m@http://me:secret@host/v1", "openai:m@http://host/v1?key=secret"])
def test_a_secret_in_the_url_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(InputError, match="leave user names, passwords and keys out") as raised:
        load(name)
    assert "secret" not in str(raised.value)
