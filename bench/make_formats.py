"""Makes a PDF, a DOCX and an HTML file of our own pages, so that the demo reads more than Markdown.

Run it after changing one of the pages: `python bench/make_formats.py`. The same pages give the same bytes.
"""

from __future__ import annotations

import html
import re
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from xml.sax.saxutils import escape

from ragkit_ingest.document import Block
from ragkit_ingest.parse.markdown import heading_text, scan

HERE = Path(__file__).parents[1] / "docs"
PAGES = {"receipts.md": "receipts.pdf", "stores.md": "stores.docx", "errors.md": "errors.html"}
LINES_PER_PAGE = 48
COLUMNS = 92
Piece = tuple[Block, str]


def make(folder: Path = HERE) -> dict[str, bytes]:
    """The files by name."""
    writers = {".pdf": to_pdf, ".docx": to_docx, ".html": to_html}
    made = {}
    for page, target in PAGES.items():
        text = (folder / page).read_text(encoding="utf-8")
        made[target] = writers[Path(target).suffix](pieces(text))
    return made


def pieces(text: str) -> list[Piece]:
    """The page's blocks with their text, without Markdown's marks."""
    blocks = list(scan(text))
    ends = [block.start for block in blocks[1:]] + [len(text)]
    return [
        (block, _plain(block, text[block.start : end].strip("\n"))) for block, end in zip(blocks, ends, strict=True)
    ]


def _plain(block: Block, text: str) -> str:
    if block.kind == "heading":
        return block.title
    if block.kind == "code":
        return "\n".join(line for line in text.splitlines() if not line.startswith("```"))
    lines = [line for line in text.splitlines() if not re.fullmatch(r"[|:\s-]+", line)]
    if block.kind == "text":
        return heading_text(" ".join(lines)) if len(text) < 300 else _unmarked(" ".join(lines))
    return "\n".join(_unmarked(line) for line in lines)


def _unmarked(text: str) -> str:
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("`", "").replace("**", "")


def to_html(parts: list[Piece]) -> bytes:
    body = []
    for block, text in parts:
        if block.kind == "heading":
            body.append(f"<h{block.level}>{html.escape(text)}</h{block.level}>")
        elif block.kind == "code":
            body.append(f"<pre>{html.escape(text)}</pre>")
        elif block.kind == "table":
            rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(row)) for row in text.splitlines())
            body.append("<table>\n" + "\n".join(f"<tr>{row}</tr>" for row in rows) + "\n</table>")
        elif block.kind == "list":
            items = (f"<li>{html.escape(item)}</li>" for item in _items(text))
            body.append("<ul>\n" + "\n".join(items) + "\n</ul>")
        else:
            body.append(f"<p>{html.escape(text)}</p>")
    title = html.escape(parts[0][1])
    page = f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n<body>\n'
    return (page + "\n".join(body) + "\n</body>\n</html>\n").encode()


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def _items(text: str) -> list[str]:
    return [" ".join(item.split()) for item in re.split(r"(?m)^\s*(?:[-*]|\d+\.) ", text) if item.strip()]


def to_docx(parts: list[Piece]) -> bytes:
    namespace = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    body = "".join(_word_block(block, text) for block, text in parts)
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{level}"><w:name w:val="heading {level}"/></w:style>'
        for level in range(1, 7)
    )
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{word}.document.main+xml"/>'
        f'<Override PartName="/word/styles.xml" ContentType="{word}.styles+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/styles" Target="styles.xml"/></Relationships>',
        "word/document.xml": f"<w:document {namespace}><w:body>{body}</w:body></w:document>",
        "word/styles.xml": f"<w:styles {namespace}>{styles}</w:styles>",
    }
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as container:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            container.writestr(entry, f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{content}')
    return buffer.getvalue()


def _word_block(block: Block, text: str) -> str:
    if block.kind == "table":
        rows = ("".join(f"<w:tc>{_word(cell)}</w:tc>" for cell in _cells(row)) for row in text.splitlines())
        return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"
    if block.kind == "list":
        return "".join(_word(item, "<w:numPr/>") for item in _items(text))
    style = f'<w:pStyle w:val="Heading{block.level}"/>' if block.kind == "heading" else ""
    return "".join(_word(line, style) for line in text.splitlines())


def _word(text: str, style: str = "") -> str:
    properties = f"<w:pPr>{style}</w:pPr>" if style else ""
    return f'<w:p>{properties}<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'


def to_pdf(parts: list[Piece]) -> bytes:
    """Plain pages of Helvetica, with the headings as outline."""
    lines: list[tuple[str, int]] = []
    for block, text in parts:
        lines += [("", 0)] if lines else []
        for line in text.splitlines():
            wrapped = [line] if block.kind == "code" else wrap(line, COLUMNS) or [""]
            lines += [(part, block.level) for part in wrapped]
    pages = [lines[start : start + LINES_PER_PAGE] for start in range(0, len(lines), LINES_PER_PAGE)]
    headings = [(number, text) for number, page in enumerate(pages) for text, level in page if level]
    return _pdf_file(pages, headings)


def _pdf_file(pages: list[list[tuple[str, int]]], headings: list[tuple[int, str]]) -> bytes:
    first_page, first_entry = 5, 5 + 2 * len(pages)
    kids = " ".join(f"{first_page + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R /Outlines 4 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        f"<< /Type /Outlines /First {first_entry} 0 R /Last {first_entry} 0 R /Count 1 >>",
    ]
    for number, page in enumerate(pages):
        content = "\n".join(_pdf_line(text, level) for text, level in page)
        stream = f"BT 72 740 Td 14 TL\n{content}\nET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {first_page + 2 * number + 1} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream.encode('cp1252', 'replace'))} >>\nstream\n{stream}\nendstream")
    for index, (page_number, text) in enumerate(headings):
        place = f"/Title ({_pdf_text(text)}) /Dest [{first_page + 2 * page_number} 0 R /Fit]"
        objects.append(f"<< {place} {_pdf_links(first_entry, index, len(headings) - 1)} >>")
    return _pdf_bytes([each.encode("cp1252", "replace") for each in objects])


def _pdf_links(first: int, index: int, last: int) -> str:
    """The page's title is the only entry at the top of the outline; the other headings hang below it."""
    if index == 0:
        return f"/Parent 4 0 R /First {first + 1} 0 R /Last {first + last} 0 R /Count {last}"
    before = f"/Prev {first + index - 1} 0 R" if index > 1 else ""
    after = f"/Next {first + index + 1} 0 R" if index < last else ""
    return f"/Parent {first} 0 R {before} {after}"


def _pdf_line(text: str, level: int) -> str:
    return f"/F1 {14 if level else 10} Tf ({_pdf_text(text)}) Tj T*"


def _pdf_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _pdf_bytes(objects: list[bytes]) -> bytes:
    file = bytearray(b"%PDF-1.4\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    start = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % place for place in places)
    file += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(file)


if __name__ == "__main__":
    for name, content in make().items():
        (HERE / name).write_bytes(content)
        sys.stderr.write(f"docs/{name}: {len(content):,} bytes\n")
