"""What the `check` function takes: its query, and the environment variables that Terraform sets."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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
