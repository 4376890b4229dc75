"""The keys of the ledger are found without looking at its entries."""

from sqlalchemy import Engine

from dealgate.models.keys import ROTATIONS

INDEX = "ix_dealgate_ledger_entry_key_rotation"


def test_both_databases_find_the_keys_by_their_index(database: Engine) -> None:
    with database.connect() as connection:
        statement = str(ROTATIONS.compile(connection, compile_kwargs={"literal_binds": True}))
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # a table without rows is read as quickly
        explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        plan = "\n".join(str(row) for row in connection.exec_driver_sql(f"{explain} {statement}"))
    assert INDEX in plan
