// The dialog that sets a budget.

import { call, zone } from "./api.js";
import { dialog, el, fill, notice, say, sentence } from "./dom.js";

const WINDOWS = [
  ["hour", "hour"],
  ["day", "day"],
  ["week", "week"],
  ["month", "month"],
  ["24h", "24 hours, rolling"],
  ["30d", "30 days, rolling"],
  ["total", "ever"],
  ["question", "question"],
];

// A window of time in words.
export function span(window) {
  const [, number, unit] = /^rolling (\d+)([mhd])$/.exec(window) || [];
  if (!number) return window === "total" ? "all time" : window;
  return `${number} ${{ m: "minutes", h: "hours", d: "days" }[unit].slice(0, number === "1" ? -1 : undefined)}, rolling`;
}

const option =
  (chosen) =>
  ([value, text]) =>
    el("option", { value, selected: value === chosen }, text);

// `old` is a budget as the API takes it, null for a new one; `done` is called once it is set.
export function editBudget(old, done) {
  const { box, body } = dialog(old ? "Change a budget" : "Set a budget");
  const now = old || { whom: "tenant", per: "month", zone: zone(), on_exceed: "refuse", limit_usd: "" };
  const [scope, name = ""] = now.whom.split("=");
  const windows = WINDOWS.some(([value]) => value === now.per)
    ? WINDOWS
    : [...WINDOWS, [now.per, span(`rolling ${now.per}`)]];
  const fields = {
    scope: el(
      "select",
      { disabled: old !== null, change: () => named() },
      [
        ["tenant", "The whole tenant"],
        ["user", "A user"],
        ["tag", "A tag"],
        ["key", "A key"],
      ].map(option(scope)),
    ),
    name: el("input", {
      value: name,
      placeholder: "a name, or * for each one",
      pattern: "\\*|[A-Za-z0-9._@:+\\-]{1,128}",
      disabled: old !== null,
      autocomplete: "off",
    }),
    limit: el("input", {
      value: now.limit_usd,
      required: true,
      inputmode: "decimal",
      pattern: "[0-9]{1,6}(\\.[0-9]{1,12})?",
      placeholder: "50.00",
      title: "Dollars, such as 50.00",
      autocomplete: "off",
    }),
    per: el("select", { disabled: old !== null }, windows.map(option(now.per))),
    exceed: el(
      "select",
      {},
      [
        ["refuse", "Refuse what does not fit"],
        ["degrade", "Get cheaper from 90 %, then refuse"],
      ].map(option(now.on_exceed)),
    ),
    note: el("input", { maxlength: 200, autocomplete: "off" }),
  };
  const who = el("label", {}, "Name", fields.name);
  const named = () => {
    who.hidden = fields.scope.value === "tenant";
    fields.name.required = !who.hidden;
  };
  const state = el("div", { role: "alert" });
  const save = async (event) => {
    event.preventDefault();
    const whom = fields.scope.value === "tenant" ? "tenant" : `${fields.scope.value}=${fields.name.value}`;
    const calendar = /^(hour|day|week|month)$/.test(fields.per.value);
    const wanted = {
      whom,
      limit_usd: fields.limit.value,
      per: fields.per.value,
      zone: calendar ? now.zone : "UTC",
      on_exceed: fields.exceed.value,
      note: fields.note.value,
    };
    try {
      await put(wanted);
      box.close();
      say("The budget is set");
      await done();
    } catch (error) {
      fill(state, notice("error", sentence(error)));
    }
  };
  named();
  fill(
    body,
    el(
      "form",
      { class: "stack", submit: save },
      el("label", {}, "For", fields.scope),
      who,
      el("label", {}, "Limit in dollars", fields.limit),
      el("label", {}, "Per", fields.per),
      el("label", {}, "At the limit", fields.exceed),
      el("label", {}, "Note for the history (optional)", fields.note),
      el(
        "p",
        { class: "faint" },
        `What was spent in the current window before counts. Calendar windows begin in ${now.zone}.`,
      ),
      state,
      el(
        "div",
        { class: "buttons" },
        el("button", { type: "submit", class: "primary" }, "Set"),
        el("button", { type: "button", click: () => box.close() }, "Cancel"),
      ),
    ),
  );
  (old ? fields.limit : fields.scope).focus();
}

// Calendar windows begin in the reader's zone where the service knows it, else in UTC.
async function put(wanted) {
  try {
    return await call("/v1/budgets", { method: "PUT", body: wanted });
  } catch (error) {
    if (error.status !== 422 || !/zone/.test(error.message)) throw error;
    return call("/v1/budgets", { method: "PUT", body: { ...wanted, zone: "UTC" } });
  }
}
