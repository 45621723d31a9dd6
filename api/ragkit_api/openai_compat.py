"""`/v1/chat/completions` and `/v1/models` as OpenAI's clients know them; the answers come from the documents."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StringConstraints

from ragkit.errors import ConfigError
from ragkit.nouns import Answer, Query, Turn, Usage
from ragkit.present import answer_to_json
from ragkit.query import LONGEST_QUESTION, make_query
from ragkit.streaming import Said, Signal
from ragkit_api.asking import ask, follow
from ragkit_api.attached import Emit, EventStream, attached
from ragkit_api.auth import Asking, Caller
from ragkit_api.declared import ASK, BODY, EVENT_STREAM, problems
from ragkit_api.problem import Problem, body
from ragkit_api.schemas import VISIBLE, Id, whole
from ragkit_api.shape import model_of

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"])

MODEL = "ragkit"
Content = Annotated[str, StringConstraints(max_length=LONGEST_QUESTION, pattern=VISIBLE)]


class TextPart(BaseModel):
    type: Literal["text"]
    text: Content


class Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: Content | Annotated[list[TextPart], Field(min_length=1, max_length=16)]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")

    include_usage: StrictBool = False


class JsonSchema(BaseModel):
    model_config = ConfigDict(extra="ignore")

    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: Literal["text", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatBody(BaseModel):
    """Other parameters of OpenAI's are accepted and have no effect: models and their settings are chosen by route."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [{"model": "ragkit", "messages": [{"role": "user", "content": "How long does it last?"}]}]
        },
    )

    model: Literal["ragkit"] = "ragkit"
    messages: Annotated[list[Message], Field(min_length=1, max_length=64)]
    stream: StrictBool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    n: Annotated[int, Field(ge=1, le=1), BeforeValidator(whole)] | None = None
    user: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:+-]{0,127}$")] | None = None


class ChatReply(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any]
    citations: list[dict[str, Any]]
    ragkit: dict[str, Any]


class ModelReply(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelsReply(BaseModel):
    object: Literal["list"]
    data: list[ModelReply]


CHAT: dict[int | str, dict[str, Any]] = {200: {"model": ChatReply, "content": EVENT_STREAM}}
THE_MODEL = {"id": MODEL, "object": "model", "created": 1767225600, "owned_by": "ragkit"}


@router.get("/models", responses=problems(), response_model=ModelsReply)
async def get_models(caller: Asking) -> Any:
    """The one model there is: which one answers is decided per question."""
    return {"object": "list", "data": [THE_MODEL]}


@router.get("/models/{model}", responses=problems(404), response_model=ModelReply)
async def get_model(model: Id, caller: Asking) -> Any:
    if model != MODEL:
        raise Problem(404, "model_not_found", f"there is no model '{model}': use '{MODEL}'")
    return THE_MODEL


@router.post("/chat/completions", responses=CHAT | problems(*BODY, *ASK), response_class=JSONResponse)
async def post_chat(chat: ChatBody, caller: Asking, request: Request) -> Response:
    """Answer the last message of the user from the documents; earlier turns are its context.

    Messages of the system are accepted and not used: what an answer may say is settled by the documents.
    """
    query, log = chat_query(chat, caller), request.state.log
    if not chat.stream:
        return JSONResponse(completion(await attached(request, ask(caller.service, query, log))))
    usage = chat.stream_options is not None and chat.stream_options.include_usage

    async def produce(emit: Emit) -> None:
        await follow(caller.service, query, log, Chunks(emit, usage=usage, whole=query.schema is not None).tell)

    return EventStream(produce, lambda error: [("", body(error)), ("", "[DONE]")])


def chat_query(chat: ChatBody, caller: Caller) -> Query:
    turns = [message for message in chat.messages if message.role in ("user", "assistant")]
    if not turns or turns[-1].role != "user":
        raise ConfigError("the last message has to be of the role user: it is the question")
    asked = make_query(turns[-1].text, caller.service.settings, account=caller.account(chat.user))
    history = tuple(Turn("user" if it.role == "user" else "assistant", it.text) for it in turns[-21:-1])
    shape = chat.response_format.json_schema if chat.response_format else None
    schema = None if shape is None else model_of(shape.schema_)
    return Query(asked.text, asked.account, asked.k, history=history, schema=schema)


class Chunks:
    """Turns signals into the chunks of OpenAI's streams; the last ones carry citations, the receipt and the usage.

    With `whole` nothing is said before the end: data in a schema is no sentence after another.
    """

    def __init__(self, emit: Emit, *, usage: bool, whole: bool = False) -> None:
        self._emit = emit
        self._whole = whole
        self._usage = usage
        self._id = f"chatcmpl-{time.time_ns():x}"
        self._created = int(time.time())
        self._said = ""

    async def tell(self, signal: Signal | Answer) -> None:
        if isinstance(signal, Said):
            if not self._whole:
                await self._say(signal.text)
        elif isinstance(signal, Answer):
            text = content(signal)
            if not self._said:
                await self._say(text)
            extra = {"citations": answer_to_json(signal)["citations"], "ragkit": details(signal)}
            await self._chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}], extra)
            if self._usage:
                await self._chunk([], {"usage": usage_of(signal)})
            await self._emit("", "[DONE]")

    async def _say(self, text: str) -> None:
        delta = {"content": f" {text}"} if self._said else {"role": "assistant", "content": text}
        self._said += text
        await self._chunk([{"index": 0, "delta": delta, "finish_reason": None}], {})

    async def _chunk(self, choices: list[dict[str, Any]], extra: dict[str, Any]) -> None:
        head = {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": MODEL}
        await self._emit("", {**head, "choices": choices, **extra})


def completion(answer: Answer) -> dict[str, Any]:
    message = {"role": "assistant", "content": content(answer), "refusal": None}
    return {
        "id": f"chatcmpl-{answer.receipt.id}",
        "object": "chat.completion",
        "created": int(answer.receipt.at.timestamp()),
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": usage_of(answer),
        "citations": answer_to_json(answer)["citations"],
        "ragkit": details(answer),
    }


def content(answer: Answer) -> str:
    """The text, or where a schema was asked for, what obeys it."""
    return answer.text if answer.data is None else json.dumps(answer.data, ensure_ascii=False)


def usage_of(answer: Answer) -> dict[str, Any]:
    """What models were sent and wrote for it, and what all of it cost."""
    usage = sum((event.usage for event in answer.receipt.events if event.kind in ("generate", "repair")), Usage())
    body = answer_to_json(answer)["receipt"]
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        "cost_usd": body["cost_usd"],
        "saved_usd": body["saved_usd"],
    }


def details(answer: Answer) -> dict[str, Any]:
    found = answer_to_json(answer)
    return {name: found[name] for name in ("abstained", "route", "receipt", "notes")}
