"""Meetings as calendar files (RFC 5545)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from icalendar import Calendar, Event, vCalAddress, vText

from server import __version__

CONTENT_TYPE = "text/calendar"


def calendar_of(meeting: Any, host: str, *, link: str | None = None, is_request: bool) -> bytes:
    """A calendar with this one meeting.  ``is_request``: an invitation, and not a copy."""
    calendar = Calendar()
    calendar.add("prodid", f"-//Meeting Server//{__version__}//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "REQUEST" if is_request else "PUBLISH")
    event = Event()
    event.add("uid", f"{meeting.meeting_id}@{host}")
    event.add("summary", meeting.title)
    if meeting.description:
        event.add("description", meeting.description)
    # An old row may hold a text that is no date: then the event has none.
    for name, moment in (
        ("dtstart", meeting.start_time),
        ("dtend", meeting.end_time),
        ("dtstamp", meeting.updated_at),
    ):
        if isinstance(moment, datetime):
            event.add(name, moment)
    if link:
        event.add("url", link)
    if "@" in meeting.created_by:
        organizer = vCalAddress(f"mailto:{meeting.created_by}")
        organizer.params["cn"] = vText(meeting.created_by)
        event["organizer"] = organizer
    calendar.add_component(event)
    return bytes(calendar.to_ical())
