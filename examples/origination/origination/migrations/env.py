"""The lender's Alembic, beside dealgate's: each leaves the other's tables alone."""

from alembic import context

from dealgate.migrations.running import leave_out_dealgate
from origination.tables import ENGINE, Base

with ENGINE.begin() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, include_object=leave_out_dealgate)
    context.run_migrations()
