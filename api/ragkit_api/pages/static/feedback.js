// What somebody thought of an answer, kept by its receipt.

import { call } from "./api.js";
import { el, fill, sentence } from "./dom.js";

export function feedback(receipt) {
  const state = el("span", { class: "faint", role: "status" });
  const send = async (rating, button, comment = "") => {
    try {
      await call("/v1/feedback", { method: "POST", body: { receipt_id: receipt, rating, comment } });
      for (const it of [up, down]) it.setAttribute("aria-pressed", it === button);
      fill(state, comment ? "Thank you, noted." : "Thank you.");
      if (!comment) more(rating, button);
    } catch (error) {
      fill(state, sentence(error));
    }
  };
  const more = (rating, button) => {
    const field = el("input", {
      type: "text",
      maxlength: 2000,
      "aria-label": "What was good or wrong",
      placeholder: "What was good or wrong? (optional)",
    });
    const form = el(
      "form",
      {
        class: "row",
        submit: (event) => {
          event.preventDefault();
          if (!field.value.trim()) return;
          send(rating, button, field.value.trim());
          fill(comment);
        },
      },
      field,
      el("button", { type: "submit" }, "Send"),
    );
    fill(comment, form);
  };
  const up = el(
    "button",
    { type: "button", class: "plain", "aria-pressed": "false", click: (event) => send("up", event.currentTarget) },
    "Helpful",
  );
  const down = el(
    "button",
    { type: "button", class: "plain", "aria-pressed": "false", click: (event) => send("down", event.currentTarget) },
    "Not helpful",
  );
  const comment = el("div", { class: "comment" });
  return el(
    "div",
    { class: "feedback", role: "group", "aria-label": "Was this answer helpful?" },
    el("span", { class: "faint" }, "Was this helpful?"),
    up,
    down,
    state,
    comment,
  );
}
