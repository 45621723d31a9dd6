"""The frame of a report: one HTML file that needs nothing else, readable in light and dark, on paper and on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #1b2330; --soft: #5d6b7a; --line: #d7dde5; --back: #fff; --card: #f5f7fa;
  --accent: #2a6fdb; --gone: #d7dde5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf2; --soft: #98a5b5; --line: #333d4b; --back: #12171f;
  --card: #1a212c; --accent: #6aa1ff; --gone: #333d4b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 24px 20px 80px; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 8px; }
p { max-width: 78ch; } .soft { color: var(--soft); } .notice { border-left: 4px solid var(--accent);
  background: var(--card); padding: 8px 14px; margin: 14px 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } th.words, td.words { text-align: left; }
svg { width: 100%; max-width: 820px; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--line); } svg .front { fill: none; stroke: var(--soft); stroke-dasharray: 4 4; }
svg .left { fill: var(--accent); } svg .gone { fill: var(--gone); }
details { border-bottom: 1px solid var(--line); padding: 6px 0; } summary { cursor: pointer; }
details .wide { padding: 4px 0 4px 16px; } blockquote { margin: 6px 0 6px 16px; padding-left: 12px;
  border-left: 3px solid var(--line); color: var(--soft); white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: 13px; }
input { font: inherit; padding: 6px 10px; width: min(420px, 100%); border: 1px solid var(--line); border-radius: 6px;
  background: var(--card); color: var(--ink); }
.worse { color: #c2334d; } .better { color: #2f9e63; }
"""
FILTER = """
const box = document.getElementById('filter');
if (box) box.addEventListener('input', () => {
  const wanted = box.value.toLowerCase();
  for (const item of document.querySelectorAll('details[data-text]'))
    item.hidden = !item.dataset.text.includes(wanted);
});
"""


def page(title: str, about: Sequence[str], sections: Sequence[str]) -> str:
    """A whole page; `sections` are HTML already, everything else is text."""
    lead = "".join(f'<p class="soft">{escape(line)}</p>' for line in about)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{lead}{''.join(sections)}<script>{FILTER}</script></body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def notice(text: str) -> str:
    return f'<p class="notice">{escape(text)}</p>'


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """The first `words` columns are text, the others numbers; a trailing + or - of a number colours it."""
    head = "".join(f"<th{_words(place, words)}>{escape(it)}</th>" for place, it in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{_words(place, words)}>{_cell(it)}</td>" for place, it in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def fold(summary: str, text: str, *parts: str) -> str:
    """Something that opens; `text` is what the filter looks through."""
    return f'<details data-text="{escape(text.lower())}"><summary>{escape(summary)}</summary>{"".join(parts)}</details>'


def quote(text: str) -> str:
    return f"<blockquote>{escape(text)}</blockquote>"


def _words(place: int, words: int) -> str:
    return ' class="words"' if place < words else ""


def _cell(text: str) -> str:
    sign = text[-1:] if len(text) > 1 else ""
    if sign in ("+", "-"):
        return f'<span class="{"better" if sign == "+" else "worse"}">{escape(text)}</span>'
    return escape(text)
