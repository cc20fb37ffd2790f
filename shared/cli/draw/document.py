"""A self-contained HTML document for a file: no script, and nothing is loaded."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ...health import html
from ...health.html import element

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_SHEET = f"""
:root {{ color-scheme: light dark; background: Canvas; color: CanvasText; }}
body {{ margin: 0 auto; max-width: 72rem; padding: 1rem; font: 1rem/1.5 system-ui, {html.FONT_STACK}; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8885; text-align: left; font-weight: 400; }}
thead th {{ font-weight: 600; }} p, tbody th {{ overflow-wrap: anywhere; }}
@media (max-width: 30rem) {{ th, td {{ font-size: .875rem; }} }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
"""


def render_document(title: str, sheet: str, *children: Element) -> str:
    """Render a document with its own style sheet beside the common one."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Element("meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", _SHEET + sheet),
    )
    return html.render(element("html", head, element("body", element("main", *children)), lang="en"))
