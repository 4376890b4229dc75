"""What tells the outbox of an entry, as SQL: in the transaction that appends it, whoever does that and by whatever way."""

from collections.abc import Mapping
from typing import NamedTuple

SINCE = "0012"
ENTRIES, STEPS = "dealgate_ledger_entry", "dealgate_policy_step"
COLUMNS = "subscriber, entry, event, subject, turn, first_due_at, due_at, attempts, state"
SQLITE_NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'"
KIND = "CASE event WHEN 'decision.made' THEN 'decision' WHEN 'override.granted' THEN 'override_grant' END"
"""Of the entries that an event is about."""


class Telling(NamedTuple):
    """A trigger after rows are inserted. `condition` and `action` are SQLite's, `function` PostgreSQL's."""

    table: str
    name: str
    condition: str
    action: str
    function: str


TELLINGS = (
    Telling(
        ENTRIES,
        "is_told",
        "NEW.kind IN ('decision', 'override_grant')",
        f"INSERT INTO dealgate_outbox ({COLUMNS}) "
        "SELECT subscriber, NEW.id, event, 'deal/' || NEW.deal_id, NEW.deal_seq, "
        f"{SQLITE_NOW}, {SQLITE_NOW}, 0, 'waiting' FROM dealgate_subscription "
        f"WHERE {KIND} = NEW.kind AND ended_at IS NULL",
        "dealgate_tell_of_entries",
    ),
    Telling(
        STEPS,
        "is_told",
        "NEW.step = 'approve'",
        f"INSERT INTO dealgate_outbox ({COLUMNS}) "
        "SELECT s.subscriber, NEW.entry, s.event, 'policy/' || v.name, "
        "CAST(strftime('%s', NEW.starts_at) AS INTEGER) * 1000000 + CAST(substr(NEW.starts_at, 21, 6) AS INTEGER), "
        "NEW.starts_at, NEW.starts_at, 0, 'waiting' FROM dealgate_subscription s JOIN dealgate_policy_version v ON v.sha256 = NEW.sha256 "
        "WHERE s.event = 'policy.in_force' AND s.ended_at IS NULL",
        "dealgate_tell_of_policies",
    ),
)

FUNCTIONS: Mapping[str, str] = {
    # Once for each statement: entries that are appended together are told together. Two plain queries are planned faster than one
    # that joins, and where nobody subscribes the first is all.
    "dealgate_tell_of_entries": f"""
DECLARE
  kinds text[] := ARRAY(SELECT DISTINCT kind FROM entered);
  subscription record;
BEGIN
  FOR subscription IN EXECUTE format($sql$
    SELECT subscriber, event, {KIND} AS kind FROM %I.dealgate_subscription
    WHERE ended_at IS NULL AND {KIND} = ANY ($1)$sql$, TG_TABLE_SCHEMA) USING kinds
  LOOP
    EXECUTE format($sql$
      INSERT INTO %I.dealgate_outbox ({COLUMNS})
      SELECT $1, id, $2, 'deal/' || deal_id, deal_seq, $3, $3, 0, 'waiting' FROM entered WHERE kind = $4$sql$, TG_TABLE_SCHEMA)
      USING subscription.subscriber, subscription.event, clock_timestamp(), subscription.kind;
  END LOOP;
  RETURN NULL;
END""",
    "dealgate_tell_of_policies": f"""
BEGIN
  EXECUTE format($sql$
    INSERT INTO %1$I.dealgate_outbox ({COLUMNS})
    SELECT s.subscriber, e.entry, s.event, 'policy/' || v.name, (extract(epoch FROM e.starts_at) * 1000000)::bigint,
      e.starts_at, e.starts_at, 0, 'waiting'
    FROM entered e JOIN %1$I.dealgate_policy_version v ON v.sha256 = e.sha256
    JOIN %1$I.dealgate_subscription s ON s.event = 'policy.in_force'
    WHERE e.step = 'approve' AND s.ended_at IS NULL$sql$, TG_TABLE_SCHEMA);
  RETURN NULL;
END""",
}
"""They run as their owner: who appends an entry need not be able to write an event that nothing stands behind."""
