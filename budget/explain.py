"""What carriers and lanes wait for, the limit by name. Read-only; by pipelines, so that no permit waits for it, but for the
forecast's one script a carrier (lua/explain_order.lua), which looks at so few tenants that it holds Redis less than a
millisecond.
"""

from __future__ import annotations

from budget.explain_carriers import CarrierNow, Held, Name, Waiting, carriers
from budget.explain_demand import forecast
from budget.explain_eta import Eta, Hold
from budget.explain_hold import Span, hold_of
from budget.explain_house import HouseNow, house
from budget.explain_lanes import LaneAt, LaneNow, lane
from budget.explain_place import Standing, standing
from budget.explain_scopes import ScopeNow, read_scopes

__all__ = [
    "CarrierNow",
    "Eta",
    "Held",
    "Hold",
    "HouseNow",
    "LaneAt",
    "LaneNow",
    "Name",
    "ScopeNow",
    "Span",
    "Standing",
    "Waiting",
    "carriers",
    "forecast",
    "hold_of",
    "house",
    "lane",
    "read_scopes",
    "standing",
]
