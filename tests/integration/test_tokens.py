"""OIDC tokens against a real provider: which are good, how its keys are kept, and what claims let one do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flamehaven import tokens
from flamehaven.tokens import FRESH, PAUSE, STALE, Tokens, caller_of, read_keys
from shared.access import Scope
from shared.errors import ServiceError
from shared.failures import Transient
from shared.settings import Settings, load_settings
from tests.provider import AUDIENCE, Provider, jwk, private_key, provider
from tests.servers import until


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def oidc() -> Iterator[Provider]:
    with provider() as found:
        yield found


def configured(issuer: str, **changed: Any) -> Settings:
    given = {"environment": "development", "oauth_issuer": issuer, "oauth_audience": AUDIENCE}
    return Settings(**{**given, **changed})


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        ("rsa_1", {}),
        ("rsa_1", {"alg": "PS512", "typ": "at+jwt"}),
        ("ec_1", {"typ": "application/at+JWT"}),
        ("p384_1", {}),
        ("ed_1", {}),
    ],
)
async def test_a_good_token_tells_who_has_it(oidc: Provider, key: str, headers: dict[str, Any]) -> None:
    oidc.jwks = {"keys": [jwk("rsa_1"), jwk("ec_1"), jwk("p384_1"), jwk("ed_1")]}
    checks = Tokens(configured(oidc.issuer))
    caller = await checks.caller(oidc.token(key, headers=headers))
    assert caller is not None
    assert (caller.scopes, caller.stores) == ({Scope.SEARCH}, {"it"})
    again = await checks.caller(oidc.token(roles=["upload"], jti="another"))
    assert again is not None
    assert again.id == caller.id
    other = await checks.caller(oidc.token(sub="bob@example.com"))
    assert other is not None
    assert other.id != caller.id
    assert "ann" not in caller.id
    assert oidc.issuer not in caller.id


def with_algorithm_none(oidc: Provider) -> str:
    return f"{part({'alg': 'none', 'kid': 'ec_1'})}.{part(oidc.claims())}."


def with_algorithm_none_in_other_letters(oidc: Provider) -> str:
    return f"{part({'alg': 'nOnE', 'kid': 'ec_1'})}.{part(oidc.claims())}."


def with_the_signature_left_out(oidc: Provider) -> str:
    return oidc.token().rpartition(".")[0] + "."


def signed_by_the_public_key_as_a_secret(oidc: Provider) -> str:
    oidc.jwks["keys"].append(jwk("rsa_1"))
    public = private_key("rsa_1").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part({'alg': 'HS256', 'kid': 'rsa_1'})}.{part(oidc.claims())}"
    signature = hmac.new(public, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def with_its_own_key(oidc: Provider) -> str:
    return oidc.token("ec_stranger", headers={"jwk": jwk("ec_stranger")})


def with_an_address_of_its_key(oidc: Provider) -> str:
    return oidc.token("ec_stranger", headers={"kid": "ec_1", "jku": f"{oidc.issuer}/stranger"})


def of_another_with_the_same_name(oidc: Provider) -> str:
    return oidc.token("ec_stranger", headers={"kid": "ec_1"})


def nested_deeply(oidc: Provider) -> str:
    deep = base64.urlsafe_b64encode(b"[" * 9000).rstrip(b"=").decode()
    return f"{deep}.{part({})}.{part({})}"


@pytest.mark.parametrize(
    "forge",
    [
        with_algorithm_none,
        with_algorithm_none_in_other_letters,
        with_the_signature_left_out,
        signed_by_the_public_key_as_a_secret,
        with_its_own_key,
        with_an_address_of_its_key,
        of_another_with_the_same_name,
        nested_deeply,
        lambda oidc: oidc.token(exp=int(time.time()) - 60),
        lambda oidc: oidc.token(exp=None),
        lambda oidc: oidc.token(exp="never"),
        lambda oidc: oidc.token(exp=float("inf"), sub=None),
        lambda oidc: oidc.token(nbf=int(time.time()) + 90),
        lambda oidc: oidc.token(iat=int(time.time()) + 90),
        lambda oidc: oidc.token(aud="another"),
        lambda oidc: oidc.token(aud=AUDIENCE + "2"),
        lambda oidc: oidc.token(aud=None),
        lambda oidc: oidc.token(iss=oidc.issuer + "/"),
        lambda oidc: oidc.token(iss=oidc.issuer[:-1]),
        lambda oidc: oidc.token(iss=None),
        lambda oidc: oidc.token(sub=None),
        lambda oidc: oidc.token(sub=""),
        lambda oidc: oidc.token(sub=" "),
        lambda oidc: oidc.token(exp=time.time() + 100_000),
        lambda oidc: oidc.token(headers={"typ": "logout+jwt"}),
        lambda oidc: oidc.token(headers={"crit": ["x"], "x": 1}),
        lambda oidc: f"{part({'alg': ['ES256'], 'kid': 'ec_1'})}.{part(oidc.claims())}.AA",
        lambda oidc: f"{part({'alg': 'ES256', 'kid': {}})}.{part(oidc.claims())}.AA",
        lambda oidc: oidc.token(padding="x" * 20_000),
    ],
)
async def test_a_token_that_is_not_good_tells_nothing(oidc: Provider, forge: Any) -> None:
    checks = Tokens(configured(oidc.issuer))
    assert await checks.caller(oidc.token()) is not None
    assert await checks.caller(forge(oidc)) is None
    assert not [path for path in oidc.asked if "stranger" in path]


async def test_clocks_may_differ_a_little(oidc: Provider) -> None:
    checks, now = Tokens(configured(oidc.issuer)), int(time.time())
    assert await checks.caller(oidc.token(exp=now - 5, nbf=now + 5, iat=now + 5)) is not None


@pytest.fixture(scope="module")
def signed() -> Iterator[tuple[Tokens, str]]:
    with provider() as oidc:
        checks, token = Tokens(configured(oidc.issuer)), oidc.token(stores=["it", "hr"])
        assert asyncio.run(checks.caller(token)) is not None
        yield checks, token


@given(data=st.data())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_no_change_of_a_token_is_let_through(signed: tuple[Tokens, str], data: st.DataObject) -> None:
    checks, token = signed
    at = data.draw(st.integers(0, len(token)))
    until = data.draw(st.integers(at, min(len(token), at + 40)))
    put = data.draw(st.text("abzAZ019-_.=[", max_size=12))
    changed = token[:at] + put + token[until:]
    if changed != token:
        assert asyncio.run(checks.caller(changed)) is None


SIGNATURE_LESS = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5c"]),
    st.sampled_from(["none", "None", "HS256", "ES256", "RS256", "EdDSA", "ec_1", "JWT", "", 0, None, True, [], {}]),
)


@given(header=SIGNATURE_LESS, signature=st.binary(max_size=300))
@settings(deadline=None, max_examples=150)
def test_no_header_makes_a_signature_unneeded(signed: tuple[Tokens, str], header: Any, signature: bytes) -> None:
    checks, token = signed
    claims, tail = token.split(".")[1], base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    assert asyncio.run(checks.caller(f"{part(header)}.{claims}.{tail}")) is None


async def test_new_keys_are_fetched_when_a_token_names_one_and_old_ones_end(oidc: Provider) -> None:
    clock = Clock()
    checks = Tokens(configured(oidc.issuer), now=clock)
    old, new = oidc.token("ec_1"), oidc.token("ec_2")
    assert await checks.caller(old) is not None
    clock.time += PAUSE
    oidc.jwks = {"keys": [jwk("ec_1"), jwk("ec_2")]}
    assert await checks.caller(new) is not None
    oidc.jwks = {"keys": [jwk("ec_2")]}
    assert await checks.caller(old) is not None, "remembered"
    clock.time += FRESH
    assert await checks.caller(old) is None
    assert await checks.caller(new) is not None


async def test_a_token_without_a_key_s_name_is_taken_while_there_is_one_key(oidc: Provider) -> None:
    token = jwt.encode(oidc.claims(), private_key("ec_1"), "ES256")
    assert await Tokens(configured(oidc.issuer)).caller(token) is not None
    oidc.jwks = {"keys": [jwk("ec_1"), jwk("ec_2")]}
    assert await Tokens(configured(oidc.issuer)).caller(token) is None


async def test_many_unknown_keys_are_one_question_to_the_provider(oidc: Provider) -> None:
    clock = Clock()
    checks = Tokens(configured(oidc.issuer), now=clock)
    await asyncio.gather(*[checks.caller(oidc.token()) for _ in range(20)])
    assert len(oidc.asked) == 2, "the discovery document and the keys, once"
    strange = [oidc.token(headers={"kid": f"strange-{number}"}) for number in range(50)]
    assert await asyncio.gather(*map(checks.caller, strange)) == [None] * 50
    assert len(oidc.asked) == 2, "so soon nothing new is expected"
    clock.time += PAUSE
    assert await asyncio.gather(*map(checks.caller, strange)) == [None] * 50
    assert len(oidc.asked) == 4


async def test_a_provider_that_cannot_be_reached_makes_no_token_wrong(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with provider() as oidc:
        port, token, strange = oidc.port, oidc.token(), oidc.token("ec_2")
    checks = Tokens(configured(oidc.issuer), now=clock)
    for _ in range(3):
        with pytest.raises(Transient) as refused:
            await checks.caller(token)
        assert refused.value.retry_after == PAUSE
    assert len(caplog.records) == 1, "one try, and no further ones for a while"
    with provider(port) as back:
        with pytest.raises(Transient):
            await checks.caller(token)
        assert back.asked == []
        clock.time += PAUSE
        assert await checks.caller(token) is not None
    clock.time += FRESH
    assert await checks.caller(token) is not None, "its last keys are good for a while"
    with pytest.raises(Transient):
        await checks.caller(strange)
    clock.time += STALE
    with pytest.raises(Transient):
        await checks.caller(token)
    assert token not in caplog.text


async def test_a_slow_provider_keeps_nobody_waiting_whose_key_is_known(
    oidc: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    checks = Tokens(configured(oidc.issuer), now=clock)
    assert await checks.caller(oidc.token()) is not None
    clock.time += FRESH
    oidc.may_answer.clear()
    monkeypatch.setattr(tokens, "TIMEOUT", 1.0)
    asking = asyncio.create_task(checks.caller(oidc.token("ec_2")))
    await asyncio.to_thread(until, lambda: len(oidc.asked) == 3)
    assert await checks.caller(oidc.token()) is not None
    assert not asking.done()
    with pytest.raises(Transient):
        await asking


@pytest.mark.parametrize(
    "change",
    [
        {"jwks": {"keys": [jwk("ec_1"), {"padding": "x" * tokens.MAX_BYTES}]}},
        {"jwks": {"keys": []}},
        {"jwks": ["keys"]},
        {"jwks": "no keys"},
        {"jwks": {"keys": {"ec_1": jwk("ec_1")}}},
        {"status": 500},
        {"status": 302},
        {"discovery": {}},
        {"discovery": {"issuer": "http://127.0.0.1/another", "jwks_uri": "http://127.0.0.1/keys"}},
    ],
)
async def test_what_is_no_set_of_keys_is_none(oidc: Provider, change: dict[str, Any]) -> None:
    for name, value in change.items():
        setattr(oidc, name, value)
    with pytest.raises(Transient):
        await Tokens(configured(oidc.issuer)).caller(oidc.token())
    assert "/elsewhere" not in oidc.asked


@pytest.mark.parametrize("address", [None, "http://192.0.2.1/keys", "file:///etc/passwd", "https:///keys", 7])
async def test_the_provider_s_keys_come_over_https(
    oidc: Provider, address: Any, caplog: pytest.LogCaptureFixture
) -> None:
    oidc.discovery["jwks_uri"] = address
    with pytest.raises(Transient):
        await Tokens(configured(oidc.issuer)).caller(oidc.token())
    assert "https://" in caplog.text
    assert len(oidc.asked) == 1


async def test_an_address_of_keys_needs_no_discovery(oidc: Provider) -> None:
    checks = Tokens(configured(oidc.issuer, oauth_jwks_url=f"http://127.0.0.1:{oidc.port}/here"))
    assert await checks.caller(oidc.token()) is not None
    assert oidc.asked == ["/here"]


def test_only_keys_that_check_signatures_are_read() -> None:
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"}
    keys = [
        secret,
        {**secret, "kty": "RSA"},
        jwk("ec_1", use="enc"),
        jwk("ec_1", alg="RSA-OAEP"),
        jwk("ec_1", alg="HS256"),
        jwk("ec_1", d="AQAB"),
        jwk("ec_1", kid=7),
        jwk("ec_1", x="!"),
        jwk("ec_1", crv="P-257"),
        "ec_1",
        None,
        jwk("ec_1", use=None, alg="ES256"),
    ]
    (found,) = read_keys({"keys": keys})
    assert (found.kid, found.algorithms) == ("ec_1", ("ES256",))


async def test_a_key_that_is_too_short_checks_nothing(oidc: Provider) -> None:
    oidc.jwks = {"keys": [jwk("small-rsa_1")]}
    signed = f"{part({'alg': 'RS256', 'kid': 'small-rsa_1'})}.{part(oidc.claims())}"
    signature = jwt.get_algorithm_by_name("RS256").sign(signed.encode(), private_key("small-rsa_1"))
    token = f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert await Tokens(configured(oidc.issuer)).caller(token) is None


EVERY = {"search", "upload", "manage", "admin"}


@pytest.mark.parametrize(
    ("claims", "changed", "scopes", "stores"),
    [
        ({"roles": ["search", "upload", "dance"], "stores": ["hr"]}, {}, {"search", "upload"}, {"hr"}),
        ({"roles": "manage", "stores": "hr"}, {}, {"manage"}, {"hr"}),
        ({"roles": ["search"]}, {}, {"search"}, set()),
        ({"roles": ["search"], "stores": None}, {}, {"search"}, set()),
        ({"roles": ["search"], "stores": ["*"]}, {}, {"search"}, None),
        ({"roles": ["search"], "stores": ["hr", 7, None]}, {}, {"search"}, {"hr"}),
        ({"roles": ["search"], "stores": {"hr": True}}, {}, {"search"}, set()),
        ({"roles": ["search"]}, {"oauth_stores_claim": ""}, {"search"}, None),
        ({"roles": ["search"], "a": {"b": ["hr"]}}, {"oauth_stores_claim": "a.b"}, {"search"}, {"hr"}),
        ({"roles": ["admin"]}, {}, {"admin"}, None),
        ({"roles": ["admin"], "stores": ["hr"]}, {}, {"admin"}, {"hr"}),
        ({"roles": ["admin"], "stores": []}, {}, {"admin"}, set()),
        ({}, {}, set(), set()),
        ({"roles": {"admin": True}}, {}, set(), set()),
        ({"roles": 7}, {}, set(), set()),
        ({"roles": ["ADMIN", " admin", "fs:admin"]}, {}, set(), set()),
        ({"roles": ["admin", "fs:search"]}, {"oauth_roles_prefix": "fs:"}, {"search"}, set()),
        ({"roles": ["fs:admin"]}, {"oauth_roles_prefix": "fs:"}, {"admin"}, None),
        ({"roles": ["admin"]}, {"oauth_required_roles": "admin"}, {"admin"}, None),
        ({"roles": ["admin"]}, {"oauth_required_roles": "boss, chief"}, set(), set()),
        ({"roles": ["chief"]}, {"oauth_required_roles": "boss, chief"}, {"admin"}, None),
        ({"scope": "openid search upload"}, {"oauth_roles_claim": "scope"}, {"search", "upload"}, set()),
        ({"a": {"b": ["search"]}}, {"oauth_roles_claim": "a.b"}, {"search"}, set()),
        ({"https://x.y/roles": ["search"]}, {"oauth_roles_claim": "https://x.y/roles"}, {"search"}, set()),
        ({"a": "b"}, {"oauth_roles_claim": "a.b.c"}, set(), set()),
    ],
)
def test_claims_say_what_one_may_do(
    claims: dict[str, Any], changed: dict[str, Any], scopes: set[str], stores: set[str] | None
) -> None:
    caller = caller_of({"iss": "i", "sub": "s\ud800", **claims}, configured("https://i.example", **changed))
    assert (caller.scopes, caller.stores) == (scopes, stores)


def test_an_admin_with_stores_is_none_of_everything() -> None:
    caller = caller_of({"iss": "i", "sub": "s", "roles": ["admin"], "stores": ["hr"]}, configured("https://i.example"))
    assert not caller.may(Scope.ADMIN)
    assert caller.may(Scope.MANAGE)
    assert caller.may(Scope.SEARCH, Scope.UPLOAD)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"OAUTH_ISSUER": "https://id.example"}, "OAUTH_AUDIENCE is empty"),
        ({"OAUTH_ISSUER": "http://id.example", "OAUTH_AUDIENCE": "x"}, "OAUTH_ISSUER: got 'http://id.example'"),
        ({"OAUTH_ISSUER": "http://127.0.0.1", "OAUTH_AUDIENCE": "x", "ENVIRONMENT": "production"}, "https://"),
        ({"OAUTH_ISSUER": "i", "OAUTH_AUDIENCE": "x", "OAUTH_JWKS_URL": "http://10.0.0.1/"}, "OAUTH_JWKS_URL: got"),
        ({"OAUTH_ISSUER": "id.example", "OAUTH_AUDIENCE": "x"}, "OAUTH_ISSUER: got"),
    ],
)
def test_a_provider_that_cannot_be_believed_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    for name, value in {"ENVIRONMENT": "development", "GEMINI_BASE_URL": "emulator:", **given}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ServiceError) as refused:
        load_settings()
    assert said in refused.value.message


async def test_no_token_is_logged(oidc: Provider, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    checks = Tokens(configured(oidc.issuer))
    good, bad = oidc.token(), oidc.token(aud="another")
    assert await checks.caller(good) is not None
    assert await checks.caller(bad) is None
    assert "InvalidAudienceError" in caplog.text
    for token in (good, bad):
        assert not [piece for piece in token.split(".")[1:] if piece in caplog.text]
