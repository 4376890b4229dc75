"""Outward events: what was decided, granted or put in force is told to subscribers, as signed webhooks."""

from dealgate.adapters.outbox.depth import Depth, depth
from dealgate.adapters.outbox.dispatcher import Outbox
from dealgate.adapters.outbox.subscribers import OutboxSettings, Subscriber

__all__ = ["Depth", "Outbox", "OutboxSettings", "Subscriber", "depth"]
