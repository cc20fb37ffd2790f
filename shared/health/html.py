"""Elements of a page: a tree, so that every text is escaped whatever it holds."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, tostring


def element(tag: str, *children: Element | str, **attributes: str) -> Element:
    """An element with other elements or one text in it.

    `class_` and `aria_hidden` stand for class and aria-hidden; an empty attribute is left out.
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
    """A part of the page under its heading."""
    return element("section", element("h2", heading), *children)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> Element:
    """A table whose first column names the row; the columns `numbers` are aligned as such."""

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
    """A whole document as HTML."""
    return f"<!doctype html>\n{tostring(root, encoding='unicode', method='html')}\n"
