"""Every table in its newest shape.

PERSISTENT tables live in the database file and change only by a migration; IN_MEMORY tables live
as long as the process and are made at its start.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from peewee import (
    SQL,
    AutoField,
    BooleanField,
    CharField,
    DatabaseProxy,
    Default,
    IntegerField,
    Model,
    TextField,
)

from server.db.connection import shared_memory
from server.db.fields import JSONListField, UtcDateTimeField

NOW = "CURRENT_TIMESTAMP"
GUEST_STAY = timedelta(hours=24)

database = DatabaseProxy()  # the process that serves says which file it is
memory_database = shared_memory("external_sessions")


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


class PersistentModel(Model):
    class Meta:
        database = database
        legacy_table_names = False


class ClientSession(PersistentModel):
    """A signed-in device and the secret that signs its requests."""

    client_id = CharField(primary_key=True)
    session_secret = CharField()
    user_id = CharField()
    device_id = IntegerField(null=True)
    device_info = TextField(null=True)
    expires_at = UtcDateTimeField(null=True)
    last_used = UtcDateTimeField(default=utc_now, constraints=[Default(NOW)])
    created_at = UtcDateTimeField(default=utc_now, constraints=[Default(NOW)])

    class Meta:
        table_name = "client_sessions"


ClientSession.add_index(ClientSession.user_id, name="idx_sessions_user")
ClientSession.add_index(ClientSession.expires_at, name="idx_sessions_expires")


class NonceCache(PersistentModel):
    """A nonce that a signed request has used up."""

    nonce = CharField(primary_key=True)
    created_at = UtcDateTimeField(default=utc_now, constraints=[Default(NOW)])

    class Meta:
        table_name = "nonce_cache"


NonceCache.add_index(NonceCache.created_at, name="idx_nonce_created")


class Meeting(PersistentModel):
    """A scheduled meeting (``mtg_…``) or an instant call (``call_…``)."""

    meeting_id = CharField(primary_key=True)
    title = CharField()
    description = TextField(null=True)
    created_by = CharField()
    start_time = UtcDateTimeField()
    end_time = UtcDateTimeField()
    is_instant_call = BooleanField(default=False, constraints=[Default(0)])
    allow_external = BooleanField(default=False, constraints=[Default(0)])
    invitation_token = CharField(null=True, constraints=[SQL("UNIQUE")])
    voice_only = BooleanField(default=False, constraints=[Default(0)])
    mute_on_join = BooleanField(default=False, constraints=[Default(0)])
    created_at = UtcDateTimeField(default=utc_now, constraints=[Default(NOW)])
    updated_at = UtcDateTimeField(default=utc_now, constraints=[Default(NOW)])
    invited_participants = JSONListField(null=True, default=list, constraints=[Default("'[]'")])

    class Meta:
        table_name = "meetings"


Meeting.add_index(Meeting.created_by, name="meetings_created_by")
Meeting.add_index(Meeting.start_time, name="meetings_start_time")
Meeting.add_index(Meeting.end_time, name="meetings_end_time")
Meeting.add_index(Meeting.is_instant_call, name="meetings_is_instant_call")


class ServerSettings(PersistentModel):
    """The settings of the whole server, in the one row with id 1."""

    id = AutoField(constraints=[SQL("AUTOINCREMENT")])
    server_name = CharField(
        null=True, default="Meeting Server", constraints=[Default("'Meeting Server'")]
    )
    server_picture = TextField(null=True)
    registration_mode = CharField(
        default="open",
        choices=[(mode, mode) for mode in ("open", "email_suffix", "invitation_only")],
        constraints=[Default("'open'")],
    )
    allowed_email_suffixes = JSONListField(null=True, default=list, constraints=[Default("'[]'")])
    created_at = UtcDateTimeField(default=utc_now, constraints=[Default(NOW)])
    updated_at = UtcDateTimeField(default=utc_now, constraints=[Default(NOW)])

    class Meta:
        table_name = "ServerSettings"


class UserLink(PersistentModel):
    """An e-mail address, in lower case, and the user that signs in with it."""

    email = CharField(primary_key=True)
    user_id = CharField()
    created_at = UtcDateTimeField(default=utc_now, constraints=[Default(NOW)])

    class Meta:
        table_name = "user_links"


UserLink.add_index(UserLink.user_id, name="user_links_user_id")


class Invitation(PersistentModel):
    """An invitation by e-mail to register, good for one use."""

    id = AutoField(constraints=[SQL("AUTOINCREMENT")])
    email = CharField()
    token = CharField(max_length=6)
    created_at = UtcDateTimeField(default=utc_now, constraints=[Default(NOW)])
    expires_at = UtcDateTimeField()
    used = BooleanField(default=False, constraints=[Default(0)])
    used_at = UtcDateTimeField(null=True)
    invited_by = CharField()

    class Meta:
        table_name = "Invitations"


Invitation.add_index(Invitation.email, name="invitations_email")
Invitation.add_index(Invitation.token, name="invitations_token", unique=True)
Invitation.add_index(Invitation.expires_at, name="invitations_expires_at")


class ExternalSession(Model):
    """A guest in a meeting.  In memory only: gone when the process ends.

    ``admitted`` is None while the guest is not asking (or was declined and may ask again), False
    while asking, True once admitted.  ``secret_digest`` is the SHA-256 of the guest's secret.
    """

    session_id = CharField(primary_key=True)
    meeting_id = CharField()
    display_name = CharField()
    identity_key_public = TextField()
    signed_pre_key = TextField()
    pre_keys = JSONListField()
    secret_digest = CharField(default="")
    admitted = BooleanField(null=True)
    last_admission_request = UtcDateTimeField(null=True)
    admitted_by = CharField(null=True)
    joined_at = UtcDateTimeField(null=True)
    left_at = UtcDateTimeField(null=True)
    expires_at = UtcDateTimeField(default=lambda: utc_now() + GUEST_STAY)

    class Meta:
        database = memory_database
        legacy_table_names = False
        table_name = "ExternalSessions"


class LiveParticipant(Model):
    """A user's role, answer and presence in a meeting.  In memory only: gone when the process ends.

    Who is invited lasts: it is in ``Meeting.invited_participants``.
    """

    meeting_id = CharField()
    user_id = CharField()
    role = CharField(default="meeting_member")
    answer = CharField(null=True)
    is_present = BooleanField(default=False)
    updated_at = UtcDateTimeField(default=utc_now)

    class Meta:
        database = memory_database
        legacy_table_names = False
        table_name = "live_participants"
        indexes = ((("meeting_id", "user_id"), True),)


PERSISTENT: tuple[type[Model], ...] = (
    ClientSession,
    NonceCache,
    Meeting,
    ServerSettings,
    UserLink,
    Invitation,
)
IN_MEMORY: tuple[type[Model], ...] = (ExternalSession, LiveParticipant)


def create_memory_tables() -> None:
    """Make the in-memory tables of this process; safe twice.  No persistent table is touched."""
    memory_database.create_tables(IN_MEMORY)
