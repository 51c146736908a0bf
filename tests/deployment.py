"""A whole deployment on real servers: a bucket whose events go to a queue, the Gemini emulator, and our own parts."""

from __future__ import annotations

import json
import shutil
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx2

from tests.clouds import Aws, Gcs, Pubsub, fake_gcs, localstack, moto, pubsub
from tests.servers import ROOT, Server, flamehaven, free_port, running

Kind = Literal["google", "own", "moto", "localstack"]
"""Cloud Storage with Google's Pub/Sub emulator (ours, where it is missing) or always ours; S3 and SQS of either."""
DELIVERIES = 5
"""After so many deliveries a message is a dead letter."""


class Gemini:
    """The emulator of the File Search API as a server of its own."""

    def __init__(self, address: str) -> None:
        self.address = address

    def go_wrong(self, *rules: dict[str, Any], seed: int = 1) -> None:
        """From now on follow these rules, and no others."""
        answer = httpx2.put(f"{self.address}/emulator/faults", json={"seed": seed, "rules": rules})
        assert answer.status_code == 200, answer.text

    def documents(self) -> list[dict[str, Any]]:
        """Every document of every store."""
        stores = httpx2.get(f"{self.address}/emulator/state", timeout=30).json()["stores"]
        return [document for store in stores for document in store["documents"]]

    def texts(self) -> Counter[str]:
        """How many documents there are of each object, whether they answer questions yet or not."""
        return Counter(metadata(document)["flamehaven_object"] for document in self.documents())


def metadata(document: dict[str, Any]) -> dict[str, Any]:
    """A document's metadata by its keys."""
    return {entry["key"]: entry.get("stringValue") for entry in document["customMetadata"]}


@contextmanager
def gemini(folder: Path, *options: str) -> Iterator[Gemini]:
    """The emulator on a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "flamehaven.cli", "emulator", "--port", str(port), *options]
    command += ["--data", str(folder / "gemini")]
    address = f"http://127.0.0.1:{port}"
    with running(command, environment={}, url=address, log=folder / "gemini.log"):
        yield Gemini(address)


class Cloud(ABC):
    """A bucket of documents, a bucket of records, and the queue that the former's events go to."""

    documents = "docs"
    state = "state"

    @abstractmethod
    def settings(self) -> dict[str, str]:
        """What the product needs to know of it."""

    @abstractmethod
    def put(self, name: str, text: str | bytes, **described: str) -> None:
        """Write an object, with metadata."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete an object."""

    @abstractmethod
    def rename(self, name: str, new: str) -> None:
        """Copy an object and delete it."""

    @abstractmethod
    def send(self, body: bytes, attributes: dict[str, str] | None = None) -> None:
        """Add a message to the queue."""

    @abstractmethod
    def raw_events(self) -> list[tuple[bytes, dict[str, str]]]:
        """Take what the bucket said that nobody took yet; only where events are relayed."""

    @abstractmethod
    def dead(self) -> list[bytes]:
        """Take the bodies of the dead letters that are there now."""

    @abstractmethod
    def records(self) -> list[dict[str, Any]]:
        """The records in the bucket of state."""

    @abstractmethod
    def put_record(self, place: str, record: dict[str, Any]) -> None:
        """Write into the bucket of state."""


class GoogleCloud(Cloud):
    """Cloud Storage and Pub/Sub."""

    def __init__(self, gcs: Gcs, queue: Pubsub, topic: str, *, push: str = "", relayed: bool = False) -> None:
        self.gcs, self.queue, self.topic = gcs, queue, topic
        if relayed:
            self.raw = queue.create_subscription("raw", topic)
            self.topic = queue.create_topic("relayed")
        self.bucket = gcs.client.create_bucket(self.documents)
        gcs.client.create_bucket(self.state)
        self.dead_letters = queue.create_subscription("dead", queue.create_topic("dead"))
        self.subscription = queue.create_subscription(
            "ingest",
            self.topic,
            push=push,
            dead_letter=queue.publisher.topic_path("test", "dead"),
            max_delivery_attempts=DELIVERIES,
            backoff=(0.1, 1),
        )

    def settings(self) -> dict[str, str]:
        return {
            **self.gcs.environment(),
            **self.queue.environment(),
            "DOCUMENTS_URL": f"gs://{self.documents}",
            "STATE_URL": f"gs://{self.state}",
            "EVENTS_URL": "pubsub://test/ingest",
        }

    def put(self, name: str, text: str | bytes, **described: str) -> None:
        blob = self.bucket.blob(name)
        blob.metadata = described or None
        blob.upload_from_string(text, timeout=10)

    def delete(self, name: str) -> None:
        self.bucket.blob(name).delete(timeout=10)

    def rename(self, name: str, new: str) -> None:
        self.bucket.copy_blob(self.bucket.blob(name), self.bucket, new, timeout=10)
        self.delete(name)

    def send(self, body: bytes, attributes: dict[str, str] | None = None) -> None:
        self.queue.publish(self.topic, body, **(attributes or {}))

    def raw_events(self) -> list[tuple[bytes, dict[str, str]]]:
        found = [(message.data, dict(message.attributes)) for message in self.queue.pull_all(self.raw)]
        return [(data, attributes) for data, attributes in found if attributes.get("bucketId") == self.documents]

    def dead(self) -> list[bytes]:
        return [message.data for message in self.queue.pull_all(self.dead_letters)]

    def records(self) -> list[dict[str, Any]]:
        blobs = self.gcs.client.list_blobs(self.state, prefix="records/")
        return [json.loads(blob.download_as_bytes()) for blob in blobs]

    def put_record(self, place: str, record: dict[str, Any]) -> None:
        self.gcs.client.bucket(self.state).blob(place).upload_from_string(json.dumps(record))


class AmazonCloud(Cloud):
    """S3 and SQS."""

    def __init__(self, aws: Aws, *, relayed: bool = False) -> None:
        self.aws = aws
        if relayed:
            self.raw = aws.bucket_with_queue(self.documents, "raw", dead_letter=False).url
        self.queue, self.dead_letters = aws.bucket_with_queue(
            "unused" if relayed else self.documents, "ingest", dead_letter=True, max_receive_count=DELIVERIES
        )
        aws.s3().create_bucket(Bucket=self.state)

    def settings(self) -> dict[str, str]:
        return {
            **self.aws.environment(),
            "DOCUMENTS_URL": f"s3://{self.documents}",
            "STATE_URL": f"s3://{self.state}",
            "EVENTS_URL": "sqs://ingest",
        }

    def put(self, name: str, text: str | bytes, **described: str) -> None:
        body = text if isinstance(text, bytes) else text.encode()
        self.aws.s3().put_object(Bucket=self.documents, Key=name, Body=body, Metadata=described)

    def delete(self, name: str) -> None:
        self.aws.s3().delete_object(Bucket=self.documents, Key=name)

    def rename(self, name: str, new: str) -> None:
        self.aws.s3().copy_object(Bucket=self.documents, Key=new, CopySource={"Bucket": self.documents, "Key": name})
        self.delete(name)

    def send(self, body: bytes, attributes: dict[str, str] | None = None) -> None:
        self.aws.sqs().send_message(QueueUrl=self.queue, MessageBody=body.decode())

    def raw_events(self) -> list[tuple[bytes, dict[str, str]]]:
        sqs, found = self.aws.sqs(), []
        for message in sqs.receive_message(QueueUrl=self.raw, MaxNumberOfMessages=10).get("Messages", []):
            found.append((message["Body"].encode(), {}))
            sqs.delete_message(QueueUrl=self.raw, ReceiptHandle=message["ReceiptHandle"])
        return found

    def dead(self) -> list[bytes]:
        sqs, bodies = self.aws.sqs(), []
        for message in sqs.receive_message(QueueUrl=self.dead_letters, MaxNumberOfMessages=10).get("Messages", []):
            bodies.append(message["Body"].encode())
            sqs.delete_message(QueueUrl=self.dead_letters, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def records(self) -> list[dict[str, Any]]:
        s3, found = self.aws.s3(), []
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=self.state, Prefix="records/"):
            keys = [entry["Key"] for entry in page.get("Contents", [])]
            found += [json.loads(s3.get_object(Bucket=self.state, Key=key)["Body"].read()) for key in keys]
        return found

    def put_record(self, place: str, record: dict[str, Any]) -> None:
        self.aws.s3().put_object(Bucket=self.state, Key=place, Body=json.dumps(record).encode())


@contextmanager
def cloud(kind: Kind, folder: Path, *, push: str = "", relayed: bool = False) -> Iterator[Cloud]:
    """A cloud's servers; with `push` the queue posts its messages there, `relayed` only gets what is sent to it."""
    with ExitStack() as stack:
        if kind in ("moto", "localstack"):
            yield AmazonCloud(stack.enter_context((moto if kind == "moto" else localstack)(folder)), relayed=relayed)
            return
        queue = stack.enter_context(pubsub(folder, own=kind == "own"))
        topic = queue.create_topic("events")
        gcs = stack.enter_context(fake_gcs(folder, pubsub_host=queue.host, topic="events"))
        yield GoogleCloud(gcs, queue, topic, push=push, relayed=relayed)


@contextmanager
def container(folder: Path, cloud: Cloud, gemini: Gemini, **settings: str) -> Iterator[Server]:
    """The server on a cloud and a Gemini."""
    known = {**cloud.settings(), "GEMINI_BASE_URL": gemini.address, "GEMINI_API_KEY": "any", **settings}
    with flamehaven(folder, **known) as server:
        yield server


def deployed(folder: Path, packages: Sequence[str] = ("functions", "shared")) -> Path:
    """A tree that holds what is deployed as functions, and nothing else."""
    source = folder / "workspace"
    for package in packages:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    return source


def ask(server: httpx2.Client, question: str, store: str, path: str = "/api/search") -> dict[str, Any]:
    """What a search answers; empty while there is no such store."""
    answer = server.get(path, params={"q": question, "store": store})
    return dict(answer.json()) if answer.status_code == 200 else {}
