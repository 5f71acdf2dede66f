"""/v1/docs/errors: every code with its meaning and remedy, where the ``type`` of a problem leads. Plain HTML, no script."""

from __future__ import annotations

from functools import cache

from flask import Response, render_template_string

from web.codes import Code, codes

#: Nothing but this page's own styles.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Trunkline API: errors</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid #ccc; padding: .4rem .8rem .4rem 0; }
tr:target { background: #fff3c4; }
</style>
</head>
<body>
<h1>Errors</h1>
<p>Whatever goes wrong is answered as <code>application/problem+json</code> (RFC 9457). <code>code</code> is stable: decide
by it, not by <code>detail</code>, which is written for people and may change. <code>type</code> is the code's address on
this page. <code>request_id</code>, which is also in the header <code>X-Request-Id</code>, leads to the line in the log; send
your own id in that header (up to 64 letters, digits, <code>.</code>, <code>_</code> and <code>-</code>) and it is kept. With
<code>retry_after_s</code>, as in <code>Retry-After</code>, the request may be sent again after so many seconds.</p>
<h2>code</h2>
<table>
<tr><th>code</th><th>status</th><th>what it means</th><th>what to do</th></tr>
{% for one in problems %}<tr id="{{ one.code }}"><td><code>{{ one.code }}</code></td><td>{{ one.statuses|join(", ") }}</td>
<td>{{ one.meaning }}</td><td>{{ one.remedy }}</td></tr>
{% endfor %}</table>
<h2>errors[].code</h2>
<p>Where fields are at fault, <code>errors</code> has one entry for each, with exactly one of <code>pointer</code> (RFC 6901,
into the body), <code>parameter</code> (of the query) and <code>header</code>.</p>
<table>
<tr><th>code</th><th>what it means</th><th>what to do</th></tr>
{% for one in fields %}<tr id="field-{{ one.code }}"><td><code>{{ one.code }}</code></td>
<td>{{ one.meaning }}</td><td>{{ one.remedy }}</td></tr>
{% endfor %}</table>
<h2>Answers that are not ours</h2>
<p>A request whose first lines are not HTTP is refused with the same body, without <code>instance</code>, and the connection
is closed. Only a connection that ends in the middle of a request gets no answer. A proxy in front may answer by itself, with
its own body: a client has to expect a 413, 502, 503 or 504 that is no JSON.</p>
</body>
</html>
"""


def errors() -> Response:
    """The page."""
    return Response(_html(), mimetype="text/html", headers={"Content-Security-Policy": _POLICY})


@cache
def _html() -> str:
    listed = codes()

    def first_status(code: Code) -> int:
        return min(code.statuses)

    return render_template_string(
        _PAGE,
        problems=sorted(listed.problems.values(), key=first_status),
        fields=sorted(listed.fields.values(), key=lambda code: code.code),
    )
