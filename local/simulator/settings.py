"""Settings of the simulator that can change at run time.

`PUT /_control/settings` changes them.

The defaults are the documented figures; where Microsoft documents none, the field says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class SimulatorSettings:
    """Mutable on purpose: one object that every part of the simulator reads.

    `time_scale` divides the long waits (back-off, slow and drop windows, the 4 hours of retrying);
    `deadline_scale` divides the deadlines of a single request (3 s, 10 s). 1 is real time.
    """

    record_page_size: int = 100
    """Attendance records on a page; undocumented."""
    report_page_size: int = 0
    """Attendance reports on a page of the list; undocumented; 0: all (at most 50) on one."""
    subscription_page_size: int = 0
    """Subscriptions on a page; undocumented; 0: all on one."""
    event_page_size: int = 20
    """Webinars, town halls or sessions on a page; undocumented; 0: all on one."""
    virtual_events: Literal["offered", "badRequest", "notFound"] = "offered"
    """Whether this cloud has webinars and town halls, or how it refuses to know them: undocumented."""
    session_time_form: Literal["object", "text"] = "object"
    """The times of a session: of the documented type, or as the documented examples show them."""
    call_event_name: Literal["eventType", "callEventType", "both"] = "eventType"
    """The property that says what happened: of the examples, or of the resource type."""
    roster_name: Literal["participants@delta", "participants"] = "participants@delta"
    """The property that holds a changed roster: of the examples, or of the resource type."""
    validation_tokens: Literal["1.0", "2.0", "both"] = "2.0"
    """The versions of the tokens that come with encrypted notifications."""
    call_event_quota: int = 10_000
    """Subscriptions to call events per organization."""
    odd_forms: bool = True
    """Whether every second notification about events and call events spells resource, type and time differently."""
    next_link_form: Literal["property", "top"] = "property"
    """Where an expanded report names the next page of its records: undocumented, both are OData."""
    report_properties: Literal["global", "usGovernment"] = "global"
    """What reports and records hold: US Government leaves out registrations, external information and engagements."""
    lose_next_links: bool = False
    """Whether an expanded report leaves out the link to the next page of its records."""
    throttling: bool = True
    time_scale: float = 1.0
    deadline_scale: float = 1.0
    batch_seconds: float = 0.0
    """Notifications that fall into the same span of this length and share a URL go out in one POST; 0: alone."""
    clock_offset: float = 0.0
    """Seconds by which Graph's clock is ahead of this machine's, as the Date header and expiry times show it."""
    sends_to_hub: bool = True
    """Whether Graph has the role Azure Event Hubs Data Sender on the hub."""
    is_partner: bool = True
    """Whether a partner configuration lets Graph create partner topics."""
    topic_is_connected: bool = False
    """Whether the partner topic is active and has an event subscription; until then its events are lost."""
    evaluate_after: int = 100
    """Responses that an endpoint must have given before it can become slow or drop (a figure of 2023)."""

    def __post_init__(self) -> None:
        if min(self.time_scale, self.deadline_scale) <= 0 or self.record_page_size < 1:
            raise ValueError("timeScale, deadlineScale and recordPageSize must be positive")
        numbers = (value for value in vars(self).values() if isinstance(value, int | float))
        # Graph's clock may be behind, and no others may be.
        if sum(value < 0 for value in numbers) > (self.clock_offset < 0):
            raise ValueError("no setting but clockOffset may be negative")
