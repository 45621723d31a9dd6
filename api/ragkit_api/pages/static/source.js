// A document with the quote of a citation marked. Offsets count characters of Unicode, not units of this language.

import { call } from "./api.js";
import { badge, dialog, el, notice, plural, show, when } from "./dom.js";

export function openSource({ document_id: id, source, quote = "", start = 0, end = 0 }) {
  const { body } = dialog(source, { wide: true });
  show(body, async () => {
    const found = await call(`/v1/documents/${encodeURIComponent(id)}`);
    const shown = el("div", { class: "source", tabindex: "0", role: "region", "aria-label": `Text of ${source}` });
    const marked = passages(shown, found.passages, quote, start, end);
    const facts = el(
      "p",
      { class: "faint" },
      found.title && `${found.title} · `,
      `version ${found.version} · ${plural(found.chunks, "passage")} · `,
      when(found.modified),
    );
    const changed =
      quote &&
      !marked &&
      notice("warn", el("p", {}, "The document has changed since this answer. What was quoted: ", el("q", {}, quote)));
    requestAnimationFrame(() => shown.querySelector("mark")?.scrollIntoView({ block: "center" }));
    return [facts, changed, shown];
  });
}

function passages(host, found, quote, start, end) {
  const texts = whole(found);
  const valid = quote && texts.map(({ letters, at }) => cut(letters, start - at, end - at)).join("") === quote;
  let section = "";
  let marked = false;
  for (const { letters, at, passage } of texts) {
    const path = passage.section.join(" › ");
    if (path !== section) host.append(el("h3", {}, path));
    section = path;
    const [from, to] = valid ? [start - at, end - at] : elsewhere(letters, quote);
    const piece = cut(letters, from, to);
    marked ||= piece !== "";
    host.append(
      el(
        "p",
        {},
        passage.page !== null && [badge(`page ${passage.page}`), " "],
        cut(letters, 0, from),
        piece && el("mark", {}, piece),
        cut(letters, Math.max(0, to), letters.length),
      ),
    );
  }
  return marked;
}

// Passages may overlap: what was shown before is not shown again.
function whole(found) {
  let position = 0;
  return found.map((passage) => {
    const letters = Array.from(passage.text);
    const skip = Math.min(letters.length, Math.max(0, position - passage.start));
    position = Math.max(position, passage.end);
    return { letters: letters.slice(skip), at: passage.start + skip, passage };
  });
}

function elsewhere(letters, quote) {
  const text = letters.join("");
  const place = quote ? text.indexOf(quote) : -1;
  if (place < 0) return [0, 0];
  const before = Array.from(text.slice(0, place)).length;
  return [before, before + Array.from(quote).length];
}

function cut(letters, from, to) {
  return letters.slice(Math.max(0, from), Math.max(0, to)).join("");
}
