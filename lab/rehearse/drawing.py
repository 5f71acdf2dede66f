"""A rehearsal as one SVG: each carrier over time, how long each tenant's calls waited, what was broken. Light and dark."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from math import log10

from lab.rehearse.clock import BEGIN_US
from lab.rehearse.ledger import Curve
from lab.rehearse.report import CarrierFigures, Report, TenantFigures

WIDTH, LEFT, RIGHT = 1080, 150, 130
PLOT = WIDTH - LEFT - RIGHT
ROW, GAP = 46, 14
#: px of a tenant's bars, and the waits (s) between which they are drawn on a logarithmic scale.
BARS, SHORTEST, LONGEST = 220, 0.1, 10_000.0

STYLE = """
:root { --ground: #ffffff; --ink: #1c2430; --soft: #5b6675; --line: #d5dae1; --band: #eef1f5;
  --cps: #1f5fbf; --channels: #b4560b; --bad: #c0182b; --p50: #1f5fbf; --p90: #8fb3e6; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181f; --ink: #e8ecf2; --soft: #9aa6b5; --line: #37404d;
  --band: #1e252f; --cps: #7fb0ff; --channels: #f0a050; --bad: #ff6b78; --p50: #7fb0ff; --p90: #3a5f96; } }
svg { background: var(--ground); }
text { font: 12px system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; fill: var(--ink); }
.title { font-size: 17px; font-weight: 600; } .soft { fill: var(--soft); } .bad { fill: var(--bad); font-weight: 600; }
.limit, .axis { stroke: var(--line); stroke-width: 1; } .band { fill: var(--band); }
.cps { fill: none; stroke: var(--cps); stroke-width: 1.5; }
.channels { fill: none; stroke: var(--channels); stroke-width: 1.5; }
.fault { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 3; } .broken { stroke: var(--bad); stroke-width: 3; }
.p50 { fill: var(--p50); } .p90 { fill: var(--p90); } .most { stroke: var(--soft); stroke-width: 1; }
.ideal { stroke: var(--ink); stroke-width: 2; }
"""


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _box(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{kind}"/>'


def _path(values: list[float], step: float, top: float, kind: str) -> str:
    points = " ".join(
        f"{LEFT + (i + 0.5) * step:.1f},{top + ROW - min(value, 1.15) / 1.15 * ROW:.1f}" for i, value in enumerate(values)
    )
    return f'<polyline points="{points}" class="{kind}"/>'


def _binned(values: list[float], bins: int) -> list[float]:
    """The means of ``bins`` equal parts."""
    edges = [i * len(values) // bins for i in range(bins + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges) if b > a]


def _ticks(seconds: float) -> list[int]:
    step = next((s for s in (10, 30, 60, 120, 300, 600, 1800, 3600) if seconds / s <= 10), 7200)
    return list(range(0, int(seconds) + 1, step))


def drawing(told: Report) -> str:
    """The whole picture. It names everything it draws and holds no script."""
    parts = [_text(20, 30, f"A rehearsal of {told.calls:,} calls", "title"), _text(20, 50, _headline(told), "soft")]
    verdict = (
        f"{len(told.violations)} limits broken, {told.lost} calls lost, {told.twice} dialed twice,"
        f" {told.missed_wakes} wake-ups missed"
    )
    parts.append(_text(20, 70, verdict, "" if told.ok else "bad"))
    top = 112.0
    parts += _carriers(told, top)
    top += len(told.by_carrier) * (ROW + GAP) + 66
    parts += _tenants(told.by_tenant, top)
    height = top + BARS + 70
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
        ' role="img">'
        f"<title>{escape(_headline(told))}</title><style>{STYLE}</style>"
        f'<rect width="{WIDTH}" height="{height:.0f}" style="fill:var(--ground)"/>' + "\n".join(parts) + "</svg>\n"
    )


def _headline(told: Report) -> str:
    return (
        f"{told.tenants} tenants, {told.carriers} carriers, {told.switches} switches, seed {told.seed};"
        f" {told.virtual_s:,.0f} virtual seconds. {told.utilisation:.1%} of what was possible used,"
        f" Jain {told.jain_weighted:.4f}"
    )


def _carriers(told: Report, top: float) -> list[str]:
    seconds = max((len(curve.cps) for curve in told.curves.values()), default=1) or 1
    scale = PLOT / seconds
    parts = [
        _text(LEFT, top - 14, "Share of each carrier's limits in use, over time", "soft"),
        _line(LEFT + 330, top - 18, LEFT + 352, top - 18, "cps"), _text(LEFT + 357, top - 14, "CPS"),
        _line(LEFT + 400, top - 18, LEFT + 422, top - 18, "channels"), _text(LEFT + 427, top - 14, "channels"),
        _box(LEFT + 490, top - 25, 22, 13, "band"), _text(LEFT + 517, top - 14, "calls waited for it"),
        _text(WIDTH - 20, top - 14, "used while waited for", "soft", "end"),
    ]  # fmt: skip
    bottom = top + len(told.by_carrier) * (ROW + GAP) - GAP
    for number, carrier in enumerate(told.by_carrier):
        parts += _carrier(told, carrier, told.curves[carrier.name], top + number * (ROW + GAP), scale)
    for at_us, _, what in told.faults:
        x = LEFT + at_us / 1e6 * scale
        parts.append(f"<g><title>{escape(f'{at_us / 1e6:.1f} s: {what}')}</title>{_line(x, top, x, bottom, 'fault')}</g>")
    parts += _fault_names(told, bottom + 14, scale)
    for tick in _ticks(seconds):
        parts.append(_text(LEFT + tick * scale, bottom + 32, f"{tick:,} s", "soft", "middle"))
    return parts


def _fault_names(told: Report, y: float, scale: float) -> list[str]:
    """Names under their lines, as far as there is room; the others have theirs as titles."""
    parts, free = [], 0.0
    for at_us, _, what in sorted(told.faults):
        x = LEFT + at_us / 1e6 * scale
        if x - 3.2 * len(what) > free:
            parts.append(_text(x, y, what, "soft", "middle"))
            free = x + 3.2 * len(what) + 4
    return parts


def _carrier(told: Report, carrier: CarrierFigures, curve: Curve, top: float, scale: float) -> list[str]:
    bins = max(1, min(len(curve.cps), PLOT // 2))
    step = len(curve.cps) * scale / bins
    limit = top + ROW - ROW / 1.15
    parts = [
        _text(LEFT - 10, top + 20, carrier.name, "", "end"),
        _text(LEFT - 10, top + 36, f"{carrier.cps:g} CPS, {carrier.channels:,} ch.", "soft", "end"),
    ]
    begin = None
    for second, wanted in enumerate([*curve.wanted, 0]):
        if wanted and begin is None:
            begin = second
        elif not wanted and begin is not None:
            parts.append(_box(LEFT + begin * scale, top, (second - begin) * scale, ROW, "band"))
            begin = None
    parts += [_line(LEFT, limit, LEFT + PLOT, limit, "limit"), _line(LEFT, top + ROW, LEFT + PLOT, top + ROW, "axis")]
    parts.append(_path(_binned(list(curve.channels), bins), step, top, "channels"))
    parts.append(_path(_binned(list(curve.cps), bins), step, top, "cps"))
    broken = [one for one in told.violations if one.scope == f"carrier:{carrier.name}"]
    for one in broken:
        x = LEFT + (one.at_us - BEGIN_US) / 1e6 * scale
        parts.append(_line(x, top, x, top + ROW, "broken"))
    used = f"{carrier.used:.1%}" if carrier.wanted_s else "-"
    parts.append(_text(WIDTH - 20, top + 20, used, "", "end"))
    verdict, kind = (f"{len(broken)} broken", "bad") if broken else ("none broken", "soft")
    parts.append(_text(WIDTH - 20, top + 36, verdict, kind, "end"))
    return parts


def _height(wait_s: float) -> float:
    share = log10(max(wait_s, SHORTEST) / SHORTEST) / log10(LONGEST / SHORTEST)
    return min(1.0, share) * BARS


def _tenants(tenants: list[TenantFigures], top: float) -> list[str]:
    base, width = top + BARS, PLOT / max(1, len(tenants))
    parts = [
        _text(LEFT, top - 14, "How long each tenant's calls waited, due to INVITE (logarithmic)", "soft"),
        _box(LEFT + 420, top - 24, 12, 12, "p50"), _text(LEFT + 437, top - 14, "half"),
        _box(LEFT + 475, top - 24, 12, 12, "p90"), _text(LEFT + 492, top - 14, "nine of ten"),
        _line(LEFT + 571, top - 25, LEFT + 571, top - 11, "most"), _text(LEFT + 577, top - 14, "longest"),
        _line(LEFT + 630, top - 18, LEFT + 644, top - 18, "ideal"),
        _text(LEFT + 649, top - 14, "nine of ten, ideally shared"),
    ]  # fmt: skip
    for wait in (1, 10, 100, 1000, 10_000):
        y = base - _height(wait)
        parts += [_line(LEFT, y, LEFT + PLOT, y, "axis"), _text(LEFT - 10, y + 4, f"{wait:,} s", "soft", "end")]
    parts += [
        _line(LEFT, base, LEFT + PLOT, base, "axis"),
        _text(LEFT - 10, base + 4, f"{SHORTEST:g} s or less", "soft", "end"),
    ]
    kind, since = "", 0.0
    for number, tenant in enumerate(tenants):
        x = LEFT + number * width
        parts.append(_tenant(tenant, x, width, base))
        own = tenant.name.rstrip("0123456789")
        if own != kind:
            parts += _kind(kind, since, x, base)
            kind, since = own, x
    return parts + _kind(kind, since, LEFT + PLOT, base)


def _kind(name: str, begin: float, end: float, base: float) -> list[str]:
    if not name:
        return []
    words = _text((begin + end) / 2, base + 20, name.replace("_", "/"), "soft", "middle")
    return [_line(begin, base, begin, base + 8, "axis"), words]


def _tenant(tenant: TenantFigures, x: float, width: float, base: float) -> str:
    bar = max(0.8, width * 0.7)
    p50, p90, most = _height(tenant.p50_s), _height(tenant.p90_s), _height(tenant.max_s)
    words = f"{tenant.name}, weight {tenant.weight}, {tenant.attempts:,} calls:"
    words += f" {tenant.p50_s:.1f} / {tenant.p90_s:.1f} / {tenant.max_s:.1f} s"
    if tenant.ideal_p90_s is not None:
        words += f", ideally {tenant.ideal_p50_s:.0f} / {tenant.ideal_p90_s:.0f} / {tenant.ideal_max_s:.0f} s"
    parts = [
        f"<title>{escape(words)}</title>",
        _line(x + bar / 2, base - most, x + bar / 2, base, "most"),
        _box(x, base - p90, bar, p90, "p90"),
        _box(x, base - p50, bar, p50, "p50"),
    ]
    if tenant.ideal_p90_s is not None:
        y = base - _height(tenant.ideal_p90_s)
        parts.append(_line(x, y, x + bar, y, "ideal"))
    return "<g>" + "".join(parts) + "</g>"
