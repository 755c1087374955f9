"""A bar chart as SVG, without a library: horizontal bars in groups, logarithmic, with their spread.

Belongs here: drawing. Does not belong here: which figures are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from xml.sax.saxutils import escape

_LABELS, _WIDTH, _BAR, _GAP, _TOP = 330, 980, 18, 26, 70


@dataclass(frozen=True)
class Bar:
    """One bar: its group and label, the value with its spread (all above 0), and whether it is one of ours."""

    group: str
    label: str
    value: float
    least: float
    most: float
    ours: bool


def bars(title: str, shown: Sequence[Bar], *, floor: str = "the floor") -> str:
    """The chart; values are multiples of something, which a line marks at 1 and `floor` names."""
    lowest = min([0.5, *(bar.least for bar in shown)])
    highest = max([2.0, *(bar.most for bar in shown)]) * 1.4
    scale = (_WIDTH - _LABELS - 20) / math.log10(highest / lowest)

    def x(value: float) -> float:
        return round(_LABELS + math.log10(max(value, lowest) / lowest) * scale, 1)

    parts, y = [], _TOP
    for group, members in groupby(shown, key=lambda bar: bar.group):
        parts.append(f'<text x="10" y="{y + 4}" font-weight="bold">{escape(group)}</text>')
        y += 14
        for bar in members:
            middle, fill = y + _BAR / 2, "#1f77b4" if bar.ours else "#b0b0b0"
            parts += [
                f'<text x="{_LABELS - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.label)}</text>',
                f'<rect x="{_LABELS}" y="{y}" width="{x(bar.value) - _LABELS:.1f}" height="{_BAR - 4}" fill="{fill}"/>',
                f'<line x1="{x(bar.least)}" x2="{x(bar.most)}" y1="{middle - 2}" y2="{middle - 2}" stroke="#333"/>',
                f'<text x="{x(bar.most) + 5}" y="{middle + 2}">{bar.value:.2f}</text>',
            ]
            y += _BAR
        y += _GAP
    line = f'<line x1="{x(1)}" x2="{x(1)}" y1="{_TOP - 22}" y2="{y - _GAP}" stroke="#c00" stroke-dasharray="4 3"/>'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{_WIDTH}" height="{y}" fill="#fff"/>',
            f'<text x="10" y="22" font-size="15">{escape(title)}</text>',
            f'<text x="{x(1)}" y="{_TOP - 26}" text-anchor="middle" fill="#c00">{escape(floor)}</text>',
            *parts,
            line,
            "</svg>\n",
        ]
    )
