"""What the `rotate` function is told: environment variables, which Terraform sets."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RotationSettings(BaseSettings):
    """Where keys are made and kept, and when they are exchanged."""

    model_config = SettingsConfigDict(frozen=True)

    rotation_project: str = Field(min_length=1, description="The project that keys are made in: that of the stores.")
    rotation_secret: str = Field(pattern=r"^projects/[^/]+/secrets/[^/]+$", description="The secret with the key.")
    rotation_name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,38}[a-z0-9]$", description="What keys are called after.")
    rotation_days: float = Field(90, gt=1, description="After how many days a key is exchanged.")
    rotation_grace_days: float = Field(7, gt=0, description="For how many days the old key goes on beside the new one.")
    gemini_base_url: str = Field("", description="Another address of the Gemini API.")
    api_keys_endpoint: str = Field("", description="Another address of the API Keys API; http:// is asked unsigned.")
    secret_manager_endpoint: str = Field("", description="The same for Secret Manager.")
