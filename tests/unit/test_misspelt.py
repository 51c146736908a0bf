"""Settings with a typing error are named, and other programs' variables are left alone."""

from __future__ import annotations

import pytest

from shared.misspelt import misspelt
from shared.settings import Settings


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("DEFAULT_MODELL", "DEFAULT_MODEL"),
        ("default_modell", "DEFAULT_MODEL"),
        ("MAX_FILESIZE_MB", "MAX_FILE_SIZE_MB"),
        ("GEMINI_APIKEY", "GEMINI_API_KEY"),
        ("FLAMEHAVEN_ADMINKEY", "FLAMEHAVEN_ADMIN_KEY"),
        ("GEMINI_KEY", "GEMINI_API_KEY"),
        ("ADMIN_KEY", "FLAMEHAVEN_ADMIN_KEY"),
        ("METRICS_ENABLED", "FLAMEHAVEN_METRICS_ENABLED"),
        ("CACHE_TTL", "CACHE_TTL_SEC"),
        ("SWEEP_INTERVAL", "SWEEP_INTERVAL_SEC"),
        ("FLAMEHAVEN_DATA_DIR", "DATA_DIR"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
    ],
)
def test_a_typing_error_is_named_with_what_was_meant(given: str, meant: str) -> None:
    (sentence,) = misspelt({given: "secret", "PATH": "/bin"})
    assert sentence.startswith(f"{given} is not a setting")
    assert f"Did you mean {meant}?" in sentence
    assert "secret" not in sentence


def test_a_variable_that_is_meant_for_this_program_and_is_like_no_setting_is_named_too() -> None:
    (sentence,) = misspelt(["FLAMEHAVEN_QUOTA"])
    assert sentence.startswith("FLAMEHAVEN_QUOTA is not a setting")


def test_settings_and_other_programs_variables_are_left_alone() -> None:
    ours = [name.upper() for name in Settings.model_fields]
    others = "PATH HOME HOSTNAME LANG TERM PWD USER SHELL TMPDIR EDITOR GOOGLE_API_KEY GOOGLE_APPLICATION_CREDENTIALS"
    others += " AWS_REGION NOTIFY_SOCKET LISTEN_FDS OTEL_SERVICE_NAME OTEL_EXPORTER_OTLP_ENDPOINT PYTHONPATH HTTP_PROXY"
    others += " STORAGE_EMULATOR_HOST PUBSUB_EMULATOR_HOST K_SERVICE FUNCTION_TARGET WATCHFILES_FORCE_POLLING"
    others += " FLAMEHAVEN_URL FLAMEHAVEN_API_KEY FLAMEHAVEN_SERVICE_HOST FLAMEHAVEN_PORT FLAMEHAVEN_PORT_8000_TCP_ADDR"
    others += " REDIS_PORT_6379_TCP REDIS_SERVICE_PORT GCLOUD_PROJECT CLOUDSDK_CONFIG MAIL OLDPWD LOGNAME DISPLAY"
    others += (
        " API_KEY BASE_URL RATE_LIMIT DATABASE_URL STATE_DIR CACHE_DIR LOG_FORMAT GOOGLE_CLOUD_REGION REDIS_TLS_URL"
    )
    assert misspelt([*ours, *others.split()]) == []
