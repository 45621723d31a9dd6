// What is in the index: adding to it with progress, failures with their reasons, looking into it, deleting.

import { call, upload } from "./api.js";
import { start } from "./app.js";
import { $, badge, confirm, count, el, empty, fill, notice, plural, say, sentence, show, table, when } from "./dom.js";
import { openSource } from "./source.js";

const PAGE = 100;
const ENDED = new Set(["done", "failed", "cancelled"]);
let mayIngest = false;
let known = [];

start(async (me) => {
  mayIngest = me.may("ingest");
  $("adding").hidden = !mayIngest;
  if (mayIngest) receive();
  $("more").addEventListener("click", () => load(known.at(-1)?.source));
  await Promise.all([load(), mayIngest && earlier()]);
});

function receive() {
  const form = $("upload");
  $("files").addEventListener("change", (event) => {
    add([...event.target.files]);
    event.target.value = "";
  });
  form.addEventListener("dragover", (event) => {
    event.preventDefault();
    form.classList.add("over");
  });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    add([...event.dataTransfer.files]);
  });
}

function load(after = "") {
  const kept = after ? known : [];
  return show($("list"), async () => {
    const found = await call("/v1/documents", { query: { limit: PAGE, after } });
    known = [...kept, ...found.documents];
    $("total").textContent = plural(found.total, "document");
    $("more").hidden = !found.next;
    if (!known.length)
      return empty(
        "There are no documents yet.",
        mayIngest
          ? "Choose files above: PDF, Word, HTML, Markdown, text and more."
          : "Whoever has a key with the scope ingest can add some.",
      );
    return table(
      "Documents by name",
      [
        [
          "Name",
          (it) =>
            el(
              "button",
              { type: "button", class: "link", click: () => openSource({ document_id: it.id, source: it.source }) },
              it.source,
            ),
        ],
        ["Title", (it) => (it.title === it.source ? "" : it.title)],
        ["Version", (it) => count(it.version), "number"],
        ["Passages", (it) => count(it.chunks), "number"],
        ["Characters", (it) => count(it.characters), "number"],
        ["Changed", (it) => when(it.modified)],
        ...(mayIngest
          ? [
              [
                "Delete",
                (it) =>
                  el(
                    "button",
                    {
                      type: "button",
                      class: "danger plain",
                      "aria-label": `Delete ${it.source}`,
                      click: () => remove(it),
                    },
                    "Delete",
                  ),
                "act",
              ],
            ]
          : []),
      ],
      known,
      { kind: "dense" },
    );
  });
}

async function remove(it) {
  const sure = await confirm(
    `Delete ${it.source}?`,
    "Nobody will find it any more, and answers that were kept are forgotten. It cannot be undone.",
    "Delete",
  );
  if (!sure) return;
  try {
    await call(`/v1/documents/${encodeURIComponent(it.id)}`, { method: "DELETE" });
    say(`${it.source} is deleted`);
    await load();
  } catch (error) {
    $("list").prepend(notice("error", el("p", {}, sentence(error))));
  }
}

// Jobs of before that still run, or that left something behind; what waits for a batch is told by the latest one.
async function earlier() {
  const { jobs } = await call("/v1/ingest", { query: { limit: 10 } });
  const [latest] = jobs;
  for (const job of jobs.reverse()) {
    const waits = job === latest && waiting(job.report);
    if (!ENDED.has(job.state) || job.error || job.report?.failures.length || waits) follow(card(job.sources), job);
  }
}

// Chunks whose contexts or vectors a provider's batch is to bring.
function waiting(report) {
  return Math.max(report?.context?.waiting ?? 0, report?.vectors?.waiting ?? 0);
}

async function collect() {
  for (const it of document.querySelectorAll("#jobs .waits")) it.remove(); // the new card says what still waits
  const shown = card([]);
  try {
    await follow(shown, await call("/v1/ingest/collect", { method: "POST" }));
  } catch (error) {
    fill(shown.body, notice("error", sentence(error)));
    say(sentence(error));
  }
}

async function add(files) {
  if (!files.length) return;
  const shown = card(files.map((file) => file.name));
  progress(shown, "Uploading", 0, 1);
  try {
    const job = await upload(files, (done, total) => progress(shown, "Uploading", done, total));
    await follow(shown, job);
  } catch (error) {
    fill(shown.body, notice("error", sentence(error)));
    say(sentence(error));
  }
}

function card(names) {
  $("working").hidden = false;
  const more = names.length > 1 ? ` and ${count(names.length - 1)} more` : "";
  const head = names.length ? names[0] + more : "What batches have brought";
  const body = el("div", {});
  const node = el("div", { class: "card job" }, el("h3", { title: names.join("\n") }, head), body);
  $("jobs").prepend(node);
  return { node, body };
}

function progress(shown, phase, done, total) {
  const share = total ? done / total : 0;
  fill(shown.body, el("label", { class: "stack" }, el("span", {}, phase), el("progress", { max: 1, value: share })));
}

async function follow(shown, job) {
  const cancel = el(
    "button",
    { type: "button", click: () => call(`/v1/ingest/${job.job_id}/cancel`, { method: "POST" }) },
    "Cancel",
  );
  let now = job;
  while (!ENDED.has(now.state)) {
    const { phase, done, total } = now.progress;
    progress(shown, now.state === "waiting" ? "Waiting for its turn" : `Indexing: ${phase || "begins"}`, done, total);
    shown.body.append(cancel);
    try {
      now = await call(`/v1/ingest/${job.job_id}`, { query: { wait: 1 } });
    } catch (error) {
      fill(shown.body, notice("error", sentence(error)));
      return;
    }
  }
  ended(shown, now);
  await load();
}

const WORDS = { added: "new", updated: "updated", unchanged: "unchanged", deleted: "deleted", failed: "failed" };

function ended(shown, job) {
  const { report, error } = job;
  const parts = report ? Object.entries(report.documents).filter(([, number]) => number) : [];
  const brought = [["context", report?.context?.given], ["vector", report?.vectors?.given]].filter(([, it]) => it);
  const told = [
    ...parts.map(([word, number]) => `${count(number)} ${WORDS[word] || word}`),
    ...brought.map(([word, number]) => `${plural(number, word)} came`),
  ].join(", ");
  const left = waiting(report);
  const text =
    job.state === "cancelled"
      ? "Cancelled; what was committed before stays."
      : told || (error ? "" : "Nothing changed.");
  fill(
    shown.body,
    text &&
      el("p", {}, badge(job.state, job.state === "done" && !report.failures.length ? "good" : "warn"), ` ${text}`),
    error && notice("error", sentence(error.message)),
    report?.failures.length > 0 &&
      el(
        "ul",
        { class: "failures" },
        report.failures.map((it) => el("li", {}, el("strong", {}, it.source), ` ${it.reason}`)),
      ),
    left > 0 &&
      el(
        "p",
        { class: "waits" },
        `A batch is still to bring something for ${plural(left, "passage")}, found by words until then. `,
        el("button", { type: "button", class: "plain", click: collect }, "Look now"),
      ),
  );
  say(`${text} ${error ? error.message : ""} ${report?.failures.length ? `${report.failures.length} failed` : ""}`);
}
