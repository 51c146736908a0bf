"""A server that takes an OIDC provider's tokens beside its own keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provider import AUDIENCE, Provider, provider
from tests.servers import Server, flamehaven, until

ADMIN_KEY = "the-admin-key-of-this-test"
RETRY_AFTER = "10"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def oidc() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture(scope="module")
def served(oidc: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("oidc")
    for store, text in {"hr": "The safe's code is 4711.", "it": "The router's code is 8888."}.items():
        (folder / "documents" / store).mkdir(parents=True)
        (folder / "documents" / store / "codes.md").write_text(text)
    with flamehaven(folder, OAUTH_ISSUER=oidc.issuer, OAUTH_AUDIENCE=AUDIENCE) as server:
        admin = bearer(oidc.token(roles=["admin"], stores=None))
        until(lambda: len(server.get("/api/documents?status=indexed", headers=admin).json()["documents"]) == 2)
        yield server


def test_a_development_server_with_a_provider_is_not_open(served: Server) -> None:
    refused = served.get("/api/stores")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


def test_a_token_opens_what_its_roles_say_and_nothing_else(served: Server, oidc: Provider) -> None:
    asks = bearer(oidc.token())
    assert "8888" in served.get("/api/search?q=code+of+the+router&store=it", headers=asks).text
    for refused in (
        served.delete("/api/documents/it/codes.md", headers=asks),
        served.get("/api/admin/keys", headers=asks),
        served.get("/api/stores", headers=bearer(oidc.token(roles=["dance"]))),
        served.get("/api/stores", headers=bearer(oidc.token(roles=None))),
    ):
        assert (refused.status_code, refused.json()["error"]) == (403, "PERMISSION_DENIED")
        assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'


def test_a_token_cannot_name_list_or_see_cited_another_store(served: Server, oidc: Provider) -> None:
    headers = bearer(oidc.token(roles=["search", "upload", "manage"], stores=["it"]))
    for refused in (
        served.get("/api/search?q=code+of+the+safe&store=hr", headers=headers),
        served.post("/api/search", json={"query": "code of the safe", "stores": ["it", "hr"]}, headers=headers),
        served.get("/api/documents/hr/codes.md", headers=headers),
        served.put("/api/documents/hr/codes.md", content=b"Changed.", headers=headers),
        served.post("/api/stores/hr/reindex", headers=headers),
    ):
        assert refused.status_code == 403, refused.text
        assert "4711" not in refused.text
    assert list(served.get("/api/stores", headers=headers).json()["stores"]) == ["it"]
    listed = served.get("/api/documents", headers=headers).json()["documents"]
    assert [document["object"] for document in listed] == ["it/codes.md"]
    without = bearer(oidc.token(stores=None))
    assert served.get("/api/stores", headers=without).json()["stores"] == {}
    assert served.get("/api/search?q=x&store=it", headers=without).status_code == 403


def test_an_admin_makes_keys_unless_there_are_stores_for_its_token(served: Server, oidc: Provider) -> None:
    admin, limited = oidc.token(roles=["admin"], stores=None), oidc.token(roles=["admin"], stores=["it"])
    made = served.post("/api/admin/keys", json={"name": "x"}, headers=bearer(admin))
    assert made.status_code == 201
    assert served.get("/api/stores", headers=bearer(made.json()["key"])).status_code == 200
    assert served.post("/api/admin/keys", json={"name": "x"}, headers=bearer(limited)).status_code == 403
    assert served.post("/api/reconcile?dry_run=true", headers=bearer(limited)).status_code == 403
    assert served.post("/api/stores/it/reindex", headers=bearer(limited)).status_code == 202


def test_a_token_that_is_not_good_is_401(served: Server, oidc: Provider) -> None:
    for token in (oidc.token(aud="another"), oidc.token("ec_stranger", headers={"kid": "ec_1"}), "a.b.c", "a.b."):
        refused = served.get("/api/stores", headers=bearer(token))
        assert (refused.status_code, refused.json()["error"]) == (401, "INVALID_API_KEY")
        assert refused.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert token not in refused.text


def test_a_provider_that_is_away_at_first_is_503_and_keys_go_on(tmp_path: Path) -> None:
    with provider() as oidc:
        token = oidc.token(roles=["admin"], stores=None)
    settings = {"OAUTH_ISSUER": oidc.issuer, "OAUTH_AUDIENCE": AUDIENCE, "FLAMEHAVEN_ADMIN_KEY": ADMIN_KEY}
    with flamehaven(tmp_path, **settings) as server:
        refused = server.get("/api/stores", headers=bearer(token))
        assert (refused.status_code, refused.json()["error"]) == (503, "SERVICE_UNAVAILABLE")
        assert refused.headers["retry-after"] == RETRY_AFTER
        assert server.get("/api/stores", headers=bearer(ADMIN_KEY)).status_code == 200
    log = (tmp_path / "server.log").read_text()
    assert log.count(f"The keys of {oidc.issuer} cannot be fetched") == 1
    assert token not in log
    assert token.rpartition(".")[2] not in log
