"""Stand-ins for the providers google, google-beta and time, which the real terraform talks to.

Terraform checks a configuration against the types that a provider names: arguments that are unknown, missing or of the
wrong type, blocks that may not be there, resources that do not exist. These stand-ins also check the google provider's
own rules for arguments (rules.py), and refuse what a project would refuse (project.py). Plans are what the
configuration says, with what Google would make up left unknown; an apply makes it up. No time passes in `time_sleep`.

Protocol: Terraform's plugin protocol 5, reached through TF_REATTACH_PROVIDERS ("Debugging Providers", Terraform's
plugin documentation). The schemas: scripts/provider_schema.py; time.json is from the documentation of hashicorp/time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any

import grpc
import msgpack

from tests.google_provider import rules
from tests.google_provider.project import Project, Refused

HERE = Path(__file__).parent
PROVIDERS = ("google", "google-beta", "time")
NESTING = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}
UNKNOWN = msgpack.ExtType(0, b"")
NAMES = (
    "name",
    "account_id",
    "secret_id",
    "repository_id",
    "slo_id",
    "service_id",
    "service",
    "display_name",
    "bucket",
)
"""What the made-up attributes of a resource are called after, the first that it has."""
IDS = {"google_secret_manager_secret": "projects/{project}/secrets/{secret_id}"}
"""Ids that other resources take apart, as Google forms them."""

Block = dict[str, Any]
Value = dict[str, Any]


@lru_cache(maxsize=1)
def messages() -> Any:
    """The messages of plugin.proto."""
    return grpc.protos("tests/google_provider/plugin.proto")


@contextmanager
def serving(folder: Path, project: Project) -> Iterator[dict[str, str]]:
    """Serve the providers on sockets in a folder until the block ends; the environment that leads terraform to them."""
    reattach = {}
    with ExitStack() as stack:
        for name in PROVIDERS:
            socket = folder / f"{name}.sock"
            server = _server(Provider(json.loads((HERE / f"{name}.json").read_text()), project))
            server.add_insecure_port(f"unix:{socket}")
            server.start()
            stack.callback(lambda server: server.stop(None).wait(10), server)
            reattach[f"registry.terraform.io/hashicorp/{name}"] = {
                "Protocol": "grpc",
                "ProtocolVersion": 5,
                "Pid": os.getpid(),
                "Test": True,
                "Addr": {"Network": "unix", "String": str(socket)},
            }
        yield {"TF_REATTACH_PROVIDERS": json.dumps(reattach)}


def _server(provider: Provider) -> Any:
    pb = messages()
    calls = {
        "GetSchema": (provider.get_schema, pb.Any),
        "PrepareProviderConfig": (provider.prepare, pb.Configuration),
        "Configure": (provider.configure, pb.ConfigureRequest),
        "ValidateResourceTypeConfig": (provider.validate, pb.ValidateRequest),
        "ValidateDataSourceConfig": (provider.accept, pb.Any),
        "UpgradeResourceState": (provider.upgrade, pb.UpgradeRequest),
        "ReadResource": (provider.read, pb.ReadRequest),
        "PlanResourceChange": (provider.plan, pb.PlanRequest),
        "ApplyResourceChange": (provider.apply, pb.ApplyRequest),
        "ReadDataSource": (provider.read_data, pb.DataRequest),
        "Stop": (provider.accept, pb.Any),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=request.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )
        for name, (call, request) in calls.items()
    }
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin5.Provider", handlers),))
    return server


class Provider:
    """Answers as a provider does."""

    def __init__(self, schema: dict[str, Any], project: Project) -> None:
        self._schema = schema
        self._project = project
        self._default_project: str | None = None

    def get_schema(self, request: Any, context: Any) -> Any:
        return messages().Schemas(
            provider=_schema(self._schema["provider"]),
            resource_schemas={name: _schema(each) for name, each in self._schema["resource_schemas"].items()},
            data_source_schemas={name: _schema(each) for name, each in self._schema["data_source_schemas"].items()},
        )

    def prepare(self, request: Any, context: Any) -> Any:
        return request

    def accept(self, request: Any, context: Any) -> Any:
        # Terraform itself compares a configuration with the schema before it asks.
        return messages().Any()

    def configure(self, request: Any, context: Any) -> Any:
        self._default_project = (_decode(request.config) or {}).get("project")
        return messages().Any()

    def validate(self, request: Any, context: Any) -> Any:
        config = _decode(request.config) or {}
        return messages().Problems(diagnostics=[_error(each) for each in rules.problems(request.type_name, config)])

    def upgrade(self, request: Any, context: Any) -> Any:
        return messages().State(state=messages().DynamicValue(json=request.raw_state.json))

    def read(self, request: Any, context: Any) -> Any:
        value = _decode(request.current_state)
        return messages().State(state=_encode(value and self._project.read(request.type_name, value)))

    def plan(self, request: Any, context: Any) -> Any:
        prior, value = _decode(request.prior_state), _decode(request.proposed_new_state)
        replacing: list[str] = []
        if value is not None:
            self._fill_in(request.type_name, value)
            _complete(self._block("resource_schemas", request), value, lambda name, kind: UNKNOWN)
            replacing = rules.replacing(request.type_name, prior, value) if prior else []
        return messages().Planned(
            planned_state=_encode(value), requires_replace=[_path(name) for name in replacing], legacy_type_system=True
        )

    def apply(self, request: Any, context: Any) -> Any:
        prior, value = _decode(request.prior_state), _decode(request.planned_state)
        try:
            if value is None:
                assert prior is not None
                self._project.delete(request.type_name, prior)
            else:
                _complete(self._block("resource_schemas", request), value, _made_up(request.type_name, value))
                (self._project.update if prior else self._project.create)(request.type_name, value)
        except Refused as error:
            return messages().Applied(
                new_state=_encode(prior), diagnostics=[_error(str(error))], legacy_type_system=True
            )
        return messages().Applied(new_state=_encode(value), legacy_type_system=True)

    def read_data(self, request: Any, context: Any) -> Any:
        value = _decode(request.config)
        assert value is not None
        try:
            self._project.look_up(request.type_name, value)
        except Refused as error:
            return messages().State(state=_encode(None), diagnostics=[_error(str(error))])
        _complete(self._block("data_source_schemas", request), value, _made_up(request.type_name, value))
        return messages().State(state=_encode(value))

    def _block(self, kind: str, request: Any) -> Block:
        return dict(self._schema[kind][request.type_name]["block"])

    def _fill_in(self, type_name: str, value: Value) -> None:
        """Give a resource the provider's project where it names none."""
        attribute = self._schema["resource_schemas"][type_name]["block"]["attributes"].get("project", {})
        if attribute.get("computed") and value.get("project") is None and self._default_project:
            value["project"] = self._default_project


def _error(detail: str) -> Any:
    return messages().Diagnostic(severity=messages().Diagnostic.ERROR, summary="Refused", detail=detail)


def _path(name: str) -> Any:
    pb = messages().AttributePath
    return pb(steps=[pb.Step(attribute_name=name)])


def _complete(block: Block, value: Value, make: Callable[[str, Any], Any]) -> None:
    """Give each attribute that Google would make up, and that is not there yet, a value; forget what is write-only."""
    for name, attribute in block.get("attributes", {}).items():
        if _is_write_only(name):
            value[name] = None
        elif attribute.get("computed") and isinstance(value.get(name), (NoneType, msgpack.ExtType)):
            value[name] = make(name, attribute["type"])
    for name, nested in block.get("block_types", {}).items():
        found = value.get(name)
        for each in found if isinstance(found, list) else [found]:
            if isinstance(each, dict):
                _complete(nested["block"], each, make)


def _made_up(type_name: str, value: Value) -> Callable[[str, Any], Any]:
    """Values that tell which attribute of which resource they are."""
    owner = next((value[name] for name in NAMES if isinstance(value.get(name), str)), type_name)

    def make(name: str, kind: Any) -> Any:
        if name == "id" and type_name in IDS:
            return IDS[type_name].format_map(value)
        if kind in ("string", "dynamic"):
            return f"{name}-of-{owner}"
        if kind in ("number", "bool"):
            return 0 if kind == "number" else False
        if kind[0] == "object":
            return {field: make(field, each) for field, each in kind[1].items()}
        return {} if kind[0] == "map" else []

    return make


def _is_write_only(name: str) -> bool:
    """The bindings do not say it; the google provider names such arguments so."""
    return name.endswith("_wo")


def _schema(found: dict[str, Any]) -> Any:
    return messages().Schema(block=_block(found["block"]))


def _block(block: Block) -> Any:
    pb = messages().Schema
    attributes = [
        pb.Attribute(
            name=name,
            type=json.dumps(each["type"]).encode(),
            required=each.get("required", False),
            optional=each.get("optional", False),
            computed=each.get("computed", False),
            write_only=_is_write_only(name),
        )
        for name, each in block.get("attributes", {}).items()
    ]
    nested = [
        pb.NestedBlock(
            type_name=name,
            block=_block(each["block"]),
            nesting=NESTING[each["nesting_mode"]],
            min_items=each.get("min_items", 0),
            max_items=each.get("max_items", 0),
        )
        for name, each in block.get("block_types", {}).items()
    ]
    return pb.Block(attributes=attributes, block_types=nested)


def _decode(value: Any) -> Value | None:
    found = msgpack.unpackb(value.msgpack, strict_map_key=False) if value.msgpack else json.loads(value.json)
    return found if found is None else dict(found)


def _encode(value: Value | None) -> Any:
    return messages().DynamicValue(msgpack=msgpack.packb(value))
