// What every page begins with: who is asking, and the key where one is needed.

import { ApiError, call, key } from "./api.js";
import { $, dialog, el, fill, notice, sentence } from "./dom.js";

let asking = false;
const hint = el("div", {});

// Load a page for whoever has the key; `load` is told tenant and scopes.
export async function start(load) {
  window.addEventListener("key-needed", () => askForKey());
  try {
    const me = await call("/v1/whoami");
    name(me);
    await load({ ...me, may: (scope) => me.scopes.includes(scope) });
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return;
    const again = el("button", { type: "button", click: () => location.reload() }, "Try again");
    $("main").prepend(notice("error", el("p", {}, sentence(error)), again));
  }
}

function name(me) {
  const button = $("who");
  button.hidden = false;
  fill(button, el("span", { class: "unseen" }, "Tenant "), me.tenant);
  button.addEventListener("click", () => aboutKey(me));
}

function aboutKey(me) {
  const { body } = dialog("Who you are");
  const facts = [
    ["Tenant", me.tenant],
    ["Key", me.key || "none: the service answers this machine only"],
    ["It may", me.scopes.join(", ")],
    ["Version", `ragkit ${me.version}`],
  ];
  const leave = () => {
    key.forget();
    location.reload();
  };
  fill(
    body,
    el(
      "dl",
      { class: "facts" },
      facts.map(([term, text]) => [el("dt", {}, term), el("dd", {}, text)]),
    ),
    key.get() && el("div", { class: "buttons" }, el("button", { type: "button", click: leave }, "Forget the key")),
  );
}

function askForKey() {
  if (asking) return;
  asking = true;
  fill(hint);
  $("main").prepend(hint);
  const wrong = key.get() !== "";
  key.forget();
  const { box, body } = dialog("Your key");
  const field = el("input", { type: "password", id: "key", required: true, autocomplete: "off", spellcheck: "false" });
  const state = el(
    "div",
    { role: "alert" },
    wrong && notice("error", "This key is not valid: it may have expired or been revoked."),
  );
  const enter = async (event) => {
    event.preventDefault();
    const shown = field.value.trim();
    // What cannot stand in a header cannot be a key either.
    if (!/^[\x21-\x7e]+$/.test(shown)) return fill(state, notice("error", "A key begins with rk_ and has no blanks."));
    key.set(shown);
    try {
      await call("/v1/whoami");
      location.reload();
    } catch (error) {
      key.forget();
      fill(state, notice("error", error.status === 401 ? "This key is not valid." : sentence(error)));
      field.select();
    }
  };
  // Who would rather not type it now finds a way back.
  box.addEventListener("close", () => {
    asking = false;
    const again = el("button", { type: "button", class: "primary", click: askForKey }, "Enter the key");
    fill(hint, notice("quiet", el("p", {}, "Nothing can be shown without a key."), again));
  });
  fill(
    body,
    el("p", {}, "This service needs a key. It stays in this tab until you close it, and is sent to this service only."),
    el(
      "form",
      { submit: enter, class: "stack" },
      el("label", { for: "key" }, "Key"),
      field,
      state,
      el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary" }, "Continue")),
    ),
    el("p", { class: "faint" }, "Whoever runs the service makes keys with ", el("code", {}, "ragkit key create"), "."),
  );
  field.focus();
}
