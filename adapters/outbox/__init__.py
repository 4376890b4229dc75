"""Outward events: what was decided, granted or put in force is told to subscribers, as signed webhooks.

`dispatcher` needs the extra `dealgate[service]`; the rest does not.
"""
