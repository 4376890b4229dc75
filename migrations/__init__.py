"""Alembic environment and versions. Bring a database up with `upgrade(connection)` or `dealgate db upgrade`."""
