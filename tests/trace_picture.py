"""A trace as a waterfall: one row a span, with its name, its bar and its duration. Plain SVG, the same each time."""

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from tests.otlp_receiver import ReceivedSpan

__all__ = ["picture"]

_WIDTH: Final = 920
_NAMES: Final = 250  # where bars begin
_MARGIN: Final = 24
_ROW: Final = 34
_HEAD: Final = 78  # above the first row
_BAR: Final = 16
_LABEL: Final = 62  # beside the longest bar
_COLORS: Final = {"invoke_agent": "#7aa2f7", "chat": "#9ece6a", "execute_tool": "#e0af68"}
_ERROR: Final = "#f7768e"
_TICKS: Final = 6


def picture(spans: Sequence[ReceivedSpan]) -> str:
    """The spans of one trace, the root first and its children by when they began."""
    rows = sorted(spans, key=lambda span: (bool(span.parent_span_id), span.start_ns, span.end_ns, span.span_id))
    begin, end = min(span.start_ns for span in rows), max(span.end_ns for span in rows)
    scale = (_WIDTH - _NAMES - _MARGIN - _LABEL) / max(end - begin, 1)
    height = _HEAD + _ROW * len(rows) + _MARGIN - 6
    title = f"trace {rows[0].trace_id}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label={quoteattr(f"A waterfall of {len(rows)} spans")}>',
        "<style>text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#c0caf5}"
        ".dim{fill:#7f88b0;font-size:12px}.line{stroke:#2f3549}</style>",
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#1a1b26"/>',
        f'<text x="{_MARGIN}" y="32">{escape(title)}</text>',
    ]
    for tick in range(_TICKS + 1):
        ns = (end - begin) * tick // _TICKS
        x = _NAMES + ns * scale
        lines.append(f'<line class="line" x1="{x:.1f}" y1="{_HEAD - 10}" x2="{x:.1f}" y2="{height - 14}"/>')
        lines.append(f'<text class="dim" x="{x:.1f}" y="{_HEAD - 18}" text-anchor="middle">{_seconds(ns)}</text>')
    for number, span in enumerate(rows):
        lines += _row(span, _HEAD + number * _ROW, begin, scale)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _row(span: ReceivedSpan, y: int, begin: int, scale: float) -> list[str]:
    x = _NAMES + (span.start_ns - begin) * scale
    width = max((span.end_ns - span.start_ns) * scale, 2.0)
    color = _ERROR if span.status == "ERROR" else _COLORS[span.name.split(" ")[0]]
    indent = 0 if not span.parent_span_id else 16
    middle = y + _BAR - 4
    return [
        f'<text x="{_MARGIN + indent}" y="{middle}">{escape(span.name)}</text>',
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="3" fill="{color}"/>',
        f'<text class="dim" x="{x + width + 8:.1f}" y="{middle}">{_seconds(span.end_ns - span.start_ns)}</text>',
    ]


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.1f} s"
