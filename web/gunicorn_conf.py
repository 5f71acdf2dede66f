"""How gunicorn serves the API: ``gunicorn -c python:web.gunicorn_conf web.wsgi:app``."""

from settings import get_settings

_settings = get_settings()

bind = f"{_settings.web_host}:{_settings.web_port}"
worker_class = "web.worker.Worker"  # gevent, with our words for what is no HTTP
workers = 1
worker_connections = 1000
preload_app = False  # a preloaded app is imported before the worker patches
timeout = 30
graceful_timeout = 10
keepalive = 30
limit_request_line = 4094
limit_request_fields = 64
accesslog = None  # web.requestlog writes one JSON line a request, without query and key
errorlog = "-"
