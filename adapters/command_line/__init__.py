"""The `dealgate` command: one module a group of commands, and what a terminal shows."""
