// A receipt as a waterfall: from what the question would have cost, lever by lever, to what it did cost.

import { bar } from "./chart.js";
import { badge, count, el, percent, plural, sentence, table } from "./dom.js";
import { money, pico, share } from "./money.js";

const CLASSES = [
  ["input", "in"],
  ["cache_read", "read from cache"],
  ["cache_write_5m", "written for 5 minutes"],
  ["cache_write_30m", "written for 30 minutes"],
  ["cache_write_1h", "written for an hour"],
  ["cache_write_12h", "written for 12 hours"],
  ["output", "out"],
  ["searches", "searches"],
];

const isSimulated = (receipt) => receipt.events.some((event) => event.simulated);

// The share of the baseline that was saved; null where it is not known.
function savedShare(receipt) {
  return receipt.saved_usd === null ? null : share(pico(receipt.saved_usd), pico(receipt.baseline_usd));
}

function savedText(receipt) {
  const part = savedShare(receipt);
  if (part === null) return receipt.saved_usd === null ? "no saving is claimed" : "";
  return part >= 0 ? `${percent(part)} saved` : `${percent(-part)} dearer than without`;
}

// Whether the question was declined for nothing, as the ledger has it.
const isDeclined = (receipt) => receipt.savings.some(({ lever }) => lever === "abstained");

// Who got no answer is not told what it saved: there is nothing that the money would have bought.
function unanswered(receipt) {
  const paid = receipt.cost_usd === null || pico(receipt.cost_usd) !== 0n;
  return paid ? "no answer, no saving is claimed" : "no answer, nothing was paid";
}

// The bill of an answer in one line, which opens to the receipt.
// Of a failed question there are a receipt and no route.
export function bill(whole) {
  const { receipt, route = { tier: "failed" }, seconds = {} } = whole;
  const took = Object.values(seconds).reduce((sum, it) => sum + it, 0);
  return el(
    "details",
    { class: "bill" },
    el(
      "summary",
      {},
      el("span", { class: "total" }, money(receipt.cost_usd)),
      el(
        "span",
        { class: whole.abstained ? "faint" : "saving" },
        whole.abstained ? unanswered(receipt) : savedText(receipt),
      ),
      badge(route.tier === "cache" ? "answered before" : route.tier),
      took > 0 && badge(time(took)),
      isSimulated(receipt) && badge("simulated", "warn"),
      el("span", { class: "open" }, "Receipt"),
    ),
    receiptView(receipt, whole),
  );
}

export function receiptView(receipt, { route, prefix, seconds, notes = [], abstained = false } = {}) {
  return el(
    "div",
    { class: "receipt" },
    abstained || isDeclined(receipt)
      ? el("p", {}, sentence(unanswered(receipt)))
      : [
          waterfall(receipt),
          el(
            "p",
            { class: "faint" },
            "Without levers, computed anew: ",
            receipt.baseline_note,
            ". Prices of ",
            receipt.price_version,
            ".",
          ),
        ],
    route?.model && decisions(route, prefix, seconds),
    notes.length > 0 &&
      el(
        "ul",
        { class: "faint" },
        notes.map((note) => el("li", {}, note)),
      ),
    events(receipt),
    el("p", { class: "faint" }, "Receipt ", el("code", {}, receipt.id)),
  );
}

function waterfall(receipt) {
  const whole = pico(receipt.baseline_usd);
  const steps = [];
  let left = whole;
  for (const { lever, usd } of receipt.savings) {
    const saved = pico(usd);
    steps.push({ lever, saved, usd, from: left, to: left - saved });
    left -= saved;
  }
  // A lever may cost more than it saves, so that the way can lead above where it began.
  const most = steps.reduce((size, step) => (step.to > size ? step.to : size), whole) || 1n;
  const at = (value) => share(value, most) || 0;
  // What saves takes away from the price, what costs adds to it.
  const change = (usd) => (usd.startsWith("-") ? ["+", money(usd.slice(1))] : money(`-${usd}`));
  const row = (name, kind, from, to, value) =>
    el(
      "li",
      { class: kind },
      el("span", { class: "name" }, name),
      bar(at(from), at(to), kind),
      el("span", { class: "value" }, value),
    );
  return el(
    "ol",
    { class: "bars waterfall", "aria-label": "From the price without levers to what was paid" },
    row("without levers", "baseline", 0n, whole, money(receipt.baseline_usd)),
    steps.map((step) => row(step.lever, step.saved < 0n ? "lost" : "saved", step.from, step.to, change(step.usd))),
    receipt.cost_usd === null
      ? row("paid", "unknown", 0n, 0n, money(null))
      : row("paid", "paid", 0n, pico(receipt.cost_usd), money(receipt.cost_usd)),
  );
}

function decisions(route, prefix, seconds) {
  const hot = prefix && prefix.documents.length;
  return el(
    "dl",
    { class: "facts" },
    el("dt", {}, "Why this model"),
    el("dd", {}, `${servedBy(route)}: ${route.reason}`),
    prefix && [
      el("dt", {}, "Hot prefix"),
      el(
        "dd",
        {},
        `${prefix.marked ? "marked" : "not marked"}: ${prefix.reason}`,
        hot ? ` (${count(prefix.tokens)} tokens of ${plural(hot, "document")})` : "",
      ),
    ],
    seconds && [
      el("dt", {}, "Time"),
      el(
        "dd",
        {},
        Object.entries(seconds)
          .map(([stage, value]) => `${stage} ${time(value)}`)
          .join(", "),
      ),
    ],
  );
}

// A model with its tier; what is no model of a provider is named once.
export function servedBy({ model, tier }) {
  if (tier === "abstained") return model === tier ? "no model: declined" : `${model}: declined`;
  return model === tier || tier === "cache" ? model : `${model} (${tier} tier)`;
}

export function time(seconds) {
  return seconds < 0.9995
    ? `${Math.max(0.1, 1000 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms`
    : `${seconds.toFixed(1)} s`;
}

function events(receipt) {
  if (!receipt.events.length) return el("p", {}, "Nothing was called, so nothing can be billed.");
  return table(
    "Every step that could be billed",
    [
      [
        "Step",
        (it) => [
          it.attempt > 1 ? `${it.kind}, attempt ${it.attempt}` : it.kind,
          it.simulated && [" ", badge("simulated", "warn")],
        ],
      ],
      ["Model", (it) => it.model],
      ["Tokens", (it) => usage(it)],
      ["Time", (it) => time(it.seconds), "number"],
      ["Cost", (it) => money(it.cost_usd), "number"],
    ],
    receipt.events,
    {
      foot: {
        kind: "In all",
        attempt: 1,
        model: "",
        seconds: receipt.events.reduce((sum, it) => sum + it.seconds, 0),
        cost_usd: receipt.cost_usd,
      },
    },
  );
}

function usage(event) {
  if (!event.usage) return "";
  const parts = CLASSES.filter(([name]) => event.usage[name]).map(
    ([name, word]) => `${count(event.usage[name])} ${word}`,
  );
  if (event.usage.reasoning) parts.push(`${count(event.usage.reasoning)} of it thinking`);
  if (event.lane) parts.push(`${event.lane} lane`);
  if (event.estimated) parts.push("estimated");
  return parts.join(", ") || "none";
}
