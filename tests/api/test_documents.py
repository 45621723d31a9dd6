"""Documents over the API: uploads, versions, deletion, jobs, and names that want to be somewhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ragkit_api.documents import safe_source
from ragkit_api.problem import Problem

PUMP = "# Pump\n\nThe warranty of the pump lasts for five years.\n"


def test_a_document_can_be_uploaded_read_replaced_and_deleted(start: Any) -> None:
    running = start()
    with running.client(running.key()) as client:
        job = running.upload(client, pump_md=PUMP, notes_txt="The valve is made of brass.\n")
        assert job["report"]["documents"]["added"] == 2
        listed = client.get("/v1/documents", params={"limit": 1}).json()
        assert (listed["total"], listed["documents"][0]["source"]) == (2, "notes.txt")
        pump = client.get("/v1/documents", params={"after": listed["next"]}).json()["documents"][0]
        assert pump["version"] == 1
        running.upload(client, pump_md=PUMP.replace("five", "seven"))
        whole = client.get(f"/v1/documents/{pump['id']}").json()
        assert whole["version"] == 2
        assert "seven years" in whole["passages"][-1]["text"]
        hits = client.post("/v1/search", json={"question": "warranty of the pump"}).json()["hits"]
        assert hits[0]["document_id"] == pump["id"]
        assert client.delete(f"/v1/documents/{pump['id']}").json()["deleted"]
        assert client.get(f"/v1/documents/{pump['id']}").status_code == 404
        assert client.delete(f"/v1/documents/{pump['id']}").status_code == 404
        hits = client.post("/v1/search", json={"question": "warranty of the pump"}).json()["hits"]
        assert pump["id"] not in {hit["document_id"] for hit in hits}
    actions = [deed.action for _, deed in running.run(running.service.records.deeds("acme"))]
    assert actions[:3] == ["document.delete", "ingest", "ingest"]


def test_texts_can_be_ingested_and_failures_are_told(start: Any) -> None:
    running = start()
    documents = [{"source": "guides/pump.md", "text": PUMP}, {"source": "broken.pdf", "text": "no PDF"}]
    with running.client(running.key()) as client:
        job = client.post("/v1/ingest", json={"documents": documents})
        assert job.headers["location"] == f"/v1/ingest/{job.json()['job_id']}"
        done = client.get(job.headers["location"], params={"wait": 30}).json()
        assert done["state"] == "done"
        assert [failure["source"] for failure in done["report"]["failures"]] == ["broken.pdf"]
        assert [it["source"] for it in client.get("/v1/documents").json()["documents"]] == ["guides/pump.md"]
        assert client.get("/v1/ingest").json()["jobs"][0]["job_id"] == done["job_id"]
        assert client.post(f"{job.headers['location']}/cancel").json()["state"] == "done"


def test_nothing_of_an_upload_stays_behind(start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(uploads))
    running = start(max_upload_mib=1)
    with running.client(running.key()) as client:
        running.upload(client, pump_md=PUMP)
        large = client.post("/v1/documents", files={"files": ("large.txt", b"x" * (1 << 20))})
        assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
        twice = [("files", ("a.md", b"A.")), ("files", ("a.md", b"B."))]
        assert client.post("/v1/documents", files=twice).status_code == 409
        inside = [("files", ("a.md", b"A.")), ("files", ("a.md/b.md", b"B."))]
        assert client.post("/v1/documents", files=inside).status_code == 409
    assert list(uploads.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("manual.pdf", "manual.pdf"),
        ("guides/manual.pdf", "guides/manual.pdf"),
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("..\\..\\windows\\system.ini", "windows/system.ini"),
        ("C:\\temp\\a.md", "C_/temp/a.md"),
        ("a\0b.md", "a_b.md"),
        (".hidden.md", "hidden.md"),
        ("x" * 4000 + ".md", "x" * 197 + ".md"),
        ("\U0001f4d7" * 200, "\U0001f4d7" * 50),
        ("gr\u00fc\u00dfe.md", "gr\u00fc\u00dfe.md"),
        ("a\u202egnp.md", "a_gnp.md"),
    ],
)
def test_names_stay_where_they_are_put(name: str, source: str) -> None:
    assert safe_source(name) == source


@pytest.mark.parametrize("name", ["", "/", "..", "../..", " ", "..."])
def test_a_name_has_to_say_something(name: str) -> None:
    with pytest.raises(Problem):
        safe_source(name)


def test_metadata_narrows_questions_and_versions_are_told(start: Any) -> None:
    running = start()
    with running.client(running.key()) as client:
        files = [("files", ("hr.md", b"---\nsite: Bonn\n---\n\nThe warranty of the pump lasts for five years.\n"))]
        job = client.post("/v1/documents", files=files, data={"metadata": ["team=hr", "year=2026"]}).json()
        assert client.get(f"/v1/ingest/{job['job_id']}", params={"wait": 30}).json()["state"] == "done"
        texts = {"documents": [{"source": "dev.md", "text": PUMP}], "metadata": {"team": "dev"}}
        job = client.post("/v1/ingest", json=texts).json()
        assert client.get(f"/v1/ingest/{job['job_id']}", params={"wait": 30}).json()["state"] == "done"
        for filters, expected in (
            ({"team": "hr", "site": "Bonn"}, {"hr.md"}),
            ({"team": "dev"}, {"dev.md"}),
            ({"team": "x"}, set()),
        ):
            body = {"question": "warranty of the pump", "filters": filters}
            assert {hit["source"] for hit in client.post("/v1/search", json=body).json()["hits"]} == expected
        running.upload(client, dev_md=PUMP.replace("five", "seven"))
        listed = {it["source"]: it["id"] for it in client.get("/v1/documents").json()["documents"]}
        whole = client.get(f"/v1/documents/{listed['dev.md']}").json()
        assert whole["metadata"] == [["source", "dev.md"], ["team", "dev"]]
        assert [version["version"] for version in whole["versions"]] == [1, 2]
        assert whole["versions"][0]["sha256"] != whole["versions"][1]["sha256"]
        assert client.get(f"/v1/documents/{listed['hr.md']}").json()["metadata"] == [
            ["source", "hr.md"],
            ["site", "Bonn"],
            ["team", "hr"],
            ["year", "2026"],
        ]
        for pair in ("team", "source=x", "a b=c", "team=" + "x" * 101):
            assert client.post("/v1/documents", files=files, data={"metadata": [pair]}).status_code == 422
        assert client.post("/v1/ingest", json={**texts, "metadata": {"tenant": "rival"}}).status_code == 422
