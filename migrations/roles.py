"""PostgreSQL roles that keep apart who owns the tables, who submits, who seals and who reads.

Made where the migrations run as a superuser. None of them can log in: the host grants them to its own users,
`GRANT dealgate_app TO los`. The owner is granted to nobody.
"""

from sqlalchemy import Connection, text

from dealgate.migrations.guards import PARTITIONED, PLAIN, POSTGRESQL_FUNCTIONS, decoded, partitions
from dealgate.migrations.revisions import HOME, VERSION_TABLE

OWNER, APP, SEALER, READER = ROLES = ("dealgate_owner", "dealgate_app", "dealgate_sealer", "dealgate_reader")

SUBMITTED = (
    "dealgate_policy_version",
    "dealgate_deal",
    "dealgate_submission",
    "dealgate_trade_in",
    "dealgate_product",
    "dealgate_book_value",
    "dealgate_decision",
    "dealgate_finding",
    "dealgate_notice",
    "dealgate_legal_hold",
    "dealgate_policy_step",
    "dealgate_shadow_decision",
    "dealgate_override_step",
    "dealgate_override_finding",
    "dealgate_ledger_entry",
    "dealgate_ledger_body",
    "dealgate_ledger_private",
)
SEALED = (
    "dealgate_ledger_leaf",
    "dealgate_ledger_tile",
    "dealgate_ledger_checkpoint",
    "dealgate_ledger_anchor",
    "dealgate_ledger_erasure",
)
ACCESS = ("dealgate_api_key", "dealgate_api_key_revocation")
"""Whoever submits lets nobody else in: the service reads keys, and an administrator with the sealer's role issues them."""

PENDING = "dealgate_ledger_pending"
WATCHED = ("dealgate_unanswered_change", "dealgate_watched_table")
SUBSCRIPTION, OUTBOX = "dealgate_subscription", "dealgate_outbox"
WORKED = (*WATCHED, SUBSCRIPTION, OUTBOX)
"""No record, but work: what is still to be decided, and what is still to be told. Whoever submits works it off; what is to be told
is written down by triggers only."""

TABLES = (*SUBMITTED, *SEALED, *ACCESS, PENDING, *WORKED)

ERASABLE = (
    "dealgate_submission",
    "dealgate_trade_in",
    "dealgate_product",
    "dealgate_book_value",
    "dealgate_decision",
    "dealgate_finding",
    "dealgate_shadow_decision",
    "dealgate_override_step",
    "dealgate_override_finding",
    "dealgate_ledger_body",
    "dealgate_ledger_private",
)
SEQUENCES = (
    "dealgate_submission_id_seq",
    "dealgate_decision_id_seq",
    "dealgate_shadow_decision_id_seq",
    "dealgate_ledger_entry_id_seq",
    "dealgate_unanswered_change_id_seq",
    "dealgate_outbox_id_seq",
)
SEALER_SEQUENCES = ("dealgate_ledger_anchor_id_seq",)

DEFINITION_GUARD = "dealgate_guard_definitions"
DROP_GUARD = "dealgate_guard_drops"

EVENT_FUNCTIONS = {
    # By their triggers too: a table or function that was renamed has another name by now.
    DEFINITION_GUARD: """
DECLARE
  changed record;
BEGIN
  IF (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) THEN
    RETURN;
  END IF;
  FOR changed IN
    SELECT command_tag, object_identity FROM pg_event_trigger_ddl_commands()
    WHERE command_tag <> 'CREATE TABLE'
      AND object_type IN ('table', 'table column', 'table constraint', 'trigger', 'rule', 'policy', 'function')
      AND (object_identity ~ '(^|[. ])dealgate_'
        OR EXISTS (SELECT FROM pg_trigger WHERE objid IN (tgrelid, tgfoid) AND tgname ~ '^dealgate_'))
  LOOP
    RAISE EXCEPTION 'dealgate keeps what was recorded: % of % is left to a superuser', changed.command_tag, changed.object_identity
      USING ERRCODE = 'insufficient_privilege';
  END LOOP;
END""",
    # What PostgreSQL itself puts on a table for a host's foreign key to it goes with that key.
    DROP_GUARD: """
DECLARE
  dropped record;
BEGIN
  IF (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) THEN
    RETURN;
  END IF;
  FOR dropped IN
    SELECT object_type, object_identity FROM pg_event_trigger_dropped_objects()
    WHERE object_type IN ('table', 'trigger', 'rule', 'policy', 'function', 'table constraint')
      AND object_identity ~ '(^|[. ])dealgate_' AND schema_name NOT LIKE 'pg\\_temp%'
      AND (original OR object_type <> 'trigger' OR object_identity !~ '^"RI_ConstraintTrigger_')
  LOOP
    RAISE EXCEPTION 'dealgate keeps what was recorded: dropping % % is left to a superuser',
      dropped.object_type, dropped.object_identity USING ERRCODE = 'insufficient_privilege';
  END LOOP;
END""",
}
_EVENTS = {DEFINITION_GUARD: "ddl_command_end", DROP_GUARD: "sql_drop"}


def is_superuser(connection: Connection) -> bool:
    return bool(connection.execute(text("SELECT rolsuper FROM pg_roles WHERE rolname = session_user")).scalar())


def secure(connection: Connection) -> None:
    """Make the roles, give the tables to their owner and to each role its rights, and guard the definitions."""
    for role in ROLES:
        connection.exec_driver_sql(_role_statement(role))
    for statement in (*_rights(), *(f"ALTER TABLE {name} OWNER TO {OWNER}" for name in partitions(connection))):
        connection.exec_driver_sql(statement, execution_options=PLAIN)
    for name, body in EVENT_FUNCTIONS.items():
        connection.exec_driver_sql(_event_statement(name, body), execution_options=PLAIN)


def _role_statement(role: str) -> str:
    return (
        f"DO $do$ BEGIN CREATE ROLE {role} NOLOGIN; "
        "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $do$"
    )


def _rights() -> list[str]:
    return [
        f"DO $do$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO {', '.join(ROLES)}', current_schema()); END $do$",
        *(f"ALTER TABLE {table} OWNER TO {OWNER}" for table in TABLES),
        *(f"ALTER FUNCTION {function}() OWNER TO {OWNER}" for function in POSTGRESQL_FUNCTIONS),
        # Who may not call them cannot put them on a table of their own and be their owner there.
        *(f"REVOKE EXECUTE ON FUNCTION {function}() FROM PUBLIC" for function in POSTGRESQL_FUNCTIONS),
        f"GRANT SELECT ON {', '.join((*TABLES, VERSION_TABLE))} TO {APP}, {SEALER}, {READER}",
        f"GRANT INSERT ON {', '.join(SUBMITTED)} TO {APP}, {SEALER}",
        f"GRANT UPDATE ON dealgate_deal, {SUBSCRIPTION}, {OUTBOX} TO {APP}, {SEALER}",
        f"GRANT DELETE ON {', '.join(WORKED)} TO {APP}, {SEALER}",
        f"GRANT INSERT ON {', '.join((*WATCHED, SUBSCRIPTION))} TO {APP}, {SEALER}",
        f"GRANT USAGE ON SEQUENCE {', '.join(SEQUENCES)} TO {APP}, {SEALER}",
        f"GRANT INSERT ON {', '.join((*SEALED, *ACCESS))} TO {SEALER}",
        f"GRANT USAGE ON SEQUENCE {', '.join(SEALER_SEQUENCES)} TO {SEALER}",
        f"GRANT DELETE ON {', '.join((*ERASABLE, PENDING))} TO {SEALER}",
    ]


def _event_statement(name: str, body: str) -> str:
    """One event trigger stands for all schemas of a database; the function of one that stands is brought up to date."""
    return (
        f"DO $do$ DECLARE standing regproc := (SELECT evtfoid FROM pg_event_trigger WHERE evtname = '{name}'); "
        f"body text := $function${body}\n$function$; BEGIN "
        "IF standing IS NULL OR (SELECT prosrc FROM pg_proc WHERE oid = standing) <> body THEN "
        "EXECUTE format('CREATE OR REPLACE FUNCTION %s() RETURNS event_trigger LANGUAGE plpgsql "
        f"SET search_path = pg_catalog, pg_temp AS %L', coalesce(standing::text, '{name}'), body); END IF; "
        f"IF standing IS NULL THEN CREATE EVENT TRIGGER {name} ON {_EVENTS[name]} EXECUTE FUNCTION {name}(); "
        f"ALTER EVENT TRIGGER {name} ENABLE ALWAYS; END IF; END $do$"
    )


_OWNERS = text(rf"""
SELECT c.relname, pg_get_userbyid(c.relowner) FROM pg_class c
WHERE c.relnamespace = {HOME} AND (c.relname = ANY (:tables) OR c.relname LIKE '{PARTITIONED}\_%') AND c.relkind IN ('r', 'p')
ORDER BY 1
""")
_EVENT_TRIGGERS = text("""
SELECT evtname, evtevent, evtenabled, prosrc FROM pg_event_trigger JOIN pg_proc ON pg_proc.oid = evtfoid
""")
_RIGHTS_BEYOND = text("""
SELECT rolsuper OR pg_has_role(session_user, :owner, 'MEMBER') FROM pg_roles WHERE rolname = session_user
""")


def problems(connection: Connection) -> list[str]:
    """What keeps the database from refusing changes by its own users; one sentence each."""
    roles = set(connection.execute(text("SELECT rolname FROM pg_roles WHERE rolname LIKE 'dealgate\\_%'")).scalars())
    missing = [role for role in ROLES if role not in roles]
    if missing:
        return [
            f"the roles {', '.join(missing)} are missing: whoever migrated owns the tables and can drop their guards. "
            "Run dealgate db upgrade once as a superuser"
        ]
    found = [
        f"{name} belongs to {owner}, not to {OWNER}: its owner can drop its guards"
        for name, owner in connection.execute(_OWNERS, {"tables": list(TABLES)})
        if owner != OWNER
    ]
    if connection.execute(text(f"SELECT rolcanlogin FROM pg_roles WHERE rolname = '{OWNER}'")).scalar():
        found.append(f"the role {OWNER} can log in: ALTER ROLE {OWNER} NOLOGIN")
    events = {row.evtname: row for row in connection.execute(_EVENT_TRIGGERS)}
    for name, body in EVENT_FUNCTIONS.items():
        if name not in events or decoded(events[name].evtenabled) != "A":
            found.append(f"the event trigger {name} is missing or switched off")
        elif events[name].prosrc.strip() != body.strip() or events[name].evtevent != _EVENTS[name]:
            found.append(f"the event trigger {name} is not as it was created")
    return found


def rights_beyond(connection: Connection) -> list[str]:
    """What the user of this connection could do that a host's application should not."""
    if connection.execute(_RIGHTS_BEYOND, {"owner": OWNER}).scalar():
        return [f"this user is a superuser or a member of {OWNER}: submit as a user that is granted {APP} only"]
    return []
