"""The operator API: one blueprint, a file a subject. Importing the package puts every route on it."""

from web.operator import carriers, endpoints, gateways, limits, routes, switches, tenant_keys, tenants, trials, why
from web.operator.blueprint import blueprint

__all__ = [
    "blueprint",
    "carriers",
    "endpoints",
    "gateways",
    "limits",
    "routes",
    "switches",
    "tenant_keys",
    "tenants",
    "trials",
    "why",
]
