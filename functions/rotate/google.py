"""The API Keys API, Secret Manager and the Gemini API, through Google's own clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx2
from google import genai
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import api_keys_v2, secretmanager_v1
from google.genai import errors, types

from functions.rotate.rotation import Key, Version
from shared.failures import DependencyFailure, Misconfigured, Transient
from shared.gemini.failures import classify

GEMINI = "generativelanguage.googleapis.com"
MADE_FOR = "flamehaven"
"""The annotation of a key that says for which deployment it was made: nobody else's is ever touched."""
CALL_SECONDS = 30.0
MAKING_SECONDS = 120.0


class ApiKeys:
    """The keys of one deployment in a project."""

    def __init__(self, project: str, deployment: str, endpoint: str = "") -> None:
        self._parent = f"projects/{project}/locations/global"
        self._deployment = deployment
        transport = api_keys_v2.ApiKeysClient.get_transport_class("rest")
        self._client = api_keys_v2.ApiKeysClient(transport=transport(**_leading(endpoint)))

    def every(self) -> list[Key]:
        with _failing("The API Keys API"):
            request = {"parent": self._parent, "show_deleted": True, "page_size": 300}
            found = [
                key
                for key in self._client.list_keys(request, timeout=CALL_SECONDS)
                if key.annotations.get(MADE_FOR) == self._deployment
            ]
            return [self._whole(key) for key in found]

    def create(self, key_id: str) -> Key:
        target = api_keys_v2.ApiTarget(service=GEMINI)
        wanted = api_keys_v2.Key(
            display_name=key_id,
            annotations={MADE_FOR: self._deployment},
            restrictions=api_keys_v2.Restrictions(api_targets=[target]),
        )
        with _failing("The API Keys API"):
            request = {"parent": self._parent, "key": wanted, "key_id": key_id}
            try:
                made = self._client.create_key(request, timeout=CALL_SECONDS).result(timeout=MAKING_SECONDS)
            except exceptions.Conflict:
                made = self._client.get_key(name=self._name(key_id), timeout=CALL_SECONDS)
            return self._whole(made)

    def delete(self, key_id: str) -> None:
        with _failing("The API Keys API"):
            try:
                self._client.delete_key(name=self._name(key_id), timeout=CALL_SECONDS).result(timeout=MAKING_SECONDS)
            except exceptions.NotFound:
                return

    def _whole(self, key: Any) -> Key:
        deleted = bool(key.delete_time)
        text = "" if deleted else self._client.get_key_string(name=key.name, timeout=CALL_SECONDS).key_string
        return Key(key.name.rpartition("/")[2], text, key.create_time, deleted)

    def _name(self, key_id: str) -> str:
        return f"{self._parent}/keys/{key_id}"


class Secret:
    """The versions of one secret."""

    def __init__(self, secret: str, endpoint: str = "") -> None:
        self._secret = secret
        transport = secretmanager_v1.SecretManagerServiceClient.get_transport_class("rest")
        self._client = secretmanager_v1.SecretManagerServiceClient(transport=transport(**_leading(endpoint)))

    def versions(self) -> list[Version]:
        with _failing("Secret Manager"):
            request = {"parent": self._secret, "filter": "state:ENABLED", "page_size": 100}
            found = self._client.list_secret_versions(request, timeout=CALL_SECONDS)
            every = [_version(each) for each in found if each.state.name == "ENABLED"]
            return sorted(every, key=lambda version: version.number, reverse=True)

    def read(self, number: int) -> str:
        with _failing("Secret Manager"):
            found = self._client.access_secret_version(name=self._name(number), timeout=CALL_SECONDS)
            return str(found.payload.data.decode().strip())

    def add(self, text: str) -> Version:
        with _failing("Secret Manager"):
            payload = {"data": text.encode()}
            request = {"parent": self._secret, "payload": payload}
            return _version(self._client.add_secret_version(request, timeout=CALL_SECONDS))

    def destroy(self, number: int) -> None:
        with _failing("Secret Manager"):
            try:
                self._client.destroy_secret_version(name=self._name(number), timeout=CALL_SECONDS)
            except exceptions.BadRequest as error:
                if error.response is None or error.response.json()["error"]["status"] != "FAILED_PRECONDITION":
                    raise

    def _name(self, number: int) -> str:
        return f"{self._secret}/versions/{number}"


class GeminiApi:
    """The Gemini API."""

    def __init__(self, base_url: str = "") -> None:
        self._options = types.HttpOptions(base_url=base_url or None, timeout=int(CALL_SECONDS * 1000))

    def stores(self, text: str) -> frozenset[str] | None:
        client = genai.Client(api_key=text, http_options=self._options, vertexai=False)
        try:
            found = client.file_search_stores.list(config=types.ListFileSearchStoresConfig(page_size=20)).page
        except (errors.APIError, httpx2.HTTPError) as error:
            failure = classify(error)
            if isinstance(failure, Transient):
                raise failure from error
            return None
        finally:
            client.close()
        return frozenset(str(store.name) for store in found)


@contextmanager
def _failing(what: str) -> Iterator[None]:
    """Turn Google's errors into ours: what a role or a setting is missing for needs an operator."""
    try:
        yield
    except DependencyFailure:
        raise
    except (exceptions.ServerError, exceptions.TooManyRequests, exceptions.RetryError, exceptions.Aborted) as error:
        raise Transient(f"{what} is busy or failing ({type(error).__name__}).") from error
    except exceptions.ClientError as error:
        raise Misconfigured(f"{what} refuses this ({error.message}).") from error
    except (OSError, TimeoutError) as error:
        raise Transient(f"{what} did not answer ({type(error).__name__}).") from error


def _version(found: Any) -> Version:
    created: datetime = found.create_time
    return Version(int(found.name.rpartition("/")[2]), created)


def _leading(endpoint: str) -> dict[str, Any]:
    if not endpoint:
        return {}
    unsigned = AnonymousCredentials()  # type: ignore[no-untyped-call]  # it has no types
    return {"host": endpoint, "credentials": unsigned if endpoint.startswith("http://") else None}
