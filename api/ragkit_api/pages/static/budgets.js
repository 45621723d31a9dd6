// Limits, what is spent and held under each, and setting them where the key may.

import { call } from "./api.js";
import { start } from "./app.js";
import { editBudget, span } from "./budget-form.js";
import { stacked } from "./chart.js";
import { $, badge, confirm, el, empty, fill, notice, percent, say, sentence, show, table, when } from "./dom.js";
import { money, pico, share } from "./money.js";

const EXCEED = { refuse: "refuses", degrade: "gets cheaper, then refuses" };
let me = null;

start(async (who) => {
  me = who;
  $("add").hidden = !me.may("admin");
  $("add").addEventListener("click", () => editBudget(null, all));
  await all();
});

async function all() {
  const found = call("/v1/budgets");
  await Promise.all([
    show($("standings"), async () => standings(await found), all),
    show($("rules"), async () => rules(await found), all),
  ]);
}

// A name as the reader knows it: users and tags are this tenant's own.
function whose(whom) {
  const [scope, subject = ""] = whom.split(/=(.*)/s);
  const name = scope === "user" || scope === "tag" ? subject.slice(me.tenant.length + 1) : subject;
  return name === "*" ? `each ${scope}` : `${scope} ${name}`;
}

function standings({ standings: found, budgets }) {
  if (!found.length) {
    return empty(
      budgets.length ? "Nothing has been spent under a budget yet." : "There is no budget.",
      budgets.length
        ? "Where each stands appears here with the first question."
        : me.may("admin")
          ? "Without one, spending is not limited. Set a budget for the tenant first."
          : "A key with the scope admin can set one.",
    );
  }
  return el("div", { class: "grid" }, found.map(standing));
}

function standing(it) {
  const limit = pico(it.limit_usd);
  const spent = share(pico(it.spent_usd), limit) ?? 1;
  const held = share(pico(it.held_usd), limit) ?? 0;
  const used = spent + held;
  const kind = used >= 0.95 ? "lost" : used >= 0.8 ? "warning" : "paid";
  const state = used >= 1 ? badge("used up", "bad") : used >= 0.8 ? badge("nearly used up", "warn") : null;
  return el(
    "section",
    { class: "card standing" },
    el("div", { class: "heading" }, el("h3", {}, `${whose(it.whom)}, per ${span(it.window)}`), state),
    el("p", { class: "figure" }, money(it.left_usd), el("small", {}, " left of ", money(it.limit_usd))),
    stacked([
      { share: spent, kind },
      { share: held, kind: "held" },
    ]),
    el(
      "dl",
      { class: "facts" },
      el("dt", {}, "Spent"),
      el("dd", {}, money(it.spent_usd), ` (${percent(spent)})`),
      Number(it.simulated_usd) > 0 && [
        el("dt", {}, "Simulated"),
        el("dd", {}, money(it.simulated_usd), " of it: nobody pays that, but budgets count it"),
      ],
      el("dt", {}, "Held"),
      el("dd", {}, money(it.held_usd), " for calls under way"),
      el("dt", {}, "Resets"),
      el("dd", {}, it.resets ? when(it.resets) : "never"),
    ),
  );
}

function rules({ budgets }) {
  $("rules").closest("section").hidden = !budgets.length;
  return table(
    "Budgets",
    [
      ["For", (it) => whose(it.subject ? `${it.scope}=${it.subject}` : it.scope)],
      ["Limit", (it) => money(it.limit_usd), "number"],
      ["Per", (it) => (it.zone === "UTC" ? span(it.window) : `${span(it.window)} (${it.zone})`)],
      ["At the limit", (it) => EXCEED[it.on_exceed] || it.on_exceed],
      ...(me.may("admin")
        ? [
            [
              "Change",
              (it) =>
                el(
                  "div",
                  { class: "buttons" },
                  el(
                    "button",
                    {
                      type: "button",
                      class: "plain",
                      "aria-label": `Change the budget of ${whose(`${it.scope}=${it.subject}`)}`,
                      click: () => editBudget(request(it, it.limit_usd), all),
                    },
                    "Change",
                  ),
                  el(
                    "button",
                    {
                      type: "button",
                      class: "danger plain",
                      "aria-label": `End the budget of ${whose(`${it.scope}=${it.subject}`)}`,
                      click: () => end(it),
                    },
                    "End",
                  ),
                ),
              "act",
            ],
          ]
        : []),
    ],
    budgets,
  );
}

function request(it, limit) {
  const name = it.scope === "key" ? it.subject : it.subject.slice(me.tenant.length + 1);
  const whom = it.scope === "tenant" ? "tenant" : `${it.scope}=${name}`;
  return { whom, limit_usd: limit, per: it.window.replace("rolling ", ""), zone: it.zone, on_exceed: it.on_exceed };
}

async function end(it) {
  if (
    !(await confirm(
      "End this budget?",
      `Spending of ${whose(`${it.scope}=${it.subject}`)} per ${span(it.window)} will not be limited by it any more.`,
      "End the budget",
    ))
  )
    return;
  try {
    await call("/v1/budgets", { method: "PUT", body: request(it, null) });
    say("The budget is ended");
    await all();
  } catch (error) {
    fill($("labels"), notice("error", sentence(error)));
  }
}
