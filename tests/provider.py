"""An OIDC provider to test with: its keys, its two documents over HTTP, and tokens that it, or somebody else, signs."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.servers import free_port

AUDIENCE = "flamehaven"


@lru_cache
def private_key(name: str) -> Any:
    """A private key of that name, whose beginning says of which kind: rsa, small-rsa, ec, p384 or ed."""
    kind = name.partition("_")[0]
    if kind.endswith("rsa"):
        return rsa.generate_private_key(65537, 1024 if kind == "small-rsa" else 2048)
    if kind == "ed":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP384R1() if kind == "p384" else ec.SECP256R1())


def jwk(name: str, **changed: Any) -> dict[str, Any]:
    """The public half of a key, as a provider shows it; what is changed to None is left out."""
    kind = name.partition("_")[0]
    form = RSAAlgorithm if kind.endswith("rsa") else OKPAlgorithm if kind == "ed" else ECAlgorithm
    shown = {**form.to_jwk(private_key(name).public_key(), as_dict=True), "kid": name, "use": "sig", **changed}
    return {key: value for key, value in shown.items() if value is not None}


ALGORITHM = {"rsa": "RS256", "small-rsa": "RS256", "ec": "ES256", "p384": "ES384", "ed": "EdDSA"}


class Provider:
    """What a provider says; a test changes it as it goes."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.issuer = f"http://127.0.0.1:{port}/realms/test"
        self.jwks: Any = {"keys": [jwk("ec_1")]}
        self.discovery: dict[str, Any] = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        self.status = 200
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked: list[str] = []

    def claims(self, **changed: Any) -> dict[str, Any]:
        """The claims of a good token, but for those that are changed; None leaves one out."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": AUDIENCE, "sub": "ann@example.com", "iat": now, "exp": now + 300}
        claims |= {"roles": ["search"], "stores": ["it"], **changed}
        return {key: value for key, value in claims.items() if value is not None}

    def token(self, key: str = "ec_1", *, headers: dict[str, Any] | None = None, **changed: Any) -> str:
        """A token of these claims, signed with the key of that name."""
        algorithm = (headers or {}).get("alg", ALGORITHM[key.partition("_")[0]])
        headers = {"kid": key, **(headers or {})}
        return jwt.encode(self.claims(**changed), private_key(key), algorithm, headers=headers)


@contextmanager
def provider(port: int = 0) -> Iterator[Provider]:
    """A provider that answers on loopback until the block ends."""
    state = Provider(port or free_port())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            state.may_answer.wait(20)
            discovery = self.path.endswith("/.well-known/openid-configuration")
            body = json.dumps(state.discovery if discovery else state.jwks).encode()
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(body)))
            if state.status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            with contextlib.suppress(OSError):  # who asked may not want to hear it all
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", state.port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        state.may_answer.set()
        server.shutdown()
        server.server_close()
        thread.join()
