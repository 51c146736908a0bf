"""Folders that Macs, Windows, file servers and browsers also write to: one store for a name, and only documents."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from urllib.parse import quote

from tests.servers import Server, flamehaven, until

NFC, NFD = "Gärtnerei", unicodedata.normalize("NFD", "Gärtnerei")


def answer(client: Server, question: str, store: str) -> str:
    return str(client.get("/api/search", params={"q": question, "store": store}).json().get("answer", ""))


def status(client: Server, name: str) -> str:
    return str(client.get(f"/api/documents/{quote(name)}").json().get("status", ""))


def test_a_folder_of_a_mac_is_the_store_that_is_typed_on_a_pc(tmp_path: Path) -> None:
    folder = tmp_path / "documents" / NFD
    folder.mkdir(parents=True)
    (folder / "plan.md").write_text("Die Hecke wird im Mai geschnitten.")
    with flamehaven(tmp_path) as client:
        for store in (NFC, NFD):
            until(lambda store=store: "Mai" in answer(client, "Wann wird die Hecke geschnitten?", store))
        name = quote(f"{NFC}/neu ä.md")
        kept = client.put(f"/api/documents/{name}", content="Das Tor ist aus Eisen.", headers={"Prefer": "wait=30"})
        assert kept.json()["status"] == "indexed"
        assert [path.name for path in (tmp_path / "documents").glob("[!.]*")] == [NFD]
        stores = client.get("/api/stores").json()["stores"]
        assert {store: found["documents"] for store, found in stores.items()} == {NFC: 2}
        for store in (NFC, NFD):
            listed = client.get("/api/documents", params={"store": store}).json()["documents"]
            assert [document["title"] for document in listed] == ["neu ä.md", "plan.md"]
        assert client.get("/api/documents", params={"prefix": f"{NFC}/pl"}).json()["documents"][0]["title"] == "plan.md"
        assert status(client, f"{NFC}/plan.md") == "indexed"
        found = {"q": "Hecke", "store": NFC, "metadata_filter": f'folder = "{NFC}"'}
        assert client.get("/api/search", params=found).json()["grounded"]
        made = client.post("/api/stores", json={"name": NFD})
        assert (made.status_code, made.json()["store_name"]) == (200, NFC)
        key = client.post("/api/admin/keys", json={"name": "Ann", "stores": [NFD]}).json()
        headers = {"Authorization": f"Bearer {key['key']}"}
        for store in (NFC, NFD):
            allowed = client.get("/api/search", params={"q": "Hecke", "store": store}, headers=headers)
            assert allowed.status_code == 200


def test_names_that_differ_only_in_their_unicode_form_are_documents_of_one_store(tmp_path: Path) -> None:
    for folder, text in ((NFC, "The spade hangs at the door."), (NFD, "The rake hangs at the gate.")):
        path = tmp_path / "documents" / folder / "tools.md"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    with flamehaven(tmp_path) as client:
        until(lambda: "door" in answer(client, "Where does the spade hang?", NFC))
        until(lambda: "gate" in answer(client, "Where does the rake hang?", NFC))
        assert client.get("/api/stores").json()["stores"][NFC]["documents"] == 2
        assert client.delete(f"/api/documents/{quote(f'{NFD}/tools.md')}").status_code == 202
        until(lambda: "gate" not in answer(client, "Where does the rake hang?", NFC))
        assert "door" in answer(client, "Where does the spade hang?", NFC)


def test_what_is_deleted_on_a_file_server_or_left_by_a_system_is_no_document(tmp_path: Path) -> None:
    folder = tmp_path / "documents" / "hr"
    (folder / "#recycle").mkdir(parents=True)
    secret = folder / "secret.md"
    secret.write_text("The vault code is kept by Mr Ito.")
    with flamehaven(tmp_path) as client:
        until(lambda: "Ito" in answer(client, "Who keeps the vault code?", "hr"))
        secret.rename(folder / "#recycle" / "secret.md")
        (folder / "desktop.ini").write_text("[.ShellClassInfo]")
        (folder / "big.pdf.part").write_text("half")
        (folder / "last.md").write_text("Salaries are paid on the 25th of each month.")
        until(lambda: "25th" in answer(client, "When are salaries paid?", "hr"))
        until(lambda: "Ito" not in answer(client, "Who keeps the vault code?", "hr"))
        listed = client.get("/api/documents", params={"store": "hr"}).json()["documents"]
        assert [document["object"] for document in listed] == ["hr/last.md"]
        gone = client.get("/api/documents/hr/%23recycle/secret.md")
        assert (gone.status_code, "#recycle" in gone.json()["message"]) == (404, True)
        for name in ("hr/Thumbs.db", "hr/%23recycle/x.md", "hr/x.md.part"):
            refused = client.put(f"/api/documents/{name}", content="x")
            assert (refused.status_code, refused.json()["error"]) == (400, "INVALID_FILENAME")


def test_a_link_fails_with_a_reason_and_leads_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "documents" / "hr"
    folder.mkdir(parents=True)
    (tmp_path / "outside.md").write_text("The owl sleeps in the tower.")
    (folder / "file.md").write_text("Salaries are paid on the 25th of each month.")
    with flamehaven(tmp_path) as client:
        until(lambda: status(client, "hr/file.md") == "indexed")
        (folder / "link.md").symlink_to(tmp_path / "outside.md")
        failed = until(lambda: (d := client.get("/api/documents/hr/link.md").json()).get("status") == "failed" and d)
        assert failed["reason"]["code"] == "NOT_A_FILE"
        assert "not followed" in failed["reason"]["message"]
        assert "tower" not in answer(client, "Where does the owl sleep?", "hr")
        assert client.delete("/api/documents/hr/link.md").status_code == 202
        until(lambda: client.get("/api/documents/hr/link.md").status_code == 404)
        assert (tmp_path / "outside.md").exists()


def test_a_file_that_is_changed_through_its_other_name_is_indexed_anew(tmp_path: Path) -> None:
    folder = tmp_path / "documents" / "hr"
    folder.mkdir(parents=True)
    (folder / "one.md").write_text("The drill room is the cellar.")
    (folder / "two.md").hardlink_to(folder / "one.md")
    (tmp_path / "elsewhere").hardlink_to(folder / "one.md")
    with flamehaven(tmp_path) as client:
        until(lambda: status(client, "hr/two.md") == status(client, "hr/one.md") == "indexed")
        (folder / "one.md").write_text("The drill room is the attic.")
        until(lambda: "attic" in str(client.get("/api/search", params={"q": "drill room", "store": "hr"}).json()))
        until(lambda: "cellar" not in str(client.get("/api/search", params={"q": "drill room", "store": "hr"}).json()))
        with (tmp_path / "elsewhere").open("w") as file:  # of which the watch hears nothing
            file.write("The drill room is the garage.")
        for name in ("hr/one.md", "hr/two.md"):
            until(lambda name=name: status(client, name) == "indexed")
        until(lambda: "attic" not in str(client.get("/api/search", params={"q": "drill room", "store": "hr"}).json()))
