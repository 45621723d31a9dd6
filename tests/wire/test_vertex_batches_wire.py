"""Batches of Vertex AI by the real SDK and Cloud Storage's JSON API, against the twin and against what may go wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.oauth2.credentials import Credentials

from ragkit.batch import Line, Result
from ragkit.batches.cloud_storage import CloudStorage, GoogleToken, split
from ragkit.batches.registry import open_batch_api
from ragkit.batches.vertex import THINKING, VertexBatches
from ragkit.errors import AuthFailed, BadRequest, ConfigError, ProviderError, RateLimited, Unavailable
from ragkit.nouns import Chunk, Effort, Model, Prompt, Request, Usage
from ragkit.prompt import render
from ragkit.providers.gemini import Gemini, Vertex
from ragkit.settings import ProvidersSettings
from ragkit.structured import answer_schema
from ragkit_eval.twin import Fault, Options, RunningTwin, running_twin
from service_account import use_account, write_account

MODEL = "gemini-3.8-flash"
MARKER = "0123456789abcdef-0"
BUCKET = "bucket-1/batches"
DONE = 700
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
PUMP = Chunk("c1", "d1", "manual.md", "The warranty of the pump lasts seven years.", 0, 43, 0, 10)


def request(question: str = "How long is the warranty of the pump?", effort: Effort | None = "low") -> Request:
    prompt: Prompt = render(question, [PUMP])
    return Request(prompt, Model(MODEL, "gemini", "small", MODEL, 400, effort), answer_schema().schema, 400)


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


def vertex(token: str = "token-1") -> Vertex:
    return Vertex("project-1", "global", Credentials(token=token))  # type: ignore[no-untyped-call]


@asynccontextmanager
async def opened(twin: RunningTwin) -> AsyncIterator[VertexBatches]:
    storage_url = twin.base_url("storage")
    api = VertexBatches(vertex(), f"gs://{BUCKET}/", base_url=twin.base_url("gemini"), storage_url=storage_url)
    try:
        yield api
    finally:
        await api.aclose()


def lines(api: VertexBatches, number: int = 3) -> list[Line]:
    return [Line(f"{MARKER}-{place}", api.body(request())) for place in range(number)]


async def results(api: VertexBatches, job: str) -> dict[str, Result]:
    return {result.name: result async for result in api.results(job)}


def billed(twin: RunningTwin) -> Usage:
    return sum(
        (
            Usage(input=it.usage.get("input", 0), cache_read=it.usage.get("read", 0), output=it.usage.get("output", 0))
            for it in twin.invoice.lines
        ),
        Usage(),
    )


async def test_answers_find_their_lines_again_and_cost_half(twin: RunningTwin) -> None:
    async with opened(twin) as api:
        job = await api.submit(MARKER, MODEL, lines(api))
        assert (await api.progress(job)).progress == "running"
        twin.clock.advance(DONE)
        ended = await api.progress(job)
        found = await results(api, job)
    assert (ended.progress, ended.total, ended.done) == ("ended", 3, 3)
    assert ended.ended is not None and ended.ended <= twin.clock.now()
    assert list(found) == [f"{MARKER}-{place}" for place in (2, 1, 0)], "answers keep no order"
    completions = [result.completion for result in found.values()]
    assert all(it is not None and "seven years" in it.text and it.lane == "batch" for it in completions)
    usage = sum((it.usage for it in completions if it is not None), Usage())
    assert replace(usage, reasoning=0) == billed(twin)
    assert {line.lane for line in twin.invoice.lines} == {"batch"}


async def test_the_file_says_what_the_sdk_says_on_the_live_lane() -> None:
    """No SDK translates what stands in a file, so its own request is the measure."""
    seen: list[Any] = []

    def respond(asked: httpx2.Request) -> httpx2.Response:
        seen.append(json.loads(asked.content))
        return httpx2.Response(500, json={})

    for effort, model in (("low", MODEL), ("none", "gemini-2.5-flash-lite"), (None, MODEL)):
        asked = request(effort=effort)  # type: ignore[arg-type]
        asked = replace(asked, model=replace(asked.model, id=model))
        live = Gemini(http=httpx2.AsyncClient(transport=httpx2.MockTransport(respond)), vertex=vertex())
        with pytest.raises(Unavailable):
            await live.complete(asked)
        await live.aclose()
        api = VertexBatches(vertex(), BUCKET)
        thinking = seen[-1]["generationConfig"].get("thinkingConfig")  # which the SDK leaves in its own spelling
        if thinking is not None:
            seen[-1]["generationConfig"]["thinkingConfig"] = {THINKING[name]: told for name, told in thinking.items()}
        assert api.body(asked) == seen[-1]
        await api.aclose()


async def test_a_submission_whose_answer_was_lost_is_found_by_its_marker(twin: RunningTwin) -> None:
    async with opened(twin) as api:
        assert await api.find(MARKER, 3, LONG_AGO) == ()
        job = await api.submit(MARKER, MODEL, lines(api))
        await api.submit("another-0", MODEL, lines(api, 1))
        assert await api.find(MARKER, 3, LONG_AGO) == (job,)


@pytest.mark.parametrize(
    ("kind", "expected", "said"),
    [
        ("permission", AuthFailed, "Storage Object User on the bucket 'bucket-1'"),
        ("not_found", BadRequest, "make the bucket 'bucket-1'"),
        ("auth", AuthFailed, "gcloud auth application-default login"),
        ("rate_limit", RateLimited, "limits the rate"),
        ("unavailable", Unavailable, "overloaded or broken"),
        ("reset", Unavailable, "did not answer"),
    ],
)
async def test_where_the_file_is_not_taken_nothing_is_created(
    twin: RunningTwin, kind: str, expected: type[ProviderError], said: str
) -> None:
    twin.faults.set([Fault(kind, protocol="storage")])
    async with opened(twin) as api:
        with pytest.raises(ProviderError, match=said) as caught:
            await api.submit(MARKER, MODEL, lines(api))
        assert await api.find(MARKER, 3, LONG_AGO) == ()
    assert type(caught.value) is expected
    assert not caught.value.sent
    assert "token-1" not in str(caught.value)


@pytest.mark.parametrize(("kind", "sent"), [("reset", True), ("rate_limit", True), ("bad_request", True)])
async def test_where_the_job_is_not_taken_that_is_said(twin: RunningTwin, kind: str, sent: bool) -> None:
    twin.faults.set([Fault(kind, path="/batchPredictionJobs")])
    async with opened(twin) as api:
        with pytest.raises(ProviderError) as caught:
            await api.submit(MARKER, MODEL, lines(api))
    assert caught.value.sent is sent


async def test_the_same_submission_again_writes_the_same_file(twin: RunningTwin) -> None:
    async with opened(twin) as api:
        twin.faults.set([Fault("rate_limit", path="/batchPredictionJobs", times=1)])
        with pytest.raises(RateLimited):
            await api.submit(MARKER, MODEL, lines(api))
        job = await api.submit(MARKER, MODEL, lines(api))
        twin.clock.advance(DONE)
        assert len(await results(api, job)) == 3
    assert len(twin.invoice.lines) == 3


async def test_a_line_that_failed_is_free_and_tells_whether_to_try_again(twin: RunningTwin) -> None:
    twin.faults.set(
        [Fault("server_error", path="batch_item", nth=(1,)), Fault("bad_request", path="batch_item", nth=(2,))]
    )
    async with opened(twin) as api:
        job = await api.submit(MARKER, MODEL, lines(api))
        twin.clock.advance(DONE)
        found = await results(api, job)
        ended = await api.progress(job)
    first, second, third = (found[f"{MARKER}-{place}"] for place in range(3))
    assert (first.completion, first.again, first.unreadable) == (None, True, False)
    assert (second.completion, second.again, second.unreadable) == (None, False, False)
    assert "scripted fault" in first.reason
    assert third.completion is not None
    assert ended.done == 3
    assert len(twin.invoice.lines) == 1


async def test_cancelling_keeps_what_was_worked_off(twin: RunningTwin) -> None:
    async with opened(twin) as api:
        job = await api.submit(MARKER, MODEL, lines(api))
        twin.clock.advance(410)
        await api.cancel(job)
        assert (await api.progress(job)).progress == "ended"
        assert set(await results(api, job)) == {f"{MARKER}-0", f"{MARKER}-1"}
        untouched = await api.submit("another-0", MODEL, lines(api))
        await api.cancel(untouched)
        assert (await api.progress(untouched)).progress == "ended"
        assert await results(api, untouched) == {}
    assert len(twin.invoice.lines) == 2


async def test_an_expired_job_returns_what_is_done() -> None:
    slow = Options(batch_seconds=timedelta(days=2).total_seconds())
    with running_twin(start=datetime.now(UTC), rate=0, options=slow) as twin:
        async with opened(twin) as api:
            job = await api.submit(MARKER, MODEL, lines(api, 2))
            twin.clock.advance(timedelta(days=1).total_seconds())
            assert (await api.progress(job)).progress == "ended"
            assert set(await results(api, job)) == {f"{MARKER}-0"}


async def test_a_job_whose_file_is_refused_has_failed_as_a_whole_and_says_why(twin: RunningTwin) -> None:
    async with opened(twin) as api:
        job = await api.submit(MARKER, MODEL, [Line("Not A Label", api.body(request()))])
        found = await api.progress(job)
    assert found.progress == "failed"
    assert "is not made of lower-case letters" in found.reason
    assert twin.invoice.lines == ()


PLACE = "projects/project-1/locations/global/batchPredictionJobs/1"


def scripted(jobs: dict[str, Any], objects: dict[str, bytes], *, page: int = 100) -> VertexBatches:
    """A job as told, and objects of which a list shows so many at once."""

    def respond(asked: httpx2.Request) -> httpx2.Response:
        path, query = asked.url.path, asked.url.params
        if path.endswith("/o"):
            names = sorted(name for name in objects if name.startswith(query["prefix"]))
            start = int(query.get("pageToken", 0))
            more = {"nextPageToken": str(start + page)} if start + page < len(names) else {}
            return httpx2.Response(200, json={"items": [{"name": it} for it in names[start : start + page]], **more})
        if "/o/" in path:
            return httpx2.Response(200, content=objects[path.partition("/o/")[2]])
        return httpx2.Response(200, json={"name": PLACE, **jobs})

    return VertexBatches(vertex(), BUCKET, http=httpx2.AsyncClient(transport=httpx2.MockTransport(respond)))


def row(place: int, text: str = "x", **changes: Any) -> dict[str, Any]:
    response = {
        "candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1, "cachedContentTokenCount": 4},
        "modelVersion": f"{MODEL}@default",
        "responseId": f"r{place}",
    }
    return {"request": {"labels": {"ragkit": f"n{place}"}}, "status": "", "response": response, **changes}


def file(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(it, ensure_ascii=False) + "\n" for it in rows).encode()


OUTPUT = {"outputInfo": {"gcsOutputDirectory": "gs://bucket-1/out/prediction-1"}}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"state": "JOB_STATE_QUEUED"}, "running"),
        ({"state": "JOB_STATE_CANCELLING"}, "running"),
        ({"state": "JOB_STATE_PAUSED"}, "running"),
        ({"state": "JOB_STATE_PARTIALLY_SUCCEEDED", **OUTPUT}, "ended"),
        ({"state": "JOB_STATE_FAILED", "error": {"message": "no"}}, "failed"),
        ({"state": "JOB_STATE_FAILED", **OUTPUT}, "ended"),
        ({"state": "JOB_STATE_FAILED", "completionStats": {"successfulCount": "2"}}, "ended"),
        ({"state": "JOB_STATE_FAILED", "completionStats": {"incompleteCount": "-1"}}, "failed"),
    ],
)
async def test_states(told: dict[str, Any], expected: str) -> None:
    api = scripted(told, {})
    assert (await api.progress(PLACE)).progress == expected
    await api.aclose()


async def test_every_page_and_every_file_of_the_answers_is_read() -> None:
    objects = {f"out/prediction-1/predictions-{place}.jsonl": file(row(place)) for place in range(5)}
    objects["out/prediction-1/stats.json"] = b"{}"
    objects["out/prediction-10/predictions.jsonl"] = file(row(9))
    api = scripted({"state": "JOB_STATE_SUCCEEDED", **OUTPUT}, objects, page=2)
    assert set(await results(api, PLACE)) == {f"n{place}" for place in range(5)}
    await api.aclose()


async def test_without_a_directory_all_that_the_job_was_told_to_write_is_looked_at() -> None:
    told = {"state": "JOB_STATE_FAILED", "outputConfig": {"gcsDestination": {"outputUriPrefix": "gs://bucket-1/out"}}}
    api = scripted(told, {"out/p/predictions.jsonl": file(row(1))})
    assert set(await results(api, PLACE)) == {"n1"}
    await api.aclose()


async def test_only_a_line_feed_ends_a_line() -> None:
    odd = "a\u2028b\u0085c\x0bd"
    api = scripted({"state": "JOB_STATE_SUCCEEDED", **OUTPUT}, {"out/prediction-1/p.jsonl": file(row(1, odd), row(2))})
    found = await results(api, PLACE)
    await api.aclose()
    assert found["n1"].completion is not None and found["n1"].completion.text == odd
    assert found["n1"].completion.usage == Usage(input=5, cache_read=4, output=1)
    assert set(found) == {"n1", "n2"}


async def test_rows_that_are_none_of_ours_or_cannot_be_read_hold_up_nobody() -> None:
    nameless = (row(1, request={}), row(1, request={"labels": None}), row(1, request=None), {"status": ""})
    rows = (*nameless, {"response": row(1)["response"]}, row(2, response={}), row(3, status="Quota exceeded"), row(4))
    api = scripted({"state": "JOB_STATE_SUCCEEDED", **OUTPUT}, {"out/prediction-1/p.jsonl": file(*rows)})
    told = [result async for result in api.results(PLACE)]
    found = {result.name: result for result in told}
    await api.aclose()
    assert [(it.name, it.completion is not None) for it in told[:5]] == [("", it) for it in (1, 1, 1, 0, 1)]
    assert set(found) == {"", "n2", "n3", "n4"}
    assert found["n2"].unreadable
    assert (found["n3"].again, found["n3"].reason) == (True, 'the provider says "Quota exceeded"')
    assert found["n4"].completion is not None


@pytest.mark.parametrize("content", [file(row(1))[:-30], b"[]\n", b"\xff\n"])
async def test_a_file_that_breaks_off_is_read_again_later(content: bytes) -> None:
    api = scripted({"state": "JOB_STATE_SUCCEEDED", **OUTPUT}, {"out/prediction-1/p.jsonl": content})
    with pytest.raises(Unavailable):
        await results(api, PLACE)
    await api.aclose()


async def test_googles_own_credentials_are_used_and_renewed_once(
    tmp_path: Path, twin: RunningTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_account(tmp_path, monkeypatch)
    write_account(tmp_path, f"{twin.url}/oauth2/token")
    settings = ProvidersSettings.model_validate(
        {
            "gemini": {
                "vertex_project": "p1",
                "vertex_bucket": BUCKET,
                "base_url": twin.base_url("gemini"),
                "vertex_storage_url": twin.base_url("storage"),
            }
        }
    )
    api = open_batch_api("gemini", settings)
    assert isinstance(api, VertexBatches)
    job = await api.submit(MARKER, MODEL, lines(api))
    twin.clock.advance(DONE)
    assert len(await results(api, job)) == 3
    await api.aclose()


async def test_without_credentials_it_says_where_to_log_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    api = VertexBatches(Vertex("p1"), BUCKET)
    with pytest.raises(AuthFailed, match="gcloud auth application-default login") as caught:
        await api.submit(MARKER, MODEL, lines(api))
    assert not caught.value.sent
    await api.aclose()


class Renewing:
    """Credentials that end after each use and count how often they are renewed."""

    quota_project_id = "payer-1"

    def __init__(self) -> None:
        self.renewed = 0
        self.valid = False
        self.token = ""

    def refresh(self, _: object) -> None:
        self.renewed += 1
        self.valid, self.token = True, f"token-{self.renewed}"


async def test_a_token_is_renewed_when_it_has_ended_and_names_who_pays() -> None:
    credentials = Renewing()
    token = GoogleToken(credentials)
    assert await token.headers() == {"authorization": "Bearer token-1", "x-goog-user-project": "payer-1"}
    assert (await token.headers())["authorization"] == "Bearer token-1"
    credentials.valid = False
    assert (await token.headers())["authorization"] == "Bearer token-2"


async def test_storage_passes_on_what_google_says_of_credentials() -> None:
    class Missing(Renewing):
        def refresh(self, _: object) -> None:
            raise DefaultCredentialsError("none")  # type: ignore[no-untyped-call]

    storage = CloudStorage(GoogleToken(Missing()), httpx2.AsyncClient())
    with pytest.raises(DefaultCredentialsError):
        await storage.put("gs://b/o", b"")


@pytest.mark.parametrize("uri", ["gs://bucket-1/a/b.jsonl", "bucket-1/a/b.jsonl"])
def test_names_of_objects(uri: str) -> None:
    assert split(uri) == ("bucket-1", "a/b.jsonl")


@pytest.mark.parametrize("own", [{"vertex_project": "p1"}, {"vertex_bucket": "b"}])
def test_without_a_bucket_there_are_no_batches(own: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="set vertex_bucket"):
        VertexBatches.configured(ProvidersSettings.model_validate({"gemini": own}))
