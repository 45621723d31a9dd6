"""The commands as a user runs them: what they print, what they refuse and with which exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("RAGKIT_")} | {"NO_COLOR": "1"}
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "COHERE_API_KEY", "VOYAGE_API_KEY")


def ragkit(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in KEYS} | variables
    command = [sys.executable, "-m", "ragkit", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pump.md").write_text("# Pump\n\nThe warranty of the pump lasts for five years.\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "fan.md").write_text("# Fan\n\nThe fan is cleaned every week.\n")
    return tmp_path


def test_from_files_to_a_cited_answer_with_a_receipt(folder: Path) -> None:
    assert ragkit(folder, "ingest", "docs", "more").returncode == 0
    ran = ragkit(folder, "ask", "How long does the warranty of the pump last?", "--json")
    answer = json.loads(ran.stdout)
    assert ran.returncode == 0
    assert "five years" in answer["answer"]
    assert answer["citations"][0]["source"] == "docs/pump.md"
    assert answer["receipt"]["cost_usd"] == "0"
    assert answer["receipt"]["saved_usd"] == answer["receipt"]["baseline_usd"]
    assert set(answer) >= {
        "answer",
        "data",
        "abstained",
        "citations",
        "chunks",
        "route",
        "prefix",
        "receipt",
        "seconds",
    }


def test_a_question_that_no_document_answers_abstains(folder: Path) -> None:
    ragkit(folder, "ingest", "docs")
    answer = json.loads(ragkit(folder, "ask", "Who won the football world cup of 1998?", "--json").stdout)
    assert answer["abstained"]
    assert not answer["citations"]
    whole = answer["receipt"]["baseline_usd"]
    assert answer["receipt"]["savings"] == [{"lever": "abstained", "usd": whole}]
    ragkit(folder, "ask", "How long does the warranty of the pump last?")
    by_lever = json.loads(ragkit(folder, "cost", "report", "--by", "lever", "--json").stdout)
    saved = {line["group"]: line["saved_usd"] for line in by_lever["lines"]}
    assert saved["abstained"] == by_lever["total"]["declined_usd"] == whole
    assert set(saved) == {"abstained", "trimming", "extractive"}
    kept = json.loads(ragkit(folder, "cost", "receipt", answer["receipt"]["id"], "--json").stdout)
    assert (kept["savings"], kept["differences"]) == (answer["receipt"]["savings"], [])
    text = ragkit(folder, "cost", "report").stdout
    assert f"declined: ${whole} of what was saved is of questions without an answer" in text


def test_questions_are_read_line_by_line_where_none_is_given(folder: Path) -> None:
    ragkit(folder, "ingest", "docs")
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in KEYS}
    ran = subprocess.run(
        [sys.executable, "-m", "ragkit", "ask"],
        cwd=folder, env=environment, input="How long is the warranty?\n\nWhat of the pump?\n",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0
    assert ran.stdout.count("receipt ") == 2


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "sentence"),
    [
        (("ask", "x"), {}, 4, "there is no index at .ragkit: run ragkit ingest PATH first"),
        (("ingest", "nowhere"), {}, 2, "no such file or folder: nowhere"),
        (("ask", "  "), {}, 2, "the question is empty"),
        (("ask", "x" * 9000), {}, 2, "8,000 are allowed"),
        (("ask", "x\udcff"), {}, 2, "bytes that are not UTF-8"),
        (("cost", "report", "--zone", "Mars"), {}, 2, "no time zone 'Mars'"),
        (("ask", "x", "--config", "none.toml"), {}, 2, "no settings file none.toml"),
        (("ask", "x"), {"RAGKIT_STORE_PTH": "x"}, 2, "did you mean 'RAGKIT_STORE_PATH'"),
        (("ask", "x"), {"RAGKIT_ANSWER_MODEL": "gpt"}, 2, "write PROVIDER/MODEL"),
        (("ask", "x"), {"RAGKIT_ANSWER_MODEL": "anthropic/claude-hiku-5-5"}, 7, "did you mean 'claude-haiku-5-5'"),
        (("ask", "x"), {"RAGKIT_RERANKER_NAME": "magic"}, 2, "no reranker is called 'magic'"),
        (("ask", "x"), {"RAGKIT_EMBEDDER_NAME": "magic"}, 2, "no embedder is called 'magic'"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_a_code(
    folder: Path, arguments: tuple[str, ...], variables: dict[str, str], code: int, sentence: str
) -> None:
    ran = ragkit(folder, *arguments, **variables)
    assert ran.returncode == code, ran.stderr
    assert sentence in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert not ran.stdout
    assert not (folder / ".ragkit").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only where the system has a full device")
def test_output_that_cannot_be_written_is_a_sentence(folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "ragkit", "prices"]
        ran = subprocess.run(command, cwd=folder, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert ran.returncode == 1
    assert b"No space left" in ran.stderr and b"Traceback" not in ran.stderr


def test_a_missing_key_is_named_with_its_variable(folder: Path) -> None:
    ragkit(folder, "ingest", "docs")
    ran = ragkit(folder, "ask", "How long is the warranty?", RAGKIT_ANSWER_MODEL="anthropic/claude-haiku-5-5")
    assert ran.returncode == 2
    assert "anthropic has no key: set ANTHROPIC_API_KEY" in ran.stderr


def test_a_dry_run_makes_nothing(folder: Path) -> None:
    ran = ragkit(folder, "ingest", "docs", "--dry-run", "--json")
    assert json.loads(ran.stdout)["documents"]["added"] == 1
    assert not (folder / ".ragkit").exists()


def test_other_chunks_need_a_rebuild_of_everything(folder: Path) -> None:
    smaller = {"RAGKIT_INGEST_TARGET_TOKENS": "100"}
    ragkit(folder, "ingest", "docs", "more")
    refused = ragkit(folder, "ingest", "docs", **smaller)
    assert refused.returncode == 4
    assert "run ragkit ingest --rebuild" in refused.stderr
    partial = ragkit(folder, "ingest", "docs", "--rebuild", **smaller)
    assert partial.returncode == 2
    assert "it also holds 'more/fan.md'" in partial.stderr
    assert ragkit(folder, "ingest", "docs", "more", "--rebuild", **smaller).returncode == 0
    assert json.loads(ragkit(folder, "verify", "--json", **smaller).stdout)["documents"] == 2


def test_a_store_that_is_open_elsewhere_names_who_has_it(folder: Path) -> None:
    ragkit(folder, "ingest", "docs")
    program = (
        "import asyncio, sys\nfrom ragkit import Ragkit\n"
        "async def main():\n    async with Ragkit.open('.ragkit') as rag:\n        await rag.search('pump')\n"
        "        print('open', flush=True)\n        sys.stdin.readline()\nasyncio.run(main())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        ran = ragkit(folder, "ask", "How long is the warranty?")
        holder.stdin.write("\n")
        holder.stdin.flush()
    assert ran.returncode == 5
    assert str(holder.pid) in ran.stderr


def test_a_damaged_index_is_a_sentence(folder: Path) -> None:
    ragkit(folder, "ingest", "docs")
    (folder / ".ragkit" / "index.json").write_text("{", encoding="utf-8")
    ran = ragkit(folder, "ask", "How long is the warranty?")
    assert ran.returncode == 4
    assert "Traceback" not in ran.stderr


def test_doctor_shows_no_key(folder: Path) -> None:
    ran = ragkit(
        folder,
        "doctor",
        "--json",
        ANTHROPIC_API_KEY="sk-canary",
        RAGKIT_PROVIDERS_ANTHROPIC_BASE_URL="http://127.0.0.1:9",
    )
    assert "sk-canary" not in ran.stdout + ran.stderr
    found = {system["system"]: system for system in json.loads(ran.stdout)["systems"]}
    assert found["anthropic"]["state"] == "failed"
    assert "claude-haiku-5-5" in found["models"]["detail"]
