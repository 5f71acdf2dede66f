-- part: trunk
k.id, k.name, k.auth, k.username, k.realm, k.secret_env, k.from_user, k.from_domain, k.caller_in_from, k.caller_header,
k.privacy, k.number_format, k.caller_format, k.country_code, k.national_prefix, k.international_prefix, k.tech_prefix,
k.codecs, k.transport, k.ping_s, k.ring_s, k.media_timeout_s, k.invite_cost, k.reject_texts

-- name: list_trunks
SELECT {trunk} FROM carriers k ORDER BY k.name;

-- name: update_trunk
-- Only what is named: what is not in the changes keeps the row's own value.
UPDATE carriers k SET (auth, username, realm, secret_env, from_user, from_domain, caller_in_from, caller_header, privacy,
                       number_format, caller_format, country_code, national_prefix, international_prefix, tech_prefix, codecs,
                       transport, ping_s, ring_s, media_timeout_s, invite_cost, reject_texts) = (
    SELECT n.auth, n.username, n.realm, n.secret_env, n.from_user, n.from_domain, n.caller_in_from, n.caller_header, n.privacy,
           n.number_format, n.caller_format, n.country_code, n.national_prefix, n.international_prefix, n.tech_prefix, n.codecs,
           n.transport, n.ping_s, n.ring_s, n.media_timeout_s, n.invite_cost, n.reject_texts
    FROM jsonb_populate_record(k, %(changes)s) n)
WHERE k.name = %(name)s
RETURNING {trunk};

-- name: put_endpoint
-- One that is rendered: its gateway is the next that nobody has loaded, so nothing is dialed through it before it is applied.
INSERT INTO endpoints AS e (id, carrier_id, name, gateway, address, enabled)
VALUES (%(id)s, %(carrier_id)s, %(name)s,
        %(prefix)s::text || (SELECT coalesce(max(v.version), 0) + 1 FROM gateway_versions v
                             WHERE v.gateway = %(prefix)s::text || v.version),
        %(address)s, %(enabled)s)
ON CONFLICT ON CONSTRAINT endpoints_name_key DO UPDATE SET address = excluded.address, enabled = excluded.enabled
RETURNING e.id, e.carrier_id, e.name, e.gateway, e.address, e.enabled;

-- name: list_endpoints
SELECT e.id, e.carrier_id, e.name, e.gateway, e.address, e.enabled FROM endpoints e WHERE e.name IS NOT NULL
ORDER BY e.carrier_id, e.name;

-- name: remove_endpoint
WITH gone AS (
    DELETE FROM endpoints e USING carriers k
    WHERE k.id = e.carrier_id AND k.name = %(carrier)s AND e.name = %(name)s RETURNING e.id
), retired AS (
    UPDATE gateway_versions v SET retired_at = coalesce(v.retired_at, statement_timestamp()) FROM gone WHERE v.endpoint_id = gone.id
)
SELECT id FROM gone;
