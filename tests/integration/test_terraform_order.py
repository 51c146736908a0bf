"""The order of an apply: what Google refuses until a grant or an API is known everywhere waits for it.

Google says that a grant takes about two minutes to be seen ("Access change propagation", IAM). A test of seconds cannot
wait for that, so these look at Terraform's own graph.
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from tests.terraform import MODULE, Terraform, terraform_in

Graph = dict[str, set[str]]
SLOW = re.compile(r"google_\w+_iam_member|google_project_service|google_project_service_identity")
"""What Google answers for before it is known everywhere."""
NEEDS = {
    "google_cloudfunctions2_function.function": {
        "google_artifact_registry_repository_iam_member.build_writes_images",
        "google_project_iam_member.build_reads_source",
        "google_project_iam_member.build_writes_logs",
        "google_secret_manager_secret_iam_member.functions",
        "google_secret_manager_secret_version.gemini_api_key",
        "google_storage_bucket_iam_member.functions",
        "google_kms_crypto_key_iam_member.agent",
    },
    "google_secret_manager_secret.gemini_api_key": {
        "google_pubsub_topic_iam_member.secret_manager_publishes",
        "google_kms_crypto_key_iam_member.agent",
    },
    "google_storage_notification.documents": {"google_pubsub_topic_iam_member.bucket_publishes"},
    "google_storage_transfer_job.backup": {
        "google_storage_bucket_iam_member.transfer",
        "google_pubsub_topic_iam_member.transfer_publishes",
    },
    "google_storage_bucket.bucket": {"google_kms_crypto_key_iam_member.agent"},
    "google_storage_bucket.backup": {"google_kms_crypto_key_iam_member.agent"},
    "google_pubsub_topic.events": {"google_kms_crypto_key_iam_member.agent"},
    "google_artifact_registry_repository.functions": {"google_kms_crypto_key_iam_member.agent"},
}
"""The grants without which Google refuses a resource."""


def graph(terraform: Terraform) -> Graph:
    """What each resource waits for, as Terraform says."""
    edges: Graph = defaultdict(set)
    for resource, needed in re.findall(r'^\s*"([^"]+)" -> "([^"]+)";$', terraform.done("graph"), re.MULTILINE):
        edges[resource].add(needed)
    return edges


def reached(edges: Graph, start: str, *, through_waits: bool) -> set[str]:
    """What a resource waits for, directly or not."""
    found: set[str] = set()
    ahead = [start]
    while ahead:
        for each in edges[ahead.pop()] - found:
            found.add(each)
            if through_waits or not each.startswith("time_sleep."):
                ahead.append(each)
    return found


def kind(address: str) -> str:
    """The type of a resource, wherever its module is."""
    return re.sub(r"^(module\.\w+\.)*", "", address).partition(".")[0]


def racing(edges: Graph) -> set[str]:
    """What would be made right after a grant or an API that it depends on."""
    made = {each for each in edges if not SLOW.fullmatch(kind(each)) and kind(each) not in ("data", "time_sleep")}
    return {
        each for each in made if any(SLOW.fullmatch(kind(other)) for other in reached(edges, each, through_waits=False))
    }


@pytest.fixture(scope="module")
def edges() -> Graph:
    with terraform_in(MODULE) as terraform:
        return graph(terraform)


def test_nothing_is_made_right_after_what_it_needs(edges: Graph) -> None:
    assert len(edges) > 50
    assert racing(edges) == set()


def test_everything_waits_for_the_apis(edges: Graph) -> None:
    ours = {each for each in edges if kind(each).startswith("google_") and not SLOW.fullmatch(kind(each))}
    early = {each for each in ours if "time_sleep.services" not in reached(edges, each, through_waits=True)}
    assert early == set()


@pytest.mark.parametrize("resource", sorted(NEEDS))
def test_what_needs_a_grant_waits_for_it(edges: Graph, resource: str) -> None:
    assert NEEDS[resource] - reached(edges, resource, through_waits=True) == set()


def test_a_planted_race_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "module"
    shutil.copytree(MODULE, folder, ignore=shutil.ignore_patterns(".terraform*", "examples"))
    text = (folder / "queues.tf").read_text()
    planted = text.replace(
        "depends_on     = [time_sleep.agents]", "depends_on     = [google_pubsub_topic_iam_member.bucket_publishes]"
    )
    assert planted != text
    (folder / "queues.tf").write_text(planted)
    with terraform_in(folder) as terraform:
        assert racing(graph(terraform)) == {"google_storage_notification.documents"}
