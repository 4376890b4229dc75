"""Alembic's entry: runs the migrations on the connection it is handed, in that connection's transaction."""

from alembic import context

from dealgate.migrations.running import VERSION_TABLE, include_object
from dealgate.models import Base

connection = context.config.attributes["connection"]
if not connection.in_transaction():
    connection.begin()  # or Alembic would begin a transaction of its own, and commit it
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    include_object=include_object,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
