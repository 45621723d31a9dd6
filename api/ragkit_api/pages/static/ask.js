// Questions, answered as they are written, with sources and the bill.

import { call, stream } from "./api.js";
import { start } from "./app.js";
import { $, count, el, fill, notice, percent, plural, say, sentence, table } from "./dom.js";
import { feedback } from "./feedback.js";
import { bill, servedBy } from "./receipt.js";
import { openSource } from "./source.js";

const MOST_TURNS = 20;
const LONGEST = 8000;
const turns = [];
let running = null;

start(async (me) => {
  $("composer").addEventListener("submit", submit);
  $("stop").addEventListener("click", () => running?.abort());
  $("fresh").addEventListener("click", fresh);
  $("question").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!running) $("composer").requestSubmit();
  });
  $("question").addEventListener("input", grow);
  // What the field covers is no place to scroll anything to.
  new ResizeObserver(([{ target }]) => {
    document.documentElement.style.scrollPaddingBottom = `${target.offsetHeight + 12}px`;
  }).observe($("composer"));
  $("question").focus();
  if (me.may("query")) await tellHoldings();
});

async function tellHoldings() {
  const { total } = await call("/v1/documents", { query: { limit: 1 } });
  if (total)
    fill($("holdings"), `${count(total)} ${total === 1 ? "document is" : "documents are"} there to answer from.`);
  else fill($("holdings"), "There are no documents yet. ", el("a", { href: "/documents" }, "Add some first"), ".");
}

function grow() {
  const field = $("question");
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight + 2, 220)}px`;
}

function fresh() {
  turns.length = 0;
  fill($("turns"));
  $("welcome").hidden = false;
  $("follow").hidden = $("fresh").hidden = true;
  $("question").focus();
}

async function submit(event) {
  event.preventDefault();
  const text = $("question").value.trim();
  if (!text || running) return;
  const body = request(text);
  const turn = begin(text);
  $("question").value = "";
  grow();
  busy(true);
  try {
    await stream("/v1/query", body, (name, data) => hear(turn, name, data), running.signal);
    if (!turn.whole && !turn.error) throw new Error("the answer broke off: ask again");
  } catch (error) {
    fail(turn, error);
  }
  busy(false);
  $("question").focus();
}

function request(text) {
  const earlier = $("followup").checked ? turns.filter((turn) => turn.whole && !turn.whole.abstained) : [];
  const history = earlier.flatMap((turn) => [
    { role: "user", text: turn.question },
    { role: "assistant", text: Array.from(turn.whole.answer).slice(0, LONGEST).join("") },
  ]);
  const body = { question: text, stream: true, history: history.slice(-MOST_TURNS) };
  if ($("most").value) body.max_cost_usd = $("most").value;
  if ($("k").value) body.k = Number($("k").value);
  return body;
}

function begin(question) {
  running = new AbortController();
  $("welcome").hidden = true;
  const parts = {
    state: el("p", { class: "state" }, "Searching the documents"),
    answer: el("div", { class: "answer" }),
    after: el("div", { class: "after" }),
  };
  const node = el(
    "article",
    { class: "turn", "aria-busy": "true" },
    el("h2", { class: "asked" }, question),
    parts.state,
    parts.answer,
    parts.after,
  );
  $("turns").append(node);
  node.scrollIntoView({ block: "start" });
  say("Searching the documents");
  const turn = { question, node, ...parts, citations: [], whole: null, error: null };
  turns.push(turn);
  return turn;
}

function busy(yes) {
  if (!yes) running = null;
  $("send").hidden = yes;
  $("stop").hidden = !yes;
  $("follow").hidden = $("fresh").hidden = yes || !turns.length;
}

function hear(turn, name, data) {
  if (name === "retrieval") {
    turn.state.textContent = `${plural(data.chunks.length, "passage")} found`;
  } else if (name === "route") {
    turn.state.textContent = `${servedBy(data)} answers`;
  } else if (name === "text") {
    turn.answer.append(el("span", { class: "statement" }, withMarks(data.text, turn), " "));
    say(data.text);
  } else if (name === "citation") {
    turn.citations.push(data);
  } else if (name === "error") {
    turn.error = data;
    fail(turn, new Error(data.message));
  } else if (name === "done" && data.complete) {
    finish(turn, data);
  }
}

// [2] in an answer becomes the button that opens its source; nothing else in it means anything.
function withMarks(text, turn) {
  return text.split(/\[(\d{1,3})\]/).map((piece, place) => {
    if (place % 2 === 0) return piece;
    const open = () => turn.citations[piece - 1] && openSource(turn.citations[piece - 1]);
    return el("button", { type: "button", class: "cite", "aria-label": `Source ${piece}`, click: open }, piece);
  });
}

function finish(turn, whole) {
  turn.whole = whole;
  turn.citations = whole.citations;
  turn.node.removeAttribute("aria-busy");
  turn.state.remove();
  const { receipt } = whole;
  if (whole.abstained)
    fill(
      turn.answer,
      notice(
        "quiet",
        el("p", { class: "strong" }, sentence(whole.answer)),
        el("p", {}, "No answer is made up where the documents have none."),
      ),
    );
  fill(turn.after, sources(turn), bill(whole), found(turn), feedback(receipt.id));
  say(`The answer is complete, with ${plural(whole.citations.length, "source")}.`);
}

function sources(turn) {
  if (!turn.citations.length) return null;
  return el(
    "ol",
    { class: "sources", "aria-label": "Sources" },
    turn.citations.map((it, place) =>
      el(
        "li",
        {},
        el(
          "button",
          { type: "button", class: "quote", click: () => openSource(it) },
          el("span", { class: "number" }, `${place + 1}`),
          el(
            "span",
            { class: "where" },
            [it.source, it.page !== null && `page ${it.page}`, ...it.section].filter(Boolean).join(" › "),
          ),
          el("span", { class: "what" }, `“${it.quote}”`),
        ),
      ),
    ),
  );
}

function found(turn) {
  if (!turn.whole.chunks.length) return null;
  const rows = turn.whole.chunks;
  return el(
    "details",
    { class: "more" },
    el("summary", {}, `${plural(rows.length, "passage")} read`),
    table(
      "Passages by relevance",
      [
        ["Source", (it) => it.source],
        ["Relevance", (it) => percent(it.score, 0), "number"],
        ["Tokens", (it) => count(it.tokens), "number"],
      ],
      rows,
    ),
  );
}

function fail(turn, error) {
  turn.node.removeAttribute("aria-busy");
  turn.state.remove();
  const stopped = error.name === "AbortError";
  const text = stopped ? "Stopped. What it has cost by then is on the ledger." : sentence(error);
  const budget = (error.detail || turn.error)?.budget;
  const again = el(
    "button",
    {
      type: "button",
      click: () => {
        $("question").value = turn.question;
        grow();
        $("question").focus();
      },
    },
    "Ask again",
  );
  const add = error.code === "no_index" && el("a", { href: "/documents" }, "Add documents");
  const limits = budget && el("a", { href: "/budgets" }, "See the budgets");
  const spent = (error.detail || turn.error)?.receipt;
  fill(
    turn.after,
    notice(stopped ? "quiet" : "error", el("p", {}, text), el("div", { class: "buttons" }, again, limits, add)),
    spent && bill({ receipt: spent }),
  );
  say(text);
}
