"""Writes what infra/terraform uses of its providers' schemas: `.venv/bin/python scripts/provider_schema.py`.

A schema is read out of a package of CDK Terrain's bindings, which are generated from it (MPL-2.0, as providers are).
For each attribute they say whether it is computed, optional or required, and of which type; for each block, how it
nests. What they do not say: descriptions, sensitivity, and how many blocks of a list there may be beyond one or many.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "infra" / "terraform"
SCHEMAS = ROOT / "tests" / "google_provider"
PACKAGES = {
    "google": "cdktn-provider-google==21.1.0"
    " --hash=sha256:157dead5025d5db5abe48e40cc49f0b6a4d8088fd0498eb17ad5a36bca811b2a",
    "google-beta": "cdktn-provider-google-beta==21.1.0"
    " --hash=sha256:335670a6abb9f779ee113bc07c9402e12431aa877444039080d224599a436e84",
}

Type = str | list[Any]
"""A type as Terraform writes it in JSON: "string", ["list", "string"], ["object", {...}]."""

SIMPLE = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
MAPS: dict[str, Type] = {
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
    "AnyMap": ["map", "dynamic"],
    "StringMapList": ["list", ["map", "string"]],
    "StringListList": ["list", ["list", "string"]],
}
"""Classes that stand for an attribute's type rather than for an object of its own."""
GETTER = re.compile(
    r"(?P<set>Fn\.tolist\()?(?:this\.)get(?P<of>String|Number|Boolean|Any)?(?P<many>List|Map)?Attribute\("
)

CLASS = re.compile(r"^class (\w+) extends cdktn\.(\w+) \{\n(.*?)^\}\n", re.DOTALL | re.MULTILINE)
MEMBER = re.compile(
    r"^    // (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n(.*?)(?=^    // (?:\w+ - computed:|=====)|\Z)",
    re.DOTALL | re.MULTILINE,
)
WRITER = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}\n", re.DOTALL | re.MULTILINE)
OWN_WRITER = re.compile(r"synthesizeHclAttributes\(\) \{\n(.*?)^    \}\n", re.DOTALL | re.MULTILINE)
WRITTEN = re.compile(
    r"^ +(\w+): \{\n +value: [^\n]*\n +isBlock: (\w+),\n +type: \"(\w+)\",\n +storageClassType: \"(\w+)\"", re.MULTILINE
)
DECLARATION = re.compile(r'^(resource|data) "(google_\w+)" "\w+" \{\n(?:  provider += (google-beta)\n)?', re.MULTILINE)
PART_OF_NAME = re.compile(r"(List|Map|OutputReference)$")


@dataclass(frozen=True, slots=True)
class Member:
    """What a class says of one attribute or block."""

    name: str
    computed: bool
    optional: bool
    required: bool
    body: str

    def nested(self) -> tuple[str, bool] | None:
        """The class that stands for its value, and whether that is a set."""
        found = re.search(rf"= new (?:\w+\.)?(\w+)\(this, \"{self.name}\"(?:, (true|false))?\)", self.body)
        return (found[1], found[2] == "true") if found else None


@dataclass(frozen=True, slots=True)
class Written:
    """How a class writes one attribute or block as configuration."""

    is_block: bool
    nesting: str
    storage: str


class Bindings:
    """The bindings of one resource, data source or provider."""

    def __init__(self, source: str) -> None:
        self.classes = {name: body for name, _, body in CLASS.findall(source)}
        ((self.top, self.kind),) = (
            (name, kind) for name, kind, _ in CLASS.findall(source) if kind.startswith("Terraform")
        )
        self.type_name = _only(r'static tfResourceType = "([\w-]+)"', source)
        self.version = _only(r"providers/hashicorp/google(?:-beta)?/([\d.]+)/docs", source)
        self.writers = {name[0].upper() + name[1:]: _written(body) for name, body in WRITER.findall(source)}
        own = OWN_WRITER.search(self.classes[self.top])
        self.writers[self.top] = _written(own[1]) if own else {}

    def schema(self) -> dict[str, Any]:
        """Its schema, as `terraform providers schema -json` would give it."""
        return {"version": 0, "block": self._block(self.top, self.top)}

    def _block(self, class_name: str, written_by: str) -> dict[str, Any]:
        attributes: dict[str, Any] = {}
        blocks: dict[str, Any] = {}
        for member in self._members(class_name):
            written = self.writers.get(written_by, {}).get(member.name)
            nested = member.nested()
            if written and written.is_block and not (nested and nested[0] in MAPS):
                blocks[member.name] = self._nested_block(member, written, nested)
            else:
                flags = {name: True for name in ("required", "optional", "computed") if getattr(member, name)}
                attributes[member.name] = {"type": self._attribute_type(member, written), **flags}
        return _without_empty({"attributes": attributes, "block_types": blocks})

    def _nested_block(self, member: Member, written: Written, nested: tuple[str, bool] | None) -> dict[str, Any]:
        if nested is None:  # the provider's own blocks have no classes, only writers
            written_by = PART_OF_NAME.sub("", written.storage)
            attributes = {
                name: {"type": _storage_type(each), "optional": True}
                for name, each in self.writers.get(written_by, {}).items()
            }
            return {"nesting_mode": "list", "max_items": 1, "block": {"attributes": attributes}}
        name, is_set = nested
        mode = "set" if is_set or written.nesting == "set" else "list"
        limits = {"min_items": 1} if member.required else {}
        if written.nesting == "struct":
            mode = "single"
        elif name.endswith("OutputReference"):
            limits["max_items"] = 1
        element = PART_OF_NAME.sub("", name)
        return {"nesting_mode": mode, **limits, "block": self._block(f"{element}OutputReference", element)}

    def _attribute_type(self, member: Member, written: Written | None) -> Type:
        simple = written and re.fullmatch(r"(string|number|boolean|any)(?:List|Map)?", written.storage)
        if written and simple and not member.nested():
            return _storage_type(written)
        return self._read_type(member)

    def _read_type(self, member: Member) -> Type:
        """The type that an attribute's getter returns."""
        if (nested := member.nested()) is None:
            return _getter_type(member)
        name, is_set = nested
        if name in MAPS:
            return MAPS[name]
        element = f"{PART_OF_NAME.sub('', name)}OutputReference"
        fields: Type = ["object", {each.name: self._read_type(each) for each in self._members(element)}]
        if name.endswith("OutputReference"):
            return fields
        return ["map" if name.endswith("Map") else "set" if is_set else "list", fields]

    def _members(self, class_name: str) -> Iterator[Member]:
        for name, computed, optional, required, body in MEMBER.findall(self.classes[class_name]):
            yield Member(name, computed == "true", optional == "true", required == "true", body)


def _written(body: str) -> dict[str, Written]:
    return {name: Written(block == "true", nesting, storage) for name, block, nesting, storage in WRITTEN.findall(body)}


def _storage_type(written: Written) -> Type:
    element = SIMPLE[re.sub(r"(List|Map)$", "", written.storage)]
    return element if written.nesting == "simple" else [written.nesting, element]


def _getter_type(member: Member) -> Type:
    found = GETTER.search(member.body)
    if found is None:
        if "interpolationForAttribute" in member.body:
            return "dynamic"
        raise ValueError(f"{member.name} has no getter that is understood: {member.body[:200]}")
    element = SIMPLE[(found["of"] or "String").lower()]
    if not found["many"]:
        return element
    return ["set" if found["set"] else found["many"].lower(), element]


def _without_empty(block: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in block.items() if value}


def _only(pattern: str, source: str) -> str:
    (found,) = set(re.findall(pattern, source))
    return str(found)


@dataclass(frozen=True, slots=True)
class Used:
    """The types of one provider that the module uses."""

    resources: set[str] = field(default_factory=set)
    data_sources: set[str] = field(default_factory=set)


def used_types(module: Path = MODULE) -> dict[str, Used]:
    """The types that the .tf files of a folder use, of each provider."""
    used = {provider: Used() for provider in PACKAGES}
    for path in module.rglob("*.tf"):
        for kind, name, provider in DECLARATION.findall(path.read_text()):
            of_provider = used[provider or "google"]
            (of_provider.resources if kind == "resource" else of_provider.data_sources).add(name)
    return used


def bindings(wheel: Path, used: Used) -> Iterator[Bindings]:
    """The bindings of the provider and of these types."""
    folders = {"provider", *used.resources, *(name.removeprefix("google_") for name in used.resources)}
    folders |= {f"data{name}" for name in used.data_sources}
    wanted = {name.replace("_", "") for name in folders}
    sources: dict[str, list[str]] = {}
    with zipfile.ZipFile(wheel) as archive:
        (inner,) = (name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        with archive.open(inner) as packed, tarfile.open(fileobj=packed, mode="r|gz") as files:
            for member in files:  # the classes of a large type are in several files
                found = re.fullmatch(r"package/lib/([\w-]+)/(?:index|index-structs/structs\d+)\.js", member.name)
                if found and found[1].replace("-", "") in wanted:
                    content = files.extractfile(member)
                    assert content is not None
                    sources.setdefault(found[1], []).append(content.read().decode())
    for parts in sources.values():
        yield Bindings("".join(parts))


def extract(wheel: Path, used: Used) -> dict[str, Any]:
    """The schema of the provider and of these types. Ends the program where a type is not there."""
    schema: dict[str, Any] = {"resource_schemas": {}, "data_source_schemas": {}}
    for found in bindings(wheel, used):
        schema["provider_version"] = found.version
        if found.kind == "TerraformProvider":
            schema["provider"] = found.schema()
        else:
            kind = "resource_schemas" if found.kind == "TerraformResource" else "data_source_schemas"
            schema[kind][found.type_name] = found.schema()
    missing = (used.resources - schema["resource_schemas"].keys()) | (
        used.data_sources - schema["data_source_schemas"].keys()
    )
    if missing:
        raise SystemExit(f"{wheel.name} lacks {', '.join(sorted(missing))}.")
    return schema


def download(package: str, folder: Path) -> Path:
    """Fetch a package, as pip is configured to. Raises CalledProcessError."""
    requirements = folder / "requirements.txt"
    requirements.write_text(package)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    command += ["--dest", str(folder), "--require-hashes", "--requirement", str(requirements)]
    subprocess.run(command, check=True, timeout=600)  # noqa: S603 - our own words
    (wheel,) = folder.glob("*.whl")
    return wheel


def written(schema: dict[str, Any]) -> str:
    """The schema as its file holds it: a line for each type, so that a difference can be read."""
    lines = [f'"{name}": {json.dumps(schema[name], sort_keys=True)}' for name in ("provider_version", "provider")]
    for kind in ("resource_schemas", "data_source_schemas"):
        types = [
            f"{json.dumps(name)}: {json.dumps(each, sort_keys=True)}" for name, each in sorted(schema[kind].items())
        ]
        lines.append(f'"{kind}": {{\n' + ",\n".join(types) + "\n}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def extracted() -> dict[str, str]:
    """What the file of each provider has to hold. Raises CalledProcessError where a package cannot be fetched."""
    files = {}
    for provider, used in used_types().items():
        with tempfile.TemporaryDirectory() as folder:
            files[provider] = written(extract(download(PACKAGES[provider], Path(folder)), used))
    return files


def main() -> None:
    """Write the schemas of what the .tf files use now."""
    for provider, text in extracted().items():
        path = SCHEMAS / f"{provider}.json"
        path.write_text(text)
        print(f"{path.relative_to(ROOT)}: {len(text):,} bytes")


if __name__ == "__main__":
    main()
