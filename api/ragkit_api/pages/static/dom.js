// Building blocks of all pages. Text only ever becomes text: nothing here takes markup.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

function dress(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren();
  return dress(node, {}, children);
}

// Said to screen readers. What is said twice in a row would be heard once, hence the blank.
export function say(text) {
  const place = $("status");
  place.textContent = place.textContent === text ? `${text} ` : text;
}

export function notice(kind, ...children) {
  return el("div", { class: `notice ${kind}` }, ...children);
}

export function empty(title, ...more) {
  return el("div", { class: "empty" }, el("p", { class: "strong" }, title), ...more.map((it) => el("p", {}, it)));
}

// Show a part of a page: first that it loads, then what was made of it, or why not and how to try again.
// Parts that are made of one reply say how it is asked for `again`: what has failed once would fail for ever.
export async function show(node, make, again = () => show(node, make)) {
  const turn = (node.turn = (node.turn || 0) + 1);
  node.setAttribute("aria-busy", "true");
  if (!node.hasChildNodes()) fill(node, el("div", { class: "loading" }, el("span", { class: "unseen" }, "Loading")));
  try {
    const made = await make();
    if (turn === node.turn) fill(node, made);
  } catch (error) {
    if (turn !== node.turn) return;
    const button = el("button", { type: "button", click: () => again() }, "Try again");
    fill(node, notice("error", el("p", {}, sentence(error)), button));
  } finally {
    if (turn === node.turn) node.removeAttribute("aria-busy");
  }
}

export function sentence(error) {
  const text = error instanceof Error ? error.message : String(error);
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?:]$/.test(text) ? "" : ".");
}

// A modal dialog: the browser keeps the focus inside, closes it on Escape and gives the focus back.
export function dialog(title, { wide = false } = {}) {
  const head = el("h2", { id: `dialog-${document.querySelectorAll("dialog").length}` }, title);
  const body = el("div", { class: "body" });
  const close = el(
    "button",
    { type: "button", class: "plain close", "aria-label": "Close", click: () => box.close() },
    "✕",
  );
  const top = el("div", { class: "heading" }, head, close);
  const box = el("dialog", { class: wide ? "wide" : "", "aria-labelledby": head.id }, top, body);
  const before = document.activeElement;
  box.addEventListener("close", () => {
    box.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
    else $("main").focus();
  });
  box.addEventListener("click", (event) => {
    if (event.target === box) box.close();
  });
  document.body.append(box);
  box.showModal();
  return { box, body };
}

export function confirm(title, text, action) {
  return new Promise((resolve) => {
    const { box, body } = dialog(title);
    let answer = false;
    const yes = () => {
      answer = true;
      box.close();
    };
    box.addEventListener("close", () => resolve(answer));
    const no = el("button", { type: "button", autofocus: true, click: () => box.close() }, "Cancel");
    fill(
      body,
      el("p", {}, text),
      el("div", { class: "buttons" }, el("button", { type: "button", class: "danger", click: yes }, action), no),
    );
    no.focus();
  });
}

// Columns are [head, cell of a row, "number" for figures]. On a phone each row becomes a block of its own.
export function table(caption, columns, rows, { foot = null, kind = "" } = {}) {
  const cell =
    (row) =>
    ([head, read, type], place) => {
      const shown = read(row);
      const names = { class: `${type || ""} ${shown === "" ? "none" : ""}`.trim(), "data-head": head };
      return el(place === 0 ? "th" : "td", { ...names, scope: place === 0 ? "row" : null }, el("span", {}, shown));
    };
  const heads = columns.map(([head, , type]) => el("th", { scope: "col", class: type || "" }, head));
  return el(
    "table",
    { class: kind },
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, heads)),
    el(
      "tbody",
      {},
      rows.map((row) => el("tr", {}, columns.map(cell(row)))),
    ),
    foot && el("tfoot", {}, el("tr", {}, columns.map(cell(foot)))),
  );
}

export function tile(name, value, under = null, kind = "") {
  return el(
    "div",
    { class: `tile ${kind}` },
    el("h3", {}, name),
    el("p", { class: "figure" }, value),
    under && el("p", { class: "faint" }, under),
  );
}

export const badge = (text, kind = "") => el("span", { class: `badge ${kind}` }, text);

export const count = (number) => (number === null || number === undefined ? "–" : number.toLocaleString("en"));

// 1 question, 2 questions.
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

export function percent(share, digits = 1) {
  return share === null || !Number.isFinite(share) ? "–" : `${(100 * share).toFixed(digits).replace(/\.0+$/, "")} %`;
}

export function when(iso) {
  const at = new Date(iso);
  const shown = at.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  return el("time", { datetime: iso, title: at.toISOString() }, shown);
}

// What stands above numbers that are not of this world.
export function simulated(number, what) {
  if (!number) return [];
  const said = ` ${count(number)} ${what} came from simulated providers: they rehearse a bill, nobody pays it.`;
  return [notice("simulated", badge("simulated", "warn"), said)];
}
