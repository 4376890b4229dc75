"""What the database refuses of each table: changes to what was recorded, and rows that are of no entry of the ledger.

Conditions are SQL, the same on both databases; `guards` makes triggers of them.
"""

from typing import NamedTuple


class Guard(NamedTuple):
    """What is refused on a table: every update, and every deletion unless `permit` holds of the row `OLD`.

    `keys` are its unique keys: SQLite's INSERT OR REPLACE would delete by any of them. `permit` and `require`, which an inserted
    row must meet, are SQL conditions in which `{row}` and `{schema}` stand before names; `why` says what `require` asks. `since`
    is the revision that makes the table.
    """

    table: str
    keys: tuple[tuple[str, ...], ...]
    permit: str = ""
    require: str = ""
    why: str = ""
    since: str = "0003"


def _erased(paths: str = "''") -> str:
    return f"EXISTS (SELECT 1 FROM {{schema}}dealgate_ledger_erasure WHERE erased = {{row}}entry AND path IN ({paths}))"


def _orphaned(submission: str) -> str:
    return f"NOT EXISTS (SELECT 1 FROM {{schema}}dealgate_decision WHERE submission_id = {{row}}{submission})"


DECISION_ERASED = (
    "EXISTS (SELECT 1 FROM {schema}dealgate_ledger_erasure x JOIN {schema}dealgate_ledger_entry e ON e.id = x.erased "
    "WHERE e.entry_id = {row}decision_id AND x.path = '')"
)
FINDING_ERASED = (
    "EXISTS (SELECT 1 FROM {schema}dealgate_ledger_erasure x JOIN {schema}dealgate_ledger_entry e ON e.id = x.erased "
    "JOIN {schema}dealgate_decision d ON d.decision_id = e.entry_id WHERE d.id = {row}decision AND x.path = '')"
)
GIVES_LEAVE = (
    "EXISTS (SELECT 1 FROM {schema}dealgate_ledger_entry WHERE id = {row}entry "
    "AND kind = CASE {row}path WHEN '' THEN 'retention_purge' ELSE 'redaction' END) "
    "AND NOT EXISTS (SELECT 1 FROM {schema}dealgate_ledger_leaf WHERE entry = {row}entry)"
)
NO_LEAVE = (
    "only an entry of kind redaction gives leave to erase a value, only one of kind retention_purge a whole entry, "
    "and neither once it is sealed"
)


def _of_entry(*kinds: str, deal: bool = False) -> str:
    """A row is of an entry of its kind; about a deal, of the same deal."""
    names = ", ".join(f"'{kind}'" for kind in kinds)
    same = " AND deal_id = {row}deal_id" if deal else ""
    return f"EXISTS (SELECT 1 FROM {{schema}}dealgate_ledger_entry WHERE id = {{row}}entry AND kind IN ({names}){same})"


ANOTHER_ENTRY = "a row is of an entry of the ledger of its own kind, about the same deal"
DECIDED = (
    "EXISTS (SELECT 1 FROM {schema}dealgate_ledger_entry e WHERE e.entry_id = {row}decision_id AND e.kind = 'decision' "
    "AND e.deal_id = {row}deal_id AND NOT EXISTS (SELECT 1 FROM {schema}dealgate_ledger_erasure x "
    "WHERE x.erased = e.id AND x.path = ''))"
)
UNDECIDED = "a decision is that of an entry of the ledger about the same deal, which no purge took out"
BY_ANOTHER_PERSON = (
    f"{_of_entry('policy_step')} AND "
    "({row}step <> 'approve' OR (EXISTS (SELECT 1 FROM {schema}dealgate_policy_step a WHERE a.sha256 = {row}sha256 "
    "AND a.step = 'add') AND NOT EXISTS (SELECT 1 FROM {schema}dealgate_policy_step a WHERE a.sha256 = {row}sha256 "
    "AND a.step = 'add' AND lower(trim(a.actor)) = lower(trim({row}actor)))))"
)
NOT_ANOTHER = (
    "a step is of an entry of the ledger; a version is approved after it was added, by another person than its author"
)
_OF_IT = "FROM {schema}dealgate_override_step s WHERE s.override_id = {row}override_id AND s.step"
_KIND = "CASE {row}step WHEN 'request' THEN 'override_request' WHEN 'grant' THEN 'override_grant' ELSE 'override_denial' END"
OVERRIDE_STEP_IN_TURN = (
    "EXISTS (SELECT 1 FROM {schema}dealgate_ledger_entry e WHERE e.id = {row}entry AND e.deal_id = {row}deal_id "
    f"AND e.kind = {_KIND}) AND NOT {_erased()} AND "
    "EXISTS (SELECT 1 FROM {schema}dealgate_deal d WHERE d.deal_id = {row}deal_id AND d.decision_id = {row}decision_id) "
    f"AND (({{row}}step = 'request' AND NOT EXISTS (SELECT 1 {_OF_IT} = 'request')) OR ({{row}}step IN ('grant', 'deny') "
    f"AND EXISTS (SELECT 1 {_OF_IT} = 'request' AND s.decision_id = {{row}}decision_id) "
    f"AND NOT EXISTS (SELECT 1 {_OF_IT} = 'deny') "
    f"AND (SELECT count(*) {_OF_IT} = 'grant') < (SELECT max(s.persons) {_OF_IT} = 'request'))) "
    f"AND ({{row}}step <> 'grant' OR NOT EXISTS (SELECT 1 {_OF_IT} IN ('grant', 'request') "
    "AND (s.step = 'grant' OR s.persons > 1) AND lower(trim(s.actor)) = lower(trim({row}actor))))"
)
NOT_IN_TURN = (
    "a step is of an entry of its own, of its kind and deal; "
    "an override is of the last submission and asked for once; it is granted by as many different persons as it needs, of whom "
    "none asked where it needs two, and not once it is denied"
)
BEFORE_ITS_STEP = "NOT EXISTS (SELECT 1 FROM {schema}dealgate_override_step s WHERE s.entry = {row}entry)"
NO_KEY_ENTRY = "a key is issued, and revoked, by an entry of the ledger that says so"
IS_SEALED = "EXISTS (SELECT 1 FROM {schema}dealgate_ledger_leaf WHERE entry = {row}entry)"

GUARDS = (
    Guard("dealgate_policy_version", (("sha256",), ("name", "version"))),
    Guard("dealgate_submission", (("id",), ("deal_id", "submission"), ("idempotency_key",)), _orphaned("id")),
    Guard("dealgate_trade_in", (("submission_id", "position"),), _orphaned("submission_id")),
    Guard("dealgate_product", (("submission_id", "position"),), _orphaned("submission_id")),
    Guard("dealgate_book_value", (("submission_id", "position"),), _orphaned("submission_id")),
    Guard("dealgate_decision", (("id",), ("decision_id",), ("submission_id",)), DECISION_ERASED, DECIDED, UNDECIDED),
    Guard("dealgate_finding", (("decision", "rule"),), FINDING_ERASED),
    Guard("dealgate_notice", (("entry",),), require=_of_entry("notice", deal=True), why=ANOTHER_ENTRY),
    Guard("dealgate_legal_hold", (("entry",),), require=_of_entry("legal_hold", deal=True), why=ANOTHER_ENTRY),
    Guard("dealgate_ledger_entry", (("id",), ("entry_id",), ("deal_id", "deal_seq"), ("idempotency_key",))),
    Guard("dealgate_ledger_body", (("entry",),), _erased()),
    Guard("dealgate_ledger_private", (("entry", "path"),), _erased("'', {row}path")),
    Guard("dealgate_ledger_erasure", (("erased", "path"),), require=GIVES_LEAVE, why=NO_LEAVE),
    Guard("dealgate_ledger_pending", (("entry",),), IS_SEALED),
    Guard("dealgate_ledger_leaf", (("leaf_index",), ("entry",))),
    Guard("dealgate_ledger_tile", (("level", "n"),)),
    Guard("dealgate_ledger_checkpoint", (("size",),)),
    Guard("dealgate_ledger_anchor", (("id",),)),
    Guard("dealgate_policy_step", (("entry",),), require=BY_ANOTHER_PERSON, why=NOT_ANOTHER, since="0004"),
    Guard("dealgate_shadow_decision", (("id",),), DECISION_ERASED, since="0004"),
    Guard(
        "dealgate_override_step",
        (("entry",),),
        _erased(),
        require=OVERRIDE_STEP_IN_TURN,
        why=NOT_IN_TURN,
        since="0005",
    ),
    Guard(
        "dealgate_override_finding",
        (("entry", "rule"),),
        _erased(),
        require=BEFORE_ITS_STEP,
        why="a finding is named before the override is asked for",
        since="0005",
    ),
    Guard(
        "dealgate_api_key",
        (("key_id",), ("entry",)),
        require=_of_entry("api_key_issued"),
        why=NO_KEY_ENTRY,
        since="0011",
    ),
    Guard(
        "dealgate_api_key_revocation",
        (("key_id",), ("entry",)),
        require=_of_entry("api_key_revoked"),
        why=NO_KEY_ENTRY,
        since="0011",
    ),
)
