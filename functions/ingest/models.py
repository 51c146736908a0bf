"""What a sweep takes and what it answers, at the HTTP border."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MAX_NAMED = 1000
"""How many objects a report names."""


class SweepRequest(BaseModel):
    """How far a sweep goes."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(False, description="Only say what there is to reconcile, and change nothing.")
    store: str | None = Field(None, max_length=255, description="Only the objects of this store.")
    unfinished: bool = Field(
        False, description="Only what was begun and took long: cheap, so let a schedule call it every minute."
    )
    yes: bool = Field(
        False,
        description="Take out what the bucket lacks, however much that is; without, a sweep leaves a store alone that "
        "would lose more than `SWEEP_MAX_DELETIONS_PERCENT`.",
    )


class SweepReport(BaseModel):
    """What a sweep did, or with `dry_run` would have to do."""

    objects: int = Field(description="How many objects the bucket, the records or the stores know of.")
    outcomes: dict[str, int] = Field(description="How many of them ended in each outcome.")
    unsettled: list[str] = Field(description=f"The objects to be seen to (again); the first {MAX_NAMED:,}.")
    refused: dict[str, int] = Field(
        description="The stores that would have lost too many documents, and how many; nothing of these was taken out."
    )
    seconds: float
    dry_run: bool
