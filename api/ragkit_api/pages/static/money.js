// Dollars as the API writes them, decimal strings, counted in whole pico-dollars. Never a float, but to draw.

import { badge, el, notice } from "./dom.js";

const PICO = 10n ** 12n;

export function pico(text) {
  const [, minus, whole, part = ""] = /^(-?)(\d+)(?:\.(\d{1,12}))?$/.exec(text);
  const value = BigInt(whole) * PICO + BigInt(part.padEnd(12, "0"));
  return minus ? -value : value;
}

export function exact(value) {
  const [minus, size] = value < 0n ? ["-", -value] : ["", value];
  const part = String(size % PICO)
    .padStart(12, "0")
    .replace(/0+$/, "");
  return `${minus}$${size / PICO}${part && "."}${part}`;
}

// Three significant digits, at least cents: $1,204.50, $0.0791, $0.000385.
export function rounded(value) {
  const size = value < 0n ? -value : value;
  const minus = value < 0n ? "−" : "";
  if (size === 0n) return "$0";
  const decimals = Math.min(12, Math.max(2, 15 - String(size).length));
  const unit = 10n ** BigInt(12 - decimals);
  const units = (size + unit / 2n) / unit;
  const scale = 10n ** BigInt(decimals);
  const part = String(units % scale)
    .padStart(decimals, "0")
    .replace(/0+$/, "")
    .padEnd(2, "0");
  return `${minus}$${(units / scale).toLocaleString("en")}.${part}`;
}

// A sum as it is read, with every digit of it in the title.
export function money(text, kind = "") {
  if (text === null || text === undefined) {
    return el("span", { class: "money faint", title: "the cost of a call is not known" }, "unknown");
  }
  const value = pico(text);
  return el("data", { class: `money ${kind}`, value: text, title: exact(value) }, rounded(value));
}

// Which part of one sum another one is; for shares and lengths only.
export function share(part, whole) {
  return whole === 0n ? null : Number((part * 1_000_000n) / whole) / 1_000_000;
}

// Money that a simulation has billed, beside a sum that contains it.
export function simulatedMoney(text, what) {
  if (!text || pico(text) === 0n) return null;
  const said = ` ${what} came from simulated providers: nobody pays it.`;
  return notice("simulated", badge("simulated", "warn"), " ", money(text), said);
}
