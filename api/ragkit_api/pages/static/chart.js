// Charts as SVG. Each stands beside a table that says the same, so that they are pictures and nothing more.

import { el, fill, svg } from "./dom.js";
import { rounded } from "./money.js";

const HEIGHT = 190;
const FOOT = 22;
const TICKS = [1, 2, 2.5, 5, 10];

// Columns over time: each has a label, a title and parts of {pico, kind}, the first at the bottom.
export function columns(description, data) {
  const host = el("div", { class: "chart" });
  const observer = new ResizeObserver(() => host.clientWidth && draw(host, description, data));
  observer.observe(host);
  return host;
}

function draw(host, description, data) {
  const width = host.clientWidth;
  const sums = data.map((day) => day.parts.reduce((sum, part) => sum + part.pico, 0n));
  const { top, step } = scale(Number(sums.reduce((most, sum) => (sum > most ? sum : most), 1n)));
  const left = 12 + 7 * Math.max(...ticks(top, step).map((at) => rounded(BigInt(Math.round(at))).length));
  const room = width - left - 4;
  const slot = room / data.length;
  const y = (value) => 8 + (HEIGHT - FOOT - 8) * (1 - value / top);
  const bar = Math.max(1, Math.min(36, slot * 0.72));
  const grid = ticks(top, step).map((at) => [
    svg("line", { class: "grid", x1: left, x2: width, y1: y(at), y2: y(at) }),
    svg("text", { class: "tick", x: left - 8, y: y(at) + 4, "text-anchor": "end" }, rounded(BigInt(Math.round(at)))),
  ]);
  const every = Math.ceil(62 / slot);
  const drawn = data.map((day, place) => {
    let base = 0;
    const x = left + slot * place + (slot - bar) / 2;
    const rects = day.parts.map((part) => {
      const size = Number(part.pico);
      const height = size > 0 ? Math.max(1, y(base) - y(base + size)) : 0;
      base += Math.max(0, size);
      return svg("rect", { class: part.kind, x, y: y(base), width: bar, height });
    });
    const last = place === data.length - 1;
    const shown = (data.length - 1 - place) % every === 0;
    const anchor =
      last && slot < 60 ? { x: left + room, "text-anchor": "end" } : { x: x + bar / 2, "text-anchor": "middle" };
    const cover = svg("rect", { class: "cover", x: left + slot * place, y: 0, width: slot, height: HEIGHT - FOOT });
    return svg(
      "g",
      { class: "column" },
      svg("title", {}, day.title),
      rects,
      cover,
      shown && svg("text", { class: "tick", y: HEIGHT - 5, ...anchor }, day.label),
    );
  });
  fill(
    host,
    svg(
      "svg",
      { role: "img", "aria-label": description, width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` },
      grid,
      drawn,
    ),
  );
}

function scale(most) {
  const rough = most / 3;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * TICKS.find((factor) => factor * size >= rough * 0.999);
  return { top: step * Math.ceil(most / step - 1e-9), step };
}

function ticks(top, step) {
  return Array.from({ length: Math.round(top / step) + 1 }, (_, place) => place * step);
}

// One bar: `from` and `to` are shares of the width. Never so thin that it cannot be seen.
export function bar(from, to, kind) {
  const [low, high] = from < to ? [from, to] : [to, from];
  const width = high > low ? Math.max(0.006, high - low) : 0;
  const x = Math.min(low, 1 - width);
  return svg(
    "svg",
    { class: "bar", viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", x: 0, y: 0, width: 1000, height: 10 }),
    svg("rect", { class: kind, x: 1000 * x, y: 0, width: 1000 * width, height: 10 }),
  );
}

// Several bars end to end, each with its share of the width.
export function stacked(parts) {
  let at = 0;
  const rects = parts.map(({ share, kind }) => {
    const width = Math.max(0, Math.min(1 - at, share));
    const rect = svg("rect", { class: kind, x: 1000 * at, y: 0, width: 1000 * width, height: 10 });
    at += width;
    return rect;
  });
  return svg(
    "svg",
    { class: "bar", viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", x: 0, y: 0, width: 1000, height: 10 }),
    rects,
  );
}

// Rows of name, bar and figure; lengths are shares of the largest, negative ones go to the left of the middle.
export function bars(rows) {
  const sizes = rows.map((row) => Number(row.pico));
  const most = Math.max(1, ...sizes.map(Math.abs));
  const middle = sizes.some((size) => size < 0)
    ? Math.abs(Math.min(...sizes, 0)) / (Math.max(...sizes, 0) - Math.min(...sizes, 0) || most)
    : 0;
  const span = middle ? Math.max(...sizes, 0) - Math.min(...sizes, 0) : most;
  return el(
    "ul",
    { class: "bars" },
    rows.map((row, place) =>
      el(
        "li",
        {},
        el("span", { class: "name" }, row.name),
        bar(middle, middle + sizes[place] / span, row.kind || (sizes[place] < 0 ? "lost" : "saved")),
        el("span", { class: "value" }, row.value),
      ),
    ),
  );
}
