-- Tokens, the feed of their changes, the replicas that have to hear of them, and the audit trail.
--
-- The token table announces its changes itself, by statement triggers: nobody can forget it, also not
-- SQL by hand. The lock on tg_epoch is held until COMMIT, so the order of sequence numbers is the
-- order of commits, and the feed has no holes.

CREATE TABLE tg_token (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),   -- SHA-256 of the token's text
  preview text NOT NULL,
  user_id text NOT NULL,
  org_id text,                                                      -- null: bound to none
  name text NOT NULL,
  scopes text[] NOT NULL,
  repositories text[],                                              -- null: all, also future ones
  require_signature boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz
);
CREATE INDEX tg_token_user ON tg_token (user_id, created_at DESC, id);
CREATE INDEX tg_token_org ON tg_token (org_id) WHERE org_id IS NOT NULL;

-- Apart, so that a use is no change of a token.
CREATE TABLE tg_last_use (
  token_id uuid PRIMARY KEY,
  used_at timestamptz NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE tg_epoch (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  seq bigint NOT NULL DEFAULT 0,
  pruned_seq bigint NOT NULL DEFAULT 0,                             -- events up to here may be gone
  nonce_since timestamptz,                                          -- null: nonces were never kept
  lease_ms int NOT NULL CHECK (lease_ms BETWEEN 200 AND 60000),
  wait_ms int NOT NULL,                                             -- what revokers wait
  CHECK (wait_ms >= lease_ms)
);

CREATE TABLE tg_invalidation (
  seq bigint PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('revoke', 'change', 'all')),
  ids uuid[] NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE tg_replica (
  id uuid PRIMARY KEY,
  ack_key bytea NOT NULL,
  state text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'leaving')),
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- Which server on which timeline: a restart changes the first, a promotion or restore the second.
CREATE FUNCTION tg_history() RETURNS text LANGUAGE sql STABLE AS $$
  SELECT extract(epoch FROM pg_postmaster_start_time())::text || '/' || CASE WHEN pg_is_in_recovery()
    THEN 'standby' ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END
$$;

CREATE TABLE tg_audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  event text NOT NULL,
  actor_kind text NOT NULL,
  actor_id text,
  org_id text,
  token_id uuid,
  ip inet,
  request_id text,
  replica uuid,
  detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX tg_audit_token ON tg_audit (token_id, at);
CREATE INDEX tg_audit_at ON tg_audit (at);

CREATE FUNCTION tg_refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('tollgate.is_pruning', true) = 'on' THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER tg_audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tg_audit
  FOR EACH STATEMENT EXECUTE FUNCTION tg_refuse_audit_change();

-- The one way out of the trail, for rows older than 30 days at least. Gives how many went: a batch at a
-- time, so that nobody waits for it; none while another one is at it. It runs as the owner of the
-- trail, because the gate's role may add to it and no more.
CREATE FUNCTION tg_audit_prune(keep_days int, most int DEFAULT 10000) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  pruned int;
BEGIN
  IF NOT pg_try_advisory_xact_lock(8390044758044271718) THEN
    RETURN 0;
  END IF;
  PERFORM set_config('tollgate.is_pruning', 'on', true);
  DELETE FROM tg_audit WHERE id IN (SELECT a.id FROM tg_audit a
    WHERE a.at < clock_timestamp() - make_interval(days => greatest(keep_days, 30))
    ORDER BY a.at LIMIT most);
  GET DIAGNOSTICS pruned = ROW_COUNT;
  PERFORM set_config('tollgate.is_pruning', '', true);
  RETURN pruned;
END $$;
DO $$
BEGIN
  -- Nobody's temporary table can pass for the trail.
  EXECUTE format('ALTER FUNCTION tg_audit_prune SET search_path = %I, pg_temp', current_schema());
END $$;

-- Who makes the changes of this transaction. Without it, it is SQL by hand.
CREATE FUNCTION tg_set_actor(kind text, id text, ip text, request_id text) RETURNS void
LANGUAGE sql AS $$
  SELECT set_config('tollgate.actor_kind', kind, true),
    set_config('tollgate.actor_id', coalesce(id, ''), true),
    -- A link-local address names its interface, which is none of an address.
    set_config('tollgate.actor_ip', split_part(coalesce(ip, ''), '%', 1), true),
    set_config('tollgate.request_id', coalesce(request_id, ''), true),
    -- A revocation that was answered must not be lost with the server that answered it.
    set_config('synchronous_commit', 'on', true)
$$;

-- What the trail keeps of a token: never its digest.
CREATE FUNCTION tg_describe(t tg_token) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('name', t.name, 'scopes', t.scopes, 'repositories', t.repositories,
    'expiresAt', t.expires_at, 'requireSignature', t.require_signature, 'userId', t.user_id,
    'orgId', t.org_id)
$$;

CREATE FUNCTION tg_audit_token(event text, token_id uuid, org_id text, detail jsonb) RETURNS void
LANGUAGE sql AS $$
  INSERT INTO tg_audit (event, actor_kind, actor_id, org_id, token_id, ip, request_id, detail)
  SELECT event, coalesce(kind, 'sql'), coalesce(nullif(current_setting('tollgate.actor_id', true), ''),
      CASE WHEN kind IS NULL THEN session_user::text END), org_id, token_id,
    nullif(current_setting('tollgate.actor_ip', true), '')::inet,
    nullif(current_setting('tollgate.request_id', true), ''), detail
  FROM (SELECT nullif(current_setting('tollgate.actor_kind', true), '') AS kind) a
$$;

-- One event; above 1000 ids nobody is named.
CREATE FUNCTION tg_announce(given_kind text, given_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  next_seq bigint;
  is_all boolean := given_kind = 'all' OR cardinality(given_ids) > 1000;
BEGIN
  IF cardinality(given_ids) = 0 AND NOT is_all THEN
    RETURN;
  END IF;
  UPDATE tg_epoch SET seq = seq + 1 RETURNING seq INTO STRICT next_seq;
  INSERT INTO tg_invalidation (seq, kind, ids) VALUES (next_seq,
    CASE WHEN is_all THEN 'all' ELSE given_kind END,
    CASE WHEN is_all THEN '{}' ELSE given_ids END);
END $$;

CREATE FUNCTION tg_after_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tg_audit_token(
    CASE WHEN current_setting('tollgate.rotated_from', true) <> '' THEN 'token.rotated' ELSE 'token.created' END,
    t.id, t.org_id, tg_describe(t) || CASE WHEN current_setting('tollgate.rotated_from', true) <> ''
      THEN jsonb_build_object('rotatedFrom', current_setting('tollgate.rotated_from', true)) ELSE '{}' END)
  FROM added t;
  RETURN NULL;
END $$;

CREATE FUNCTION tg_after_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  revoked uuid[];
  changed uuid[];
BEGIN
  WITH differing AS (
    SELECT o.id AS old_id, n.id AS new_id, o.revoked_at IS NULL AND n.revoked_at IS NOT NULL AS is_revoked
    FROM before o FULL JOIN after n ON n.id = o.id WHERE o IS DISTINCT FROM n
  )
  SELECT coalesce(array_agg(new_id) FILTER (WHERE is_revoked), '{}'),
    coalesce(array_agg(coalesce(new_id, old_id)) FILTER (WHERE is_revoked IS NOT TRUE), '{}')
  INTO revoked, changed FROM differing;
  PERFORM tg_announce('revoke', revoked);
  PERFORM tg_announce('change', changed);
  PERFORM tg_audit_token(CASE WHEN n.id = ANY (revoked) THEN 'token.revoked' ELSE 'token.changed' END,
    coalesce(n.id, o.id), coalesce(n.org_id, o.org_id),
    jsonb_build_object('before', tg_describe(o), 'after', tg_describe(n)))
  FROM before o FULL JOIN after n ON n.id = o.id WHERE o IS DISTINCT FROM n;
  RETURN NULL;
END $$;

CREATE FUNCTION tg_after_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tg_announce('revoke', (SELECT coalesce(array_agg(id), '{}') FROM gone));
  PERFORM tg_audit_token('token.deleted', t.id, t.org_id, tg_describe(t)) FROM gone t;
  DELETE FROM tg_last_use WHERE token_id IN (SELECT id FROM gone);
  RETURN NULL;
END $$;

CREATE FUNCTION tg_after_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tg_announce('all', '{}');
  PERFORM tg_audit_token('token.deleted', NULL, NULL, '{"all": true}');
  DELETE FROM tg_last_use;
  RETURN NULL;
END $$;

CREATE TRIGGER tg_token_inserted AFTER INSERT ON tg_token REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION tg_after_insert();
CREATE TRIGGER tg_token_updated AFTER UPDATE ON tg_token REFERENCING OLD TABLE AS before NEW TABLE AS after
  FOR EACH STATEMENT EXECUTE FUNCTION tg_after_update();
CREATE TRIGGER tg_token_deleted AFTER DELETE ON tg_token REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION tg_after_delete();
CREATE TRIGGER tg_token_truncated AFTER TRUNCATE ON tg_token
  FOR EACH STATEMENT EXECUTE FUNCTION tg_after_truncate();

-- What the gate calls: each is one statement for the client, so one transaction, whoever pools.
-- Nobody waits for a lock longer than two seconds: the caller gets an error, and may ask again.

CREATE FUNCTION tg_create(actor text[], given_digest bytea, given_preview text, given_user text,
  given_org text, given_name text, given_scopes text[], given_repositories text[],
  given_signature boolean, in_days int, at_ms float8) RETURNS SETOF tg_token
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
BEGIN
  PERFORM tg_set_actor(actor[1], actor[2], actor[3], actor[4]);
  RETURN QUERY INSERT INTO tg_token (digest, preview, user_id, org_id, name, scopes, repositories,
      require_signature, expires_at)
    VALUES (given_digest, given_preview, given_user, given_org, given_name, given_scopes,
      given_repositories, given_signature, coalesce(clock_timestamp() + make_interval(days => in_days),
        to_timestamp(at_ms / 1000)))
    RETURNING *;
END $$;

-- Repeatable: of a token that is revoked already, the present number, which is not lower than that
-- of its revocation. No row: there is no such token of this user (null: of anybody).
CREATE FUNCTION tg_revoke(actor text[], given_id uuid, given_user text)
RETURNS TABLE (revoked_ms float8, seq bigint, wait_ms int, history text)
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
BEGIN
  PERFORM tg_set_actor(actor[1], actor[2], actor[3], actor[4]);
  UPDATE tg_token t SET revoked_at = clock_timestamp()
    WHERE t.id = given_id AND t.revoked_at IS NULL AND (given_user IS NULL OR t.user_id = given_user);
  RETURN QUERY SELECT (extract(epoch FROM t.revoked_at) * 1000)::float8, e.seq, e.wait_ms, tg_history()
    FROM tg_token t, tg_epoch e
    WHERE t.id = given_id AND (given_user IS NULL OR t.user_id = given_user);
END $$;

-- One statement, one event, one barrier. Nothing is revoked without a filter.
CREATE FUNCTION tg_revoke_many(actor text[], given_user text, given_org text, before_ms float8)
RETURNS TABLE (ids uuid[], seq bigint, wait_ms int, history text)
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
  revoked uuid[];
BEGIN
  IF given_user IS NULL AND given_org IS NULL AND before_ms IS NULL THEN
    RAISE EXCEPTION 'no filter: this would revoke every token' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM tg_set_actor(actor[1], actor[2], actor[3], actor[4]);
  -- Locked in one order, so that two at once wait for each other and never both.
  WITH meant AS (
    SELECT t.id FROM tg_token t WHERE t.revoked_at IS NULL
      AND (given_user IS NULL OR t.user_id = given_user) AND (given_org IS NULL OR t.org_id = given_org)
      AND (before_ms IS NULL OR t.created_at < to_timestamp(before_ms / 1000))
    ORDER BY t.id FOR UPDATE
  ), done AS (
    UPDATE tg_token t SET revoked_at = clock_timestamp() FROM meant
    WHERE t.id = meant.id AND t.revoked_at IS NULL RETURNING t.id
  ) SELECT coalesce(array_agg(id), '{}') INTO revoked FROM done;
  RETURN QUERY SELECT revoked, e.seq, e.wait_ms, tg_history() FROM tg_epoch e;
END $$;

-- The new row has the old one's rights; the old one ends after the grace, or earlier by itself.
-- No row: not there. A row without `token`: nothing to rotate.
CREATE FUNCTION tg_rotate(actor text[], given_id uuid, given_user text, given_digest bytea,
  given_preview text, grace_seconds int)
RETURNS TABLE (token tg_token, seq bigint, wait_ms int, history text)
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
  old tg_token;
  made tg_token;
BEGIN
  PERFORM tg_set_actor(actor[1], actor[2], actor[3], actor[4]);
  SELECT * INTO old FROM tg_token t WHERE t.id = given_id AND t.user_id = given_user FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF old.revoked_at IS NULL AND (old.expires_at IS NULL OR old.expires_at > clock_timestamp()) THEN
    PERFORM set_config('tollgate.rotated_from', old.id::text, true);
    INSERT INTO tg_token (digest, preview, user_id, org_id, name, scopes, repositories,
        require_signature, expires_at)
      VALUES (given_digest, given_preview, old.user_id, old.org_id, old.name, old.scopes,
        old.repositories, old.require_signature, old.expires_at)
      RETURNING * INTO made;
    PERFORM set_config('tollgate.rotated_from', '', true);
    UPDATE tg_token t SET expires_at = least(t.expires_at, clock_timestamp() + make_interval(secs => grace_seconds))
      WHERE t.id = old.id;
  END IF;
  RETURN QUERY SELECT made, e.seq, e.wait_ms, tg_history() FROM tg_epoch e;
END $$;
