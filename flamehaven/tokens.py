"""Bearer tokens of an OIDC provider: whether one is good, and what its claims let its owner do.

Only imported where a provider is configured. Sources: RFC 7519 (tokens), RFC 7517 (keys), RFC 8725 (what to check, and
what never to believe), OpenID Connect Discovery 1.0, sections 3 and 4.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import jwt

from shared.access import Caller, Scope
from shared.bodies import whole
from shared.failures import Transient
from shared.settings import Settings, is_secure

log = logging.getLogger(__name__)

ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
"""Which signatures a key of each type may check. A key that both signs and checks (`oct`) is nobody's public key."""
SIGNED = {algorithm for family in ALGORITHMS.values() for algorithm in family}
MAX_TOKEN = 16 << 10
"""Characters of the longest token that is looked at."""
MAX_SUBJECT = 255
"""Characters of a subject that the log shows (OpenID Connect Core 1.0, section 2: no subject is longer)."""
LEEWAY = 30.0
"""Seconds by which the provider's clock may differ from ours."""

FRESH = 300.0
"""Seconds for which the provider's keys are not fetched again: so long one that it took back may still work."""
STALE = 3600.0
"""Seconds for which its keys are trusted when it cannot be reached."""
PAUSE = 10.0
"""Seconds between two fetches of its keys, whatever comes in: new ones work that soon."""
TIMEOUT = 5.0
"""Seconds that it may take to give its keys."""
MAX_BYTES = 256 << 10


class Tokens:
    """The tokens of one provider, for one audience."""

    def __init__(self, settings: Settings, *, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._keys = ProviderKeys(settings, now)
        self._types = {each.strip().lower() for each in settings.oauth_token_types.split(",")}
        """What the header `typ` may say; a token that ends sessions (`logout+jwt`), say, opens nothing."""

    async def caller(self, token: str) -> Caller | None:
        """Who has this token; None where it is not good. Raises Transient where the provider has to be asked and
        cannot be."""
        try:
            key = await self._keys.key(_kid(token, self._types))
            claims = jwt.decode(
                token,
                key.public,
                algorithms=key.algorithms,
                issuer=self._settings.oauth_issuer,
                audience=self._settings.oauth_audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
            _check_claims(claims, self._settings.oauth_max_lifetime_sec)
        except jwt.PyJWTError as error:
            log.info("A token was refused: %s", type(error).__name__)
            return None
        return caller_of(claims, self._settings)


def _check_claims(claims: Mapping[str, Any], longest: int) -> None:
    """Raise PyJWTError for a token of nobody, or one that is valid for more than `longest` seconds."""
    if not str(claims["sub"]).strip():
        raise jwt.InvalidTokenError("Its subject is empty.")
    begins = min(claims.get("iat", time.time()), time.time())
    if int(claims["exp"]) - int(begins) > longest + LEEWAY:
        raise jwt.InvalidTokenError("It is valid for too long.")


def caller_of(claims: Mapping[str, Any], settings: Settings) -> Caller:
    """What the claims of a good token let its owner do; docs/access.md has the rules.

    The caller's id is a digest of the issuer and the subject; the label names the subject.
    """
    roles = _names(_claim(claims, settings.oauth_roles_claim), separated=True)
    scopes = {scope for scope in Scope if f"{settings.oauth_roles_prefix}{scope}" in roles}
    if admins := settings.oauth_required_roles.replace(",", " ").split():
        scopes.discard(Scope.ADMIN)
        scopes |= {Scope.ADMIN} if roles.intersection(admins) else set()
    subject = hashlib.sha256(f"{claims['iss']} {claims['sub']}".encode(errors="surrogatepass")).hexdigest()
    shown = str(claims["sub"])[:MAX_SUBJECT].encode(errors="backslashreplace").decode()
    return Caller(
        f"oidc:{subject[:24]}", frozenset(scopes), _stores(claims, scopes, settings), label=f"token of {shown}"
    )


def _stores(claims: Mapping[str, Any], scopes: set[Scope], settings: Settings) -> frozenset[str] | None:
    if not settings.oauth_stores_claim:
        return None
    claim = _claim(claims, settings.oauth_stores_claim)
    stores = _names(claim)
    return None if "*" in stores or (claim is None and Scope.ADMIN in scopes) else stores


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of that name, which may itself hold dots, else the one that the dots lead to; None without it."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _names(claim: Any, *, separated: bool = False) -> frozenset[str]:
    """The names in a claim: a list of them, or one; `separated` by spaces (as `scope` is, RFC 8693) it may be more."""
    if isinstance(claim, str):
        return frozenset(claim.split() if separated else [claim])
    return frozenset(each for each in claim if isinstance(each, str)) if isinstance(claim, list) else frozenset()


def _kid(token: str, types: Container[str]) -> str | None:
    """The name of the key that a token says it is signed with. Raises PyJWTError for one that cannot be good."""
    if len(token) > MAX_TOKEN:
        raise jwt.DecodeError("It is too long.")
    header = jwt.get_unverified_header(token)
    if str(header.get("alg")) not in SIGNED:
        raise jwt.InvalidAlgorithmError("It is not signed by a private key.")
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in types:
        raise jwt.InvalidTokenError("It is a token for something else.")
    kid: str | None = header.get("kid")
    return kid


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key of the provider, and the signatures that it may check."""

    kid: str | None
    public: Any
    algorithms: tuple[str, ...]


class ProviderKeys:
    """The public keys of a provider, fetched when they are needed, one fetch at a time."""

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self._keys: list[PublicKey] = []
        self._fetched = self._tried = float("-inf")
        self._answers = False
        self._fetching = asyncio.Lock()

    async def key(self, kid: str | None) -> PublicKey:
        """The key of that name; without a name, the only key that there is.

        Raises PyJWTError where there is none, Transient where the provider cannot be asked.
        """
        known = self._known(kid)
        fresh = self._now() - self._fetched < FRESH
        if known is None or not (fresh or self._fetching.locked()):
            await self._fetch_in_turn()
            known = self._known(kid)
        if known is not None:
            return known
        if not self._answers:
            raise Transient("The identity provider cannot be asked for its keys now.", retry_after=PAUSE)
        raise jwt.InvalidKeyError("It is signed by a key that the provider does not have.")

    def _known(self, kid: str | None) -> PublicKey | None:
        if self._now() - self._fetched >= STALE:
            return None
        found = [key for key in self._keys if kid in (None, key.kid)]
        return found[0] if len(found) == 1 or (found and kid) else None

    async def _fetch_in_turn(self) -> None:
        """Fetch the keys, unless somebody has just tried."""
        async with self._fetching:
            if self._now() - self._tried < PAUSE:
                return
            self._answers = False
            try:
                self._keys = await _fetch(self._settings)
                self._fetched, self._answers = self._now(), True
            except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
                problem = str(error) or type(error).__name__
                log.error("The keys of %s cannot be fetched: %s", self._settings.oauth_issuer, problem)
            finally:
                self._tried = self._now()


async def _fetch(settings: Settings) -> list[PublicKey]:
    """The provider's keys as they are now. Raises ValueError for what are none, TimeoutError, and httpx2's errors."""
    client = await asyncio.to_thread(httpx2.AsyncClient, timeout=TIMEOUT)  # it reads certificates
    async with asyncio.timeout(TIMEOUT), client:
        address = settings.oauth_jwks_url or await _discover(client, settings)
        document = await _get(client, address)
    keys = await asyncio.to_thread(read_keys, document)
    if not keys:
        raise ValueError(f"There is no key in {address} that can be used")
    return keys


async def _discover(client: httpx2.AsyncClient, settings: Settings) -> str:
    """Where the provider says that its keys are."""
    issuer = settings.oauth_issuer
    document = await _get(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if document.get("issuer") != issuer:
        raise ValueError(f"The provider calls itself {document.get('issuer')!r}, which OAUTH_ISSUER has to be exactly")
    address = document.get("jwks_uri")
    if not isinstance(address, str) or not is_secure(address, settings.environment):
        raise ValueError(f"The provider names no address for its keys that begins with https:// but {address!r}")
    return address


async def _get(client: httpx2.AsyncClient, address: str) -> dict[str, Any]:
    """The JSON object at an address; no redirect is followed, and nothing large or compressed is taken."""
    async with client.stream("GET", address, headers={"Accept-Encoding": "identity"}) as answer:
        if answer.status_code != httpx2.codes.OK:
            raise ValueError(f"{address} answered {answer.status_code}")
        too_large = ValueError(f"{address} has more than {MAX_BYTES:,} bytes")
        content = await whole(answer.aiter_raw(), MAX_BYTES, too_large)
    document = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError(f"{address} is no JSON object")
    return document


def read_keys(document: Mapping[str, Any]) -> list[PublicKey]:
    """The keys of a JWK set that check signatures; others may be in it, and are left out."""
    keys = document.get("keys")
    return [key for jwk in keys if (key := _read_key(jwk))] if isinstance(keys, list) else []


def _read_key(jwk: Any) -> PublicKey | None:
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None
    family = ALGORITHMS.get(str(jwk.get("kty")), ())
    algorithms = tuple(each for each in family if each == jwk.get("alg", each))
    kid = jwk.get("kid")
    if not algorithms or not isinstance(kid, str | None):
        return None
    try:
        return PublicKey(kid, jwt.PyJWK(jwk).key, algorithms)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
