"""HTML elements as a tree, so that every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, tostring

# Fonts of letters that a reader's usual ones may lack, as Linux, Windows and macOS name them: Latin first, then
# Chinese, Japanese and Korean, then Devanagari, then other scripts and symbols.
FONTS = (
    *("DejaVu Sans", "Noto Sans"),
    *("Noto Sans CJK JP", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR", "WenQuanYi Micro Hei"),
    *("Droid Sans Fallback", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
    *("PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo"),
    *("Noto Sans Devanagari", "Lohit Devanagari", "Nirmala UI", "Mangal", "Kohinoor Devanagari"),
    *(
        "Noto Sans Arabic",
        "Noto Sans Hebrew",
        "Noto Sans Thai",
        "Arial Unicode MS",
        "Noto Emoji",
        "Segoe UI Symbol",
    ),
)
FONT_STACK = ", ".join((*(f"'{name}'" for name in FONTS), "sans-serif"))


def element(tag: str, *children: Element | str, **attributes: str) -> Element:
    """Create an element with child elements or one text.

    `class_` and `aria_hidden` become class and aria-hidden; an empty attribute is omitted.
    """
    present = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value}
    node = Element(tag, present)
    for child in children:
        if isinstance(child, str):
            node.text = child
        else:
            node.append(child)
    return node


def section(heading: str, *children: Element) -> Element:
    """Create a section of the page with its heading."""
    return element("section", element("h2", heading), *children)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> Element:
    """Create a table; its first column holds row headers, `numbers` are numeric."""

    def cell(tag: str, column: int, text: str, scope: str = "") -> Element:
        return element(tag, text, class_="number" if column in numbers else "", scope=scope)

    head = [cell("th", column, text, "col") for column, text in enumerate(headers)]
    body = [
        element(
            "tr",
            cell("th", 0, first, "row"),
            *[cell("td", column, text) for column, text in enumerate(others, 1)],
        )
        for first, *others in rows
    ]
    return element("table", element("thead", element("tr", *head)), element("tbody", *body))


def render(root: Element) -> str:
    """Return a complete document as HTML."""
    return f"<!doctype html>\n{tostring(root, encoding='unicode', method='html')}\n"
