"""The operator API: one blueprint, a file a subject. Importing the package puts every route on it."""

from web.operator import (
    agent_pools,
    caller_ids,
    caps,
    carriers,
    destinations,
    endpoints,
    gateways,
    limits,
    prices,
    routes,
    rules,
    suppressions,
    switches,
    tenant_keys,
    tenants,
    trials,
    why,
)
from web.operator.blueprint import blueprint

__all__ = [
    "agent_pools",
    "blueprint",
    "caller_ids",
    "caps",
    "carriers",
    "destinations",
    "endpoints",
    "gateways",
    "limits",
    "prices",
    "routes",
    "rules",
    "suppressions",
    "switches",
    "tenant_keys",
    "tenants",
    "trials",
    "why",
]
