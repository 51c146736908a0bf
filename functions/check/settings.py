"""What the `check` function takes: its query, and the environment variables that Terraform sets."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import ServiceError


class CheckRequest(BaseModel):
    """The query of a request."""

    model_config = ConfigDict(extra="forbid")

    search: str = Field(pattern=r"^https?://\S+$", description="The address of the search function.")


class CheckSettings(BaseSettings):
    """For how long search is asked, and how often."""

    model_config = SettingsConfigDict(frozen=True)

    check_seconds: float = Field(300, gt=0, description="Seconds until the answer has to be right.")
    check_pause_seconds: float = Field(10, gt=0, description="Seconds between two questions.")
    gce_metadata_host: str = Field("metadata.google.internal", description="Where the identity token comes from.")


def check_settings() -> CheckSettings:
    """Return the settings. Raises ServiceError (CONFIGURATION_ERROR), which names what is wrong, and no value."""
    try:
        return CheckSettings()
    except ValidationError as error:
        wrong = ", ".join(sorted({str(each["loc"][0]).upper() for each in error.errors()}))
        raise ServiceError("CONFIGURATION_ERROR", f"Set these to values that they take: {wrong}.") from None
