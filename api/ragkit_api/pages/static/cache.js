// What is kept in providers' caches and why, or why not; which model answered and why.

import { call } from "./api.js";
import { start } from "./app.js";
import { bar, bars } from "./chart.js";
import {
  $,
  badge,
  count,
  dialog,
  el,
  empty,
  fill,
  percent,
  plural,
  show,
  simulated,
  table,
  tile,
  when,
} from "./dom.js";
import { money, pico, simulatedMoney } from "./money.js";
import { receiptView, servedBy, time } from "./receipt.js";

start(async () => {
  $("since").addEventListener("change", all);
  await Promise.all([all(), show($("hot"), hot)]);
});

async function all() {
  const since = $("since").value;
  const routes = call("/v1/routes", { query: { since, limit: 10 } });
  await Promise.all([
    show($("tiles"), () => tiles(since)),
    show($("routes"), async () => who(await routes), all),
    show($("latest"), async () => latest(await routes), all),
    routes.then(
      (found) => fill($("labels"), simulated(found.simulated, `of ${count(found.questions)} answers`)),
      () => {},
    ),
  ]);
}

async function tiles(since) {
  const [found, kept] = await Promise.all([call("/v1/cache", { query: { since } }), call("/v1/cache/prefixes")]);
  return [
    tile(
      "Read from caches",
      percent(found.hit_rate),
      `of ${count(found.tokens.input + found.tokens.cache_read + found.tokens.cache_write)} tokens sent`,
    ),
    tile("Tokens read", count(found.tokens.cache_read), `${count(found.tokens.cache_write)} written`),
    tile("Answers kept", count(kept.answers), "the same question is answered at no cost"),
    tile("Questions", count(found.questions)),
  ];
}

async function hot() {
  const { lines } = await call("/v1/cache/prefixes");
  if (!lines.length)
    return empty(
      "No model has been asked yet.",
      "Once questions come often enough for a cache to pay, the documents that most of them need are listed here, and until then the reason why not.",
    );
  return lines.map(line);
}

function line(it) {
  const head = [
    it.model,
    it.effort && it.effort !== "none" && `${it.effort} effort`,
    ...Object.entries(it.filters).map(([name, value]) => `${name}=${value}`),
  ];
  const told = `${plural(it.questions, "question")}, ${count(it.marked)} marked, ${plural(it.reads, "read")}, ${plural(it.writes, "write")}`;
  return el(
    "section",
    { class: "line" },
    el("h3", {}, head.filter(Boolean).join(" · ")),
    el(
      "p",
      {},
      told,
      it.saved_usd !== null && [
        ", ",
        money(it.saved_usd, it.saved_usd.startsWith("-") ? "lost" : "saved"),
        it.saved_usd.startsWith("-") ? " lost" : " saved",
        " (estimated against no prefix)",
      ],
    ),
    it.simulated_usd?.startsWith("-")
      ? simulatedMoney(it.simulated_usd.slice(1), "lost")
      : simulatedMoney(it.simulated_usd, "saved"),
    it.digest
      ? el(
          "ul",
          { class: "chips", "aria-label": "Hot documents, the most asked first" },
          it.sources.map((source) => el("li", {}, source)),
          el("li", { class: "faint" }, `${count(it.tokens)} tokens`),
        )
      : el("p", { class: "faint" }, "No document is hot yet."),
    el("p", {}, el("strong", {}, "Now: "), it.verdict),
    it.odds.length > 0 &&
      el("div", {}, el("h4", {}, "Does a place in the cache pay?"), el("ul", { class: "bars" }, it.odds.map(odds))),
    refused(it.refused),
    it.retired.length > 0 &&
      el(
        "details",
        { class: "more" },
        el("summary", {}, "Prefixes that were given up"),
        el(
          "ul",
          {},
          it.retired.map((reason) => el("li", {}, reason)),
        ),
      ),
  );
}

function odds({ ttl, warm, break_even: even }) {
  const pays = warm > even;
  return el(
    "li",
    {},
    el("span", { class: "name" }, ttl === "automatic" ? "by itself" : `for\u00a0${ttl}`),
    bar(0, warm, pays ? "saved" : "paid"),
    el("span", { class: "value" }, `${percent(warm, 0)} come in time, pays from ${percent(even, 0)}`),
  );
}

function refused(reasons) {
  const sorted = Object.entries(reasons).sort(([, a], [, b]) => b - a);
  if (!sorted.length) return null;
  return table(
    "Why questions went out without a mark",
    [
      ["Reason", ([reason]) => reason],
      ["Questions", ([, number]) => count(number), "number"],
    ],
    sorted,
  );
}

function who(found) {
  if (!found.routes.length) return empty("No question was asked in this period.");
  const named = found.routes.map((it) => ({
    name: servedBy(it),
    pico: BigInt(it.questions),
    value: percent(it.questions / found.questions),
    kind: "paid",
  }));
  return [
    bars(named),
    table(
      "Answers by model",
      [
        ["Model", (it) => servedBy(it)],
        ["Questions", (it) => count(it.questions), "number"],
        ["Spent", (it) => money(it.cost_usd), "number"],
        ["Without levers", (it) => money(it.baseline_usd), "number"],
        ["More than one call", (it) => count(it.more_than_one_call), "number"],
        ["Time of a question", (it) => time(it.seconds), "number"],
      ],
      found.routes,
    ),
    el(
      "p",
      { class: "faint" },
      "More than one call: repaired, tried again, or passed on to a better model. ",
      el("code", {}, "ragkit route report"),
      " measures on your own questions whether routing pays.",
    ),
  ];
}

function latest(found) {
  if (!found.latest.length) return empty("No question was asked in this period.");
  return table(
    "Decisions, newest first",
    [
      ["When", (it) => when(it.at)],
      ["Model", (it) => [servedBy(it), it.simulated && [" ", badge("simulated", "warn")]]],
      ["Why", (it) => it.reason || "–", "long"],
      ["Cost", (it) => money(it.cost_usd), "number"],
      [
        "Receipt",
        (it) =>
          el(
            "button",
            { type: "button", class: "plain", "aria-label": `Receipt ${it.receipt_id}`, click: () => receipt(it) },
            "Receipt",
          ),
        "act",
      ],
    ],
    found.latest,
  );
}

function receipt(it) {
  const { body } = dialog("Receipt", { wide: true });
  show(body, async () => receiptView(await call(`/v1/receipts/${it.receipt_id}`), { route: it }));
}
