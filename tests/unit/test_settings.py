"""Settings: the documented table is the model, and a wrong value stops the start with a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.errors import ServiceError
from shared.secret import OUTLASTS, REREAD_AFTER, SecretSource
from shared.settings import Settings, load_settings

TABLE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Settings.model_fields, "google_api_key"):
        monkeypatch.delenv(name.upper(), raising=False)


def documented(default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    return f"`{default}`" if str(default) else ""


def test_the_documented_table_is_the_model() -> None:
    rows = [
        f"| `{name.upper()}` | {documented(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    written = [line for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    assert written == rows, "docs/settings.md must hold exactly these rows:\n" + "\n".join(rows)


def test_the_guide_s_settings_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "secret-key")
    monkeypatch.setenv("DEFAULT_MODEL", "gemini-2.5-flash")
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("LOG_LEVEL", "INFO")
    found = load_settings()
    assert (found.default_model, found.environment, found.log_level) == ("gemini-2.5-flash", "production", "info")
    assert found.key() == "secret-key"
    assert not found.embedded
    assert "secret-key" not in repr(found)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "eighty", "PORT: got 'eighty'; Input should be a valid integer"),
        ("TEMPERATURE", "3", "TEMPERATURE: got '3'; Input should be less than or equal to 2"),
        ("ENVIRONMENT", "staging", "'production' or 'development'"),
        ("GEMINI_BASE_URL", "localhost:9000", "takes an http:// or https:// address, or emulator:"),
        ("NOTIFY_URL", "https://example.com:port/", "NOTIFY_URL: got 'https://example.com:port/'; Port could not be"),
        ("CORS_ORIGINS", "https://a.example.com, b.example.com", "'b.example.com' is no origin such as https://"),
        ("CORS_ORIGINS", "https://a.example.com/", "'https://a.example.com/' is no origin such as https://"),
        ("DOCUMENTS_URL", "ftp://x", "takes gs://BUCKET/PREFIX, s3://BUCKET/PREFIX, the path of a folder"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "secret-key")
    monkeypatch.setenv(name, value)
    with pytest.raises(ServiceError) as refused:
        load_settings()
    assert name in refused.value.message
    assert said in refused.value.message
    assert "secret-key" not in refused.value.message


def test_production_needs_a_key_or_asks_for_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceError, match=r"GEMINI_API_KEY is empty.*GEMINI_BASE_URL=emulator:"):
        load_settings()
    monkeypatch.setenv("GEMINI_BASE_URL", "emulator:")
    assert load_settings().embedded


def test_development_without_a_key_is_on_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "development")
    assert load_settings().embedded
    monkeypatch.setenv("GOOGLE_API_KEY", "k")
    assert not load_settings().embedded


def test_the_key_may_be_in_a_file_and_is_read_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "gemini.key"
    monkeypatch.setenv("GEMINI_API_KEY", str(file))
    with pytest.raises(ServiceError, match="names a file that cannot be read"):
        load_settings()
    file.write_text("first\n")
    source = load_settings().key_source()
    assert source.value() == "first"
    file.write_text("second\n")
    assert source.value() == "first"
    assert source.reread() == source.value() == "second"


@pytest.mark.parametrize("replacing", [Path.unlink, lambda file: file.write_text("")])
def test_a_secret_outlasts_the_moment_in_which_its_file_is_replaced_and_not_its_removal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, replacing: Callable[[Path], object]
) -> None:
    now = 1000.0
    monkeypatch.setattr("shared.secret.time.monotonic", lambda: now)
    file = tmp_path / "key"
    file.write_text("first")
    source = SecretSource(str(file))
    assert source.value() == "first"
    replacing(file)
    now += REREAD_AFTER
    assert source.value() == "first"
    file.write_text("second")
    now += REREAD_AFTER
    assert source.value() == "second"
    replacing(file)
    now += OUTLASTS
    if file.exists():
        assert source.value() == ""
    else:
        with pytest.raises(FileNotFoundError):
            source.value()


def test_places_default_to_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    monkeypatch.setenv("DATA_DIR", "/srv/data")
    found = load_settings()
    assert (found.documents_place, found.state_place) == ("/srv/data/documents", "/srv/data/state")
    monkeypatch.setenv("DOCUMENTS_URL", "/data/documents")
    assert load_settings().documents_place == "/data/documents"


def test_the_example_of_a_production_environment_holds_settings_that_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = (TABLE.parents[1] / ".env.production.example").read_text().splitlines()
    given = [line.removeprefix("#").partition("=") for line in lines if re.match(r"#?[A-Z_]+=", line)]
    assert len(given) > 10
    for name, _, value in given:
        assert name.lower() in Settings.model_fields, name
        if value.startswith("/etc/secrets/"):
            value = str(tmp_path / value.rpartition("/")[2])
            Path(value).write_text("secret-of-sixteen-bytes")
        monkeypatch.setenv(name, value)
    found = load_settings()
    assert found.key() == "secret-of-sixteen-bytes"
    for name in ("GEMINI_PROJECT", "DEFAULT_MODEL", "MAX_FILE_SIZE_MB", "LOG_LEVEL", "WORKERS"):
        assert f"#{name}={Settings.model_fields[name.lower()].default}" in lines


@pytest.mark.parametrize(
    "given", ["secrets/admin.key", "./admin.key", "~/admin.key", "pyproject.toml", "/nowhere/admin.key"]
)
def test_a_path_is_not_taken_for_the_admin_key(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("ENVIRONMENT", "development")
    monkeypatch.setenv("FLAMEHAVEN_ADMIN_KEY", given)
    with pytest.raises(ServiceError, match=r"FLAMEHAVEN_ADMIN_KEY.* takes a key, or the") as refused:
        load_settings()
    assert "pyproject" not in refused.value.message


@pytest.mark.parametrize(
    ("given", "accepted"), [("a", False), ("0123456789abcde", False), ("0123456789abcdef", True), ("FILE", False)]
)
def test_production_takes_no_short_admin_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, accepted: bool
) -> None:
    (tmp_path / "key").write_text("short\n")
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    monkeypatch.setenv("FLAMEHAVEN_ADMIN_KEY", given.replace("FILE", str(tmp_path / "key")))
    if accepted:
        load_settings()
        return
    with pytest.raises(ServiceError, match="at least 16"):
        load_settings()


def test_a_random_key_in_base64_may_hold_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    monkeypatch.setenv("FLAMEHAVEN_ADMIN_KEY", "q83v/" * 8)
    load_settings()


@pytest.mark.parametrize(
    ("name", "address", "accepted"),
    [
        ("NOTIFY_URL", "http://hooks.example.com/x", False),
        ("NOTIFY_URL", "http://127.0.0.1:9000/x", True),
        ("NOTIFY_URL", "https://hooks.example.com/x", True),
        ("GEMINI_BASE_URL", "http://gemini.example.com", False),
        ("GEMINI_BASE_URL", "http://localhost:9000", True),
    ],
)
def test_production_sends_keys_and_notices_over_https_only(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str, accepted: bool
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    monkeypatch.setenv(name, address)
    if accepted:
        load_settings()
        return
    with pytest.raises(ServiceError, match=name):
        load_settings()
