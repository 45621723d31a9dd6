"""Who asks: the key decides on the tenant, and nothing in a request can change that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ragkit.nouns import Account
from ragkit_api.keys import SCOPES, Scope
from ragkit_api.problem import Problem, forbidden
from ragkit_api.service import Service, bearer

BEARER = HTTPBearer(auto_error=False, description="A key from `ragkit key create`.")


@dataclass(frozen=True, slots=True)
class Caller:
    """`key` is the id of a key, None where the service runs without keys on this machine alone."""

    service: Service
    tenant: str
    scopes: tuple[Scope, ...]
    key: str | None

    @property
    def actor(self) -> str:
        return self.key or "local"

    def account(self, user: str | None = None) -> Account:
        return Account(self.tenant, user, self.key)

    def need(self, scope: Scope) -> Caller:
        if scope not in self.scopes:
            raise forbidden(f"this key may not do that: it needs the scope '{scope}'")
        return self


async def get_service(request: Request) -> Service:
    """A coroutine: what is none is run in a thread by the framework."""
    service: Service = request.app.state.service
    return service


async def identify(service: Service, shown: list[str]) -> Caller:
    """The caller by all its headers of authorization; without keys, whoever can reach this machine's own address."""
    if not (await service.keys.ring()).keys:
        return Caller(service, service.settings.tenant, SCOPES, None)
    key = await service.keys.find(bearer(shown))
    if key is None:
        raise Problem(401, "unauthorized", "send a valid key as `Authorization: Bearer rk_...`")
    if key.rate is not None:
        service.rates.take(key.id, key.rate)
    return Caller(service, key.tenant, key.scopes, key.id)


async def get_caller(
    request: Request,
    service: Annotated[Service, Depends(get_service)],
    _: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
) -> Caller:
    caller = await identify(service, request.headers.getlist("authorization"))
    request.state.caller = caller
    return caller


async def _query(caller: Annotated[Caller, Depends(get_caller)]) -> Caller:
    return caller.need("query")


async def _ingest(caller: Annotated[Caller, Depends(get_caller)]) -> Caller:
    return caller.need("ingest")


async def _admin(caller: Annotated[Caller, Depends(get_caller)]) -> Caller:
    return caller.need("admin")


async def _metrics(caller: Annotated[Caller, Depends(get_caller)]) -> Caller:
    return caller.need("metrics")


Asking = Annotated[Caller, Depends(_query)]
Ingesting = Annotated[Caller, Depends(_ingest)]
Administering = Annotated[Caller, Depends(_admin)]
Watching = Annotated[Caller, Depends(_metrics)]
