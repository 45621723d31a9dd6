// What was spent and saved, by day, by lever and by whatever else, and where it leads.

import { call, callInZone } from "./api.js";
import { start } from "./app.js";
import { bars, columns } from "./chart.js";
import {
  $,
  badge,
  count,
  el,
  empty,
  fill,
  notice,
  percent,
  plural,
  show,
  simulated,
  table,
  tile,
  when,
} from "./dom.js";
import { exact, money, pico, rounded, share, simulatedMoney } from "./money.js";

const HEADS = { lever: "Lever", model: "Model", tier: "Tier", lane: "Lane", kind: "Kind", tenant: "Tenant" };

start(async () => {
  $("since").addEventListener("change", all);
  $("by").addEventListener("change", parts);
  $("per").addEventListener("change", ahead);
  await all();
});

async function all() {
  await Promise.all([used(), parts(), ahead()]);
}

async function used() {
  const days = callInZone("/v1/usage", { by: "day", since: $("since").value });
  await Promise.all([
    show($("tiles"), async () => tiles(await days), used),
    show($("days"), async () => byDay(await days), used),
    days.then(
      (found) =>
        fill(
          $("labels"),
          simulated(found.simulated_events, `of ${count(found.total.events)} calls`),
          simulatedMoney(found.total.simulated_usd, "of what was spent"),
        ),
      () => {},
    ),
  ]);
}

function tiles({ total }) {
  const asked = total.questions || 0;
  const spent = pico(total.cost_usd);
  const part = share(pico(total.saved_usd), pico(total.baseline_usd));
  const whole = part === null ? null : `${percent(part)} of ${rounded(pico(total.baseline_usd))} without levers`;
  return [
    tile(
      "Spent",
      money(total.cost_usd),
      total.unknown_costs ? `and ${count(total.unknown_costs)} calls of unknown cost` : plural(total.events, "call"),
    ),
    tile(
      "Saved",
      money(total.saved_usd, part < 0 ? "lost" : "saved"),
      declined(total) ? el("span", {}, whole, ", ", money(total.declined_usd), " of it for no answer") : whole,
    ),
    tile(
      "Questions",
      count(asked),
      asked ? el("span", { title: exact(spent / BigInt(asked)) }, `${rounded(spent / BigInt(asked))} each`) : null,
    ),
    tile("Tokens", count(total.tokens), total.overruns ? `${count(total.overruns)} receipts above their hold` : null),
  ];
}

// Whether a part of what was saved has bought no cheaper answer: questions were declined for nothing.
const declined = (line) => pico(line.declined_usd || "0") !== 0n;

function byDay(found) {
  if (!found.lines.length)
    return empty("Nothing was spent in this period.", "Ask a question, and its cost appears here.");
  const days = everyDay(found);
  const drawn = days.map((line) => {
    const parts = [
      { kind: "paid", pico: line.cost_usd ? pico(line.cost_usd) : 0n },
      { kind: "saved", pico: line.saved_usd ? pico(line.saved_usd) : 0n },
    ];
    const said = `${line.group}: ${rounded(parts[0].pico)} spent, ${rounded(parts[1].pico)} saved, ${plural(line.questions, "question")}`;
    return { label: dayName(line.group), title: said, parts };
  });
  const spending = drawn.map((day) => ({ ...day, parts: day.parts.slice(0, 1) }));
  return [
    el(
      "div",
      { class: "pair" },
      el(
        "figure",
        {},
        el("figcaption", {}, key("paid"), "Spent"),
        columns("Spent by day; the table below has the numbers", spending),
      ),
      el(
        "figure",
        {},
        el("figcaption", {}, key("paid"), "Spent and ", key("saved"), "saved: together the price without levers"),
        columns("Spent and saved by day; the table below has the numbers", drawn),
      ),
    ),
    el(
      "details",
      { class: "more", open: found.lines.length <= 7 },
      el("summary", {}, "The same as a table"),
      table(
        "Costs by day",
        [
          ["Day", (it) => it.group],
          ["Questions", (it) => count(it.questions), "number"],
          ["Spent", (it) => money(it.cost_usd), "number"],
          ["Saved", (it) => money(it.saved_usd, "saved"), "number"],
          ...(declined(found.total) ? [["Of it for no answer", (it) => money(it.declined_usd), "number"]] : []),
          ["Without levers", (it) => money(it.baseline_usd), "number"],
        ],
        [...found.lines].reverse(),
        { foot: { ...found.total, group: "In all" } },
      ),
    ),
  ];
}

const key = (kind) => el("span", { class: `key ${kind}`, "aria-hidden": "true" });

// Days on which nothing was spent have no line, but their place in the chart.
function everyDay(found) {
  const lines = new Map(found.lines.map((line) => [line.group, line]));
  const zone = { timeZone: found.zone };
  const name = (at) => new Intl.DateTimeFormat("sv-SE", zone).format(at);
  const days = [];
  const end = new Date(found.until).getTime();
  for (let at = new Date(found.since).getTime(); at < end; at += 86_400_000) days.push(name(at));
  days.push(name(end));
  return [...new Set([...days, ...lines.keys()])]
    .sort()
    .map((group) => lines.get(group) || { group, cost_usd: "0", saved_usd: "0", questions: 0 });
}

function dayName(day) {
  return new Date(`${day}T12:00:00Z`).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
}

function parts() {
  return show($("parts"), async () => {
    const by = $("by").value;
    const found = await callInZone("/v1/usage", { by, since: $("since").value });
    if (!found.lines.length) return empty("Nothing was spent in this period.");
    return by === "lever" ? levers(found) : groups(by, found);
  });
}

function levers(found) {
  const named = found.lines.map((line) => ({
    name: line.group,
    pico: pico(line.saved_usd),
    value: money(line.saved_usd),
  }));
  return [
    bars(named),
    el(
      "p",
      { class: "faint" },
      "Each lever is priced against the same question without it. Embedding, reranking and retries are costs, so they are negative. Together they are all that was saved: ",
      money(found.total.saved_usd),
      ".",
      declined(found.total) &&
        " What is called abstained is the price of questions that were declined for nothing: it bought no cheaper answer.",
    ),
  ];
}

function groups(by, found) {
  const money_of = (line) => pico(line.cost_usd);
  const named = found.lines.map((line) => ({
    name: title(line),
    pico: money_of(line),
    value: money(line.cost_usd),
    kind: "paid",
  }));
  const whole = found.lines[0].questions !== null;
  return [
    bars(named),
    table(
      `Costs by ${by}`,
      [
        [HEADS[by], (it) => title(it)],
        ...(whole ? [["Questions", (it) => count(it.questions), "number"]] : []),
        ["Calls", (it) => count(it.events), "number"],
        ["Tokens", (it) => count(it.tokens), "number"],
        ["Spent", (it) => money(it.cost_usd), "number"],
        ...(whole ? [["Saved", (it) => money(it.saved_usd, "saved"), "number"]] : []),
        ...(whole && declined(found.total)
          ? [["Of it for no answer", (it) => money(it.declined_usd), "number"]]
          : []),
        ...(found.total.unknown_costs ? [["Unknown costs", (it) => count(it.unknown_costs), "number"]] : []),
      ],
      found.lines,
      { foot: { ...found.total, group: "In all" } },
    ),
  ];
}

const title = (line) => (line.group === "(none)" ? "no tier (steps beside the answer)" : line.group);

function ahead() {
  return show($("ahead"), async () => {
    const found = await callInZone("/v1/usage/forecast", { per: $("per").value });
    const { low, mid, high } = found.forecast_usd;
    return [
      el(
        "div",
        { class: "tiles" },
        tile("Spent so far", money(found.spent_usd), ["since ", when(found.start)]),
        tile("Expected at the end", money(mid), ["on ", when(found.end)]),
        found.history_days > 0 &&
          tile("In four cases of five between", el("span", {}, money(low), " and ", money(high))),
      ),
      found.alerts.map((alert) => notice("warn", alert)),
      simulatedMoney(found.simulated_usd, "of the spending that this is made from"),
      el("p", { class: "faint" }, badge("estimate"), ` ${grounds(found)}`),
    ];
  });
}

function grounds({ history_days: days, rhythm }) {
  if (!days) return "There is no whole day of history yet: spending is taken to go on as in its first hours.";
  return `From ${plural(days, "whole day")} of history, by ${rhythm === "even" ? "their mean" : `the rhythm of ${rhythm}`}. A short history gives a wide interval.`;
}
