"""Settings: environment variables, read once into one model.

`docs/settings.md` has the same table for people; a test holds the two together.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import ServiceError
from shared.places import Place, contains, is_reachable, place_of
from shared.secret import SecretSource, file_of

Model = TypeVar("Model", bound=BaseSettings)
EMBEDDED = "emulator:"
"""The value of GEMINI_BASE_URL that asks for the emulator in this process."""
SHORTEST_ADMIN_KEY = 16
"""Bytes of an admin key in production."""
ADMIN_KEY_FILE = "admin.key"
"""Where DATA_DIR has the admin key that the server made."""


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _gemini_address(value: str) -> str:
    if value in ("", EMBEDDED) or (urlsplit(value).scheme in ("http", "https") and urlsplit(value).netloc):
        return value
    raise ValueError(f"takes an http:// or https:// address, or {EMBEDDED}")


def _bucket_address(value: str) -> str:
    place_of(value)
    return value


def _queue_address(value: str) -> str:
    parts = urlsplit(value)
    if value == "" or (parts.netloc and {"pubsub": bool(parts.path.strip("/")), "sqs": True}.get(parts.scheme)):
        return value
    raise ValueError("takes pubsub://PROJECT/SUBSCRIPTION or sqs://QUEUE")


def _notify_address(value: str) -> str:
    parts = urlsplit(value)
    _ = parts.port  # a ValueError where it is none
    named = parts.netloc and ((parts.scheme == "pubsub" and parts.path.strip("/")) or parts.scheme in ("http", "https"))
    if value == "" or named:
        return value
    raise ValueError("takes pubsub://PROJECT/TOPIC or an https:// address")


def _looks_like_a_path(value: str) -> bool:
    """Whether somebody probably meant a file; a long random text in base64 may hold a slash too."""
    return bool(value) and (
        value.startswith(("~", "."))
        or Path(value).exists()
        or ("/" in value and not re.fullmatch(r"[A-Za-z0-9+/=_-]{32,}", value))
    )


def _redis_address(value: SecretStr) -> SecretStr:
    given = value.get_secret_value()
    if not given or given.startswith("/") or urlsplit(given).scheme in ("redis", "rediss", "unix"):
        return value
    raise ValueError("takes redis://HOST:PORT/DB, rediss://HOST:PORT/DB, unix://PATH, or the path of a file")


def _rate(value: str) -> str:
    if value == "" or re.fullmatch(r"[1-9]\d{0,5} ?(/|per) ?([1-9]\d{0,5} ?)?(second|minute|hour|day)s?", value):
        return value
    raise ValueError("takes a number of requests and a time, such as 100/minute or 10/2 hours; or nothing")


def _networks(value: str) -> str:
    for each in filter(None, (part.strip() for part in value.split(","))):
        try:
            ipaddress.ip_network(each, strict=False)
        except ValueError:
            raise ValueError(f"{each!r} is no address and no network such as 10.0.0.0/8") from None
    return value


def is_secure(address: str, environment: str) -> bool:
    """Whether what an address gives can be believed: over https, or in development from this machine."""
    parts = urlsplit(address)
    if parts.scheme == "https":
        return bool(parts.hostname)
    return parts.scheme == "http" and environment == "development" and is_this_machine(parts.hostname)


def is_this_machine(host: str | None) -> bool:
    """Whether a host, by name or address, can only be this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _origins(value: str) -> str:
    for each in filter(None, (part.strip() for part in value.split(","))):
        parts = urlsplit(each)
        if each != "*" and (parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != each):
            raise ValueError(f"{each!r} is no origin such as https://intranet.example.com")
    return value


WatchMode = Literal["auto", "events", "polling"]
LogLevel = Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)]
Environment = Annotated[Literal["production", "development"], BeforeValidator(_lower)]


class Settings(BaseSettings):
    """Every setting, with what it does, its default and what it takes."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    gemini_api_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        description="The Gemini API key, or the path of a file that holds it (read again every 30 s). "
        "`GOOGLE_API_KEY` is used if this is not set.",
    )
    gemini_base_url: Annotated[str, BeforeValidator(_gemini_address)] = Field(
        "",
        description="The address of the Gemini API. Empty: Google, or the built-in emulator in development without "
        "a key. `emulator:`: the built-in emulator. Any other address: a server with the same API.",
    )
    gemini_project: str = Field(
        "default",
        description="A name for the Gemini project that the key belongs to. If you change the project, change this "
        "name: the documents are then indexed again in the new project. A new key of the same project "
        "needs no change.",
    )
    default_model: str = Field("gemini-3.8-flash", min_length=1, description="The model that answers.")
    allowed_models: str = Field(
        "",
        description="Other models that a search may request, separated by commas. Empty: only `DEFAULT_MODEL`.",
    )
    max_output_tokens: int = Field(1024, ge=1, le=8192, description="The maximum length of an answer, in tokens.")
    temperature: float = Field(
        0.5, ge=0, le=2, description="The sampling temperature of the model: higher values vary the wording more."
    )
    max_sources: int = Field(
        5, ge=1, le=100, description="The maximum number of passages that the model may use for an answer."
    )
    max_file_size_mb: int = Field(50, ge=1, description="The maximum size of a document, in MB of 1,048,576 bytes.")
    store_quota_mb: int = Field(
        0,
        ge=0,
        description="The maximum total size of a store's documents, in MB of 1,048,576 bytes. An upload that would "
        "exceed it is refused. 0 for no limit.",
    )
    upload_timeout_sec: int = Field(
        60, ge=1, description="The maximum time to send one document to Gemini, in seconds."
    )
    parallel_uploads: int = Field(
        8, ge=1, le=100, description="The maximum number of documents that one process sends to Gemini at once."
    )
    cache_ttl_sec: int = Field(
        600,
        ge=0,
        le=86_000,
        description="How long an answer is cached while no document of its stores changes, in seconds; 0 for no "
        "caching. If `STATE_URL` is not a folder, caching needs Redis.",
    )
    cache_max_size: int = Field(
        1024, ge=1, description="The maximum number of cached answers per process; in Redis, its `maxmemory` decides."
    )
    redis_url: Annotated[SecretStr, AfterValidator(_redis_address)] = Field(
        SecretStr(""),
        description="The Redis that processes share for cached answers and limits: `redis://`, `rediss://` (TLS), "
        "`unix://`, or the path of a file that holds such an address.",
    )
    redis_host: str = Field("", description="The host of Redis, if `REDIS_URL` is not set.")
    redis_port: int = Field(6379, ge=1, le=65535, description="The port of Redis.")
    redis_password: SecretStr = Field(
        SecretStr(""), description="The password of Redis, or the path of a file that holds it."
    )
    redis_db: int = Field(1, ge=0, description="The database number of Redis.")
    search_rate_limit: Annotated[str, BeforeValidator(_rate)] = Field(
        "100/minute",
        description="The maximum rate of searches per key, or per address without a key: `N/second`, `/minute`, "
        "`/hour` or `/day`; empty for no limit.",
    )
    upload_rate_limit: Annotated[str, BeforeValidator(_rate)] = Field(
        "10/minute", description="The same for uploads of one document."
    )
    upload_multi_rate_limit: Annotated[str, BeforeValidator(_rate)] = Field(
        "5/minute", description="The same for uploads of several documents."
    )
    api_rate_limit: Annotated[str, BeforeValidator(_rate)] = Field(
        "600/minute", description="The same for all other requests, except health and metrics."
    )
    daily_token_budget: int = Field(
        0, ge=0, description="The maximum number of Gemini tokens per key or address in 24 hours; 0 for no limit."
    )
    parallel_searches: int = Field(
        64,
        ge=1,
        le=1000,
        description="The maximum number of questions that one process sends to Gemini at once; the same number may "
        "wait.",
    )
    search_access: Annotated[Literal["iam", "key"], BeforeValidator(_lower)] = Field(
        "iam",
        description="Who checks callers of the search function: the platform that runs it (`iam`), or the function, "
        "which then requires an API key (`key`). The server always checks keys.",
    )
    google_cloud_project: str = Field(
        "",
        description="The Google Cloud project of the log. If it is set, log lines name their trace in the format of "
        "Cloud Logging.",
    )
    flamehaven_metrics_enabled: bool = Field(
        False, description="Whether metrics are collected and served at `/prometheus` and `/metrics`: `1` or `0`."
    )
    internal_networks: Annotated[str, BeforeValidator(_networks)] = Field(
        "127.0.0.0/8, ::1",
        description="Addresses or networks that may read `/prometheus` and `/metrics` without the admin key, "
        "separated by commas. Only direct connections count, not those that a proxy forwards.",
    )
    gemini_input_price: float = Field(
        0, ge=0, description="The price of a million input tokens in dollars, for the cost metric."
    )
    gemini_output_price: float = Field(0, ge=0, description="The price of a million output tokens in dollars.")
    trusted_proxies: Annotated[str, BeforeValidator(_networks)] = Field(
        "127.0.0.0/8, ::1",
        description="Addresses or networks of reverse proxies, separated by commas. Only their `X-Forwarded-For` "
        "and `X-Forwarded-Proto` are trusted.",
    )
    flamehaven_admin_key: SecretStr = Field(
        SecretStr(""),
        description="The key with full access, or the path of a file that holds it. Empty: in production the first "
        "start makes one in `DATA_DIR/admin.key`; in development nobody on the same machine needs a key "
        "until one is made.",
    )
    oauth_issuer: str = Field(
        "",
        description="The OIDC provider whose tokens are accepted besides keys, exactly as in its claim `iss`. "
        "Empty: none.",
    )
    oauth_audience: str = Field("", description="The required claim `aud` of a token. Needed with an issuer.")
    oauth_jwks_url: str = Field(
        "", description="The address of the provider's public keys. Empty: taken from its discovery document."
    )
    oauth_roles_claim: str = Field(
        "roles",
        min_length=1,
        description="The claim that holds the roles. Dots separate nested names, as in `realm_access.roles`.",
    )
    oauth_roles_prefix: str = Field(
        "", description="The prefix of the role names `search`, `upload`, `manage` and `admin`."
    )
    oauth_token_types: str = Field(
        "JWT, at+jwt",
        min_length=1,
        description="The accepted values of a token's header `typ`, separated by commas; a token without it counts "
        "as `JWT`. `at+jwt` alone accepts only access tokens (RFC 9068).",
    )
    oauth_max_lifetime_sec: int = Field(
        86_400,
        ge=60,
        description="The maximum lifetime of a token in seconds, from its `iat` (or from now) to its `exp`.",
    )
    oauth_required_roles: str = Field(
        "", description="The roles that make an admin, separated by commas. Empty: `admin`, after the prefix."
    )
    oauth_stores_claim: str = Field(
        "stores",
        description="The claim that lists the stores that a token may use, or `*` for all; a token without the "
        "claim may use none. Empty: every token may use all stores.",
    )
    environment: Environment = Field(
        "production", description="`production` or `development`. Development needs no key and writes a plain-text log."
    )
    log_level: LogLevel = Field("info", description="The lowest level of log lines to write.")
    data_dir: Path = Field(Path("data"), description="The folder for all data that is not placed elsewhere.")
    documents_url: Annotated[str, BeforeValidator(_bucket_address)] = Field(
        "",
        description="The bucket of documents: `gs://BUCKET/PREFIX`, `s3://BUCKET/PREFIX` (the prefix is optional), "
        "or the path of an existing folder. Empty: `DATA_DIR/documents`, which is created if it is "
        "missing.",
    )
    state_url: Annotated[str, BeforeValidator(_bucket_address)] = Field(
        "",
        description="The bucket of records, in the same formats; all processes of a deployment share it. Empty: "
        "`DATA_DIR/state`. It may be inside the documents bucket if its prefix starts with a dot.",
    )
    events_url: Annotated[str, BeforeValidator(_queue_address)] = Field(
        "",
        description="The queue that reports changes in the bucket: `pubsub://PROJECT/SUBSCRIPTION` or "
        "`sqs://QUEUE`. A folder is watched without a queue.",
    )
    watch_mode: Annotated[WatchMode, BeforeValidator(_lower)] = Field(
        "auto",
        description="How changes in a documents folder are detected: `events` of the operating system, `polling` "
        "(for network and shared folders, which send no events), or `auto` (events, but polling under "
        "WSL).",
    )
    sweep_interval_sec: int = Field(
        600,
        ge=0,
        description="The time between the server's sweeps, which compare bucket and index, in seconds; 0 for none.",
    )
    sweep_max_deletions_percent: int = Field(
        50,
        ge=0,
        le=100,
        description="The maximum share of a store's documents, in percent, that a sweep may remove from the index "
        "because the bucket lacks them. Five documents are always allowed. `flamehaven reconcile --yes` "
        "removes more.",
    )
    notify_url: Annotated[str, BeforeValidator(_notify_address)] = Field(
        "",
        description="Where notices are sent when a document becomes indexed, failed or removed: "
        "`pubsub://PROJECT/TOPIC`, or an `https://` address that accepts POST.",
    )
    notify_secret: SecretStr = Field(
        SecretStr(""),
        description="The secret that signs notices to `NOTIFY_URL`, or the path of a file that holds it.",
    )
    cors_origins: Annotated[str, BeforeValidator(_origins)] = Field(
        "",
        description="Origins whose pages may call this API from a browser, separated by commas: "
        "`https://intranet.example.com`; `*` for every origin. Their users still need a key.",
    )
    host: str = Field("0.0.0.0", description="The address that the server listens on.")  # noqa: S104 - the original's
    port: int = Field(8000, ge=1, le=65535, description="The port that the server listens on.")
    workers: int = Field(1, ge=1, le=64, description="The number of server processes.")

    @model_validator(mode="after")
    def _key_in_production(self) -> Settings:
        key = self.key()
        if self.environment == "production" and not self.gemini_base_url and not key:
            raise ValueError(
                "GEMINI_API_KEY is empty, and production needs it. Set it to a key or to the path of a file that holds "
                f"one; or set GEMINI_BASE_URL={EMBEDDED} to run on the embedded emulator."
            )
        return self

    @model_validator(mode="after")
    def _records_beside_documents(self) -> Settings:
        documents, state = place_of(self.documents_place), place_of(self.state_place)
        if is_reachable(state, documents):
            raise ValueError(
                f"STATE_URL: got {self.state_place!r}, which is among the documents; it takes another bucket, another "
                "prefix, or one below the documents that starts with a dot."
            )
        if contains(state, documents):
            raise ValueError(
                f"DOCUMENTS_URL: got {self.documents_place!r}, which is among the records; it takes a place outside "
                f"of {self.state_place!r}."
            )
        for name, path in self._own_files():
            if is_reachable(Place("file", "", str(path.absolute())), documents):
                raise ValueError(
                    f"{name}: {str(path)!r} is among the documents, where an upload could replace it; it takes a place "
                    "outside of DOCUMENTS_URL."
                )
        return self

    @model_validator(mode="after")
    def _admin_key_that_cannot_be_guessed(self) -> Settings:
        given = self.flamehaven_admin_key.get_secret_value().strip()
        if file_of(given) is None and _looks_like_a_path(given):
            raise ValueError(
                "FLAMEHAVEN_ADMIN_KEY looks like a path, and would be taken for the key itself. It takes a key, or the "
                "absolute path of a file that holds one."
            )
        try:
            key = SecretSource(given).value()
        except OSError as error:
            raise ValueError(
                f"FLAMEHAVEN_ADMIN_KEY names a file that cannot be read: {error.strerror}. It takes a key, or the path "
                "of a file that holds one."
            ) from error
        if given and self.environment == "production" and len(key.encode()) < SHORTEST_ADMIN_KEY:
            raise ValueError(
                f"FLAMEHAVEN_ADMIN_KEY: the key has {len(key.encode())} bytes, and production takes at least "
                f"{SHORTEST_ADMIN_KEY}, such as `openssl rand -hex 24` writes."
            )
        return self

    @model_validator(mode="after")
    def _secrets_over_https(self) -> Settings:
        for name, address in (("GEMINI_BASE_URL", self.gemini_base_url), ("NOTIFY_URL", self.notify_url)):
            parts = urlsplit(address)
            if self.environment == "production" and parts.scheme == "http" and not is_this_machine(parts.hostname):
                raise ValueError(
                    f"{name}: got {address!r}; production takes an https:// address, or one of this machine."
                )
        return self

    def _own_files(self) -> Iterator[tuple[str, Path]]:
        """What of this machine no document may take the place of, each after the setting that names it."""
        yield from (("DATA_DIR", self.data_dir / part) for part in ("", "emulator", ADMIN_KEY_FILE))
        for name in type(self).model_fields:
            if isinstance(secret := getattr(self, name), SecretStr) and (file := file_of(secret.get_secret_value())):
                yield name.upper(), file

    @model_validator(mode="after")
    def _provider_that_can_be_believed(self) -> Settings:
        if self.oauth_issuer and not self.oauth_audience:
            raise ValueError("OAUTH_AUDIENCE is empty, and OAUTH_ISSUER needs it: what tokens for this service name.")
        name = "OAUTH_JWKS_URL" if self.oauth_jwks_url else "OAUTH_ISSUER"
        address = self.oauth_jwks_url or self.oauth_issuer
        if address and not is_secure(address, self.environment):
            raise ValueError(f"{name}: got {address!r}; takes an https:// address.")
        return self

    def key(self) -> str:
        """The API key as it is now. Raises ValueError where its file cannot be read."""
        try:
            return self.key_source().value()
        except OSError as error:
            raise ValueError(
                f"GEMINI_API_KEY names a file that cannot be read: {error.strerror}. "
                "It takes a key, or the path of a file that holds one."
            ) from error

    def key_source(self) -> SecretSource:
        """The API key as something that can be read again after a rotation."""
        return SecretSource(self.gemini_api_key.get_secret_value())

    def redis_address(self) -> str:
        """The address of Redis with its password; empty where there is none.

        Raises ServiceError (CONFIGURATION_ERROR).
        """
        try:
            given = SecretSource(self.redis_url.get_secret_value()).value()
            password = SecretSource(self.redis_password.get_secret_value()).value()
        except OSError as error:
            problem = f"REDIS_URL or REDIS_PASSWORD names a file that cannot be read: {error.strerror}."
            raise ServiceError("CONFIGURATION_ERROR", problem) from error
        if given or not self.redis_host:
            return given
        host = f"[{self.redis_host}]" if ":" in self.redis_host else self.redis_host
        login = f":{quote(password, safe='')}@" if password else ""
        return f"redis://{login}{host}:{self.redis_port}/{self.redis_db}"

    @property
    def embedded(self) -> bool:
        """Whether the emulator in this process stands in for Gemini."""
        return self.gemini_base_url == EMBEDDED or (
            self.environment == "development" and not self.gemini_base_url and not self.key()
        )

    @property
    def documents_place(self) -> str:
        """The bucket of documents."""
        return self.documents_url or str(self.data_dir / "documents")

    @property
    def state_place(self) -> str:
        """The bucket of records."""
        return self.state_url or str(self.data_dir / "state")

    @property
    def max_file_bytes(self) -> int:
        """The largest document, in bytes."""
        return self.max_file_size_mb << 20


def load_settings() -> Settings:
    """The settings as the environment gives them.

    Raises ServiceError (CONFIGURATION_ERROR) that names each wrong variable, what it got and what it takes.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [_problem(problem) for problem in error.errors(include_url=False, include_context=False)]
        raise ServiceError("CONFIGURATION_ERROR", " ".join(lines)) from None


def function_settings(model: type[Model]) -> Model:
    """The settings that only one function has, from the environment.

    Raises ServiceError (CONFIGURATION_ERROR), which names what is wrong and repeats no value.
    """
    try:
        return model()
    except ValidationError as error:
        wrong = ", ".join(sorted({str(each["loc"][0]).upper() for each in error.errors()}))
        raise ServiceError("CONFIGURATION_ERROR", f"Not set, or not to what they take: {wrong}.") from None


settings = lru_cache(maxsize=1)(load_settings)
"""The settings of this process."""


def _problem(problem: Any) -> str:
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    name = str(problem["loc"][0]).upper()
    field = Settings.model_fields.get(name.lower())
    got = "" if field is None or field.annotation is SecretStr else f" got {problem['input']!r};"
    return f"{name}:{got} {str(problem['msg']).removeprefix('Value error, ')}."
