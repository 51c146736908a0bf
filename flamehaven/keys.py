"""API keys over HTTP: made, listed and revoked by an admin."""

from __future__ import annotations

from datetime import datetime

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.access import Scope
from shared.changes import log_change
from shared.errors import ServiceError
from shared.http import endpoint
from shared.keys import KeyRecord
from shared.logs import request_id
from shared.names import normal, store_problem
from shared.reading import read_json
from shared.runtime import runtime


class KeyRequest(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=100, examples=["Ann"], description="Whose it is, or what for.")
    scopes: list[Scope] = Field(
        default_factory=lambda: [Scope.SEARCH],
        validation_alias=AliasChoices("scopes", "permissions"),
        min_length=1,
        max_length=len(Scope),
        description="What it may do.",
    )
    stores: list[str] | None = Field(
        None,
        min_length=1,
        max_length=100,
        examples=[["hr"]],
        description="The stores that exist for it; null for all.",
    )
    expires_in_days: int | None = Field(None, ge=1, le=3650, description="Null for never.")
    rate_limit_per_minute: int | None = Field(
        None, ge=1, le=10_000, description="How many requests of each kind; null for the server's limits."
    )
    daily_tokens: int | None = Field(
        None, ge=1, le=10**12, description="How many Gemini tokens in 24 hours; null for the server's budget."
    )

    @field_validator("scopes", mode="before")
    @classmethod
    def _of_the_original(cls, scopes: object) -> object:
        """Version 1.x calls `manage` what it can do with stores."""
        return ["manage" if scope == "stores" else scope for scope in scopes] if isinstance(scopes, list) else scopes

    @field_validator("stores")
    @classmethod
    def _are_stores(cls, stores: list[str] | None) -> list[str] | None:
        for store in stores or ():
            if problem := store_problem(store):
                raise ValueError(f"{store!r}: {problem}")
        return stores and list(map(normal, stores))

    @model_validator(mode="after")
    def _admin_of_everything(self) -> KeyRequest:
        if self.stores is not None and Scope.ADMIN in self.scopes:
            raise ValueError("An admin has all stores: leave out either the stores or the scope admin.")
        return self


class Key(BaseModel):
    """What is known of a key; the key itself was shown once, when it was made."""

    id: str
    prefix: str = Field(description="How the key begins.")
    name: str
    scopes: list[Scope]
    stores: list[str] | None
    rate_limit_per_minute: int | None
    daily_tokens: int | None
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    active: bool


class NewKey(Key):
    """A key that was just made, with the key itself: it cannot be shown again."""

    key: str
    request_id: str


class KeyList(BaseModel):
    """Every key, oldest first."""

    keys: list[Key]
    request_id: str


@endpoint
async def list_keys(request: Request) -> Response:
    """List the keys, revoked and expired ones too."""
    parts = await runtime()
    found = [Key.model_validate(_described(record)) for record in await parts.keys.every()]
    return JSONResponse(KeyList(keys=found, request_id=request_id.get() or "").model_dump(mode="json"))


@endpoint
async def create_key(request: Request) -> Response:
    """Make a key."""
    asked, parts = await read_json(request, KeyRequest), await runtime()
    scopes, stores = tuple(dict.fromkeys(asked.scopes)), tuple(asked.stores) if asked.stores else None
    key, record = await parts.keys.create(
        asked.name,
        scopes,
        stores=stores,
        days=asked.expires_in_days,
        rate_limit_per_minute=asked.rate_limit_per_minute,
        daily_tokens=asked.daily_tokens,
    )
    log_change(request, "key created", f"{record.id} ({record.name})")
    made = NewKey.model_validate({**_described(record), "key": key, "request_id": request_id.get() or ""})
    return JSONResponse(made.model_dump(mode="json"), status_code=201, headers={"Cache-Control": "no-store"})


@endpoint
async def revoke_key(request: Request) -> Response:
    """Revoke a key; within seconds it opens nothing any more."""
    record = await (await runtime()).keys.revoke(request.path_params["id"])
    if record is None:
        raise ServiceError("RESOURCE_NOT_FOUND", "There is no key of that id; `flamehaven keys` lists them.")
    log_change(request, "key revoked", f"{record.id} ({record.name})")
    return JSONResponse(Key.model_validate(_described(record)).model_dump(mode="json"))


def _described(record: KeyRecord) -> dict[str, object]:
    return {**record.model_dump(exclude={"digest"}), "prefix": record.prefix, "active": record.active}
