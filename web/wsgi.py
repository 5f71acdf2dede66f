"""``web.wsgi:app`` for gunicorn with gevent workers. Never preloaded: the patch must come before everything else."""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import atexit
import gc

from budget.connect import connect
from logs import log_to_stderr
from settings import get_settings
from store.pool import open_database
from store.tenancy import open_tenant_database, require_bound
from web.app import create_app

log_to_stderr()
_settings = get_settings()
require_bound(_settings)
_database = open_database(_settings, "web", cooperative=True)
atexit.register(_database.close)
_tenants = open_tenant_database(_settings, cooperative=True)
atexit.register(_tenants.close)
app = create_app(_settings, database=_database, redis=connect(_settings), tenants=_tenants)
#: Objects made since the collector of cycles last looked at the young ones: a request makes some thousands and leaves none.
_YOUNG = 10_000
gc.set_threshold(_YOUNG, 10, 10)
gc.collect()
gc.freeze()  # what is loaded stays: out of the collector's sight, it is not walked again and again
