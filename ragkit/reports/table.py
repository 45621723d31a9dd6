"""Tables as aligned text."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns two blanks apart; those that hold nothing but numbers are aligned to the right."""
    columns = list(zip(heads, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(_number(cell) for cell in column[1:]) for column in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        for row in (heads, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def _number(cell: str) -> bool:
    return cell.strip("-$%").replace(".", "").replace(",", "").isdigit() or not cell
