"""Add the tables for the server's own settings and for invitations by e-mail."""

from peewee import (
    SQL,
    AutoField,
    BooleanField,
    CharField,
    DateTimeField,
    Default,
    Model,
    TextField,
)

NOW = "CURRENT_TIMESTAMP"


class ServerSettings(Model):
    id = AutoField(constraints=[SQL("AUTOINCREMENT")])
    server_name = CharField(null=True, constraints=[Default("'Meeting Server'")])
    server_picture = TextField(null=True)
    registration_mode = CharField(constraints=[Default("'open'")])
    allowed_email_suffixes = TextField(null=True, constraints=[Default("'[]'")])
    created_at = DateTimeField(constraints=[Default(NOW)])
    updated_at = DateTimeField(constraints=[Default(NOW)])

    class Meta:
        table_name = "ServerSettings"


class Invitation(Model):
    id = AutoField(constraints=[SQL("AUTOINCREMENT")])
    email = CharField()
    token = CharField(max_length=6)
    created_at = DateTimeField(constraints=[Default(NOW)])
    expires_at = DateTimeField()
    used = BooleanField(constraints=[Default(0)])
    used_at = DateTimeField(null=True)
    invited_by = CharField()

    class Meta:
        table_name = "Invitations"


Invitation.add_index(Invitation.email, name="invitations_email")
Invitation.add_index(Invitation.token, name="invitations_token", unique=True)
Invitation.add_index(Invitation.expires_at, name="invitations_expires_at")


def up(migrator, db):
    migrator.migrate(
        migrator.create_table(ServerSettings),
        migrator.create_table(Invitation),
        # The former server's ORM left out some defaults, and had another name for the server.
        migrator.complete_table(ServerSettings),
        migrator.complete_table(Invitation),
        migrator.sql(
            'INSERT INTO "ServerSettings" (id) SELECT 1 '
            'WHERE NOT EXISTS (SELECT 1 FROM "ServerSettings")'
        ),
    )


def down(migrator, db):
    migrator.migrate(
        migrator.drop_table("Invitations"),
        migrator.drop_table("ServerSettings"),
    )
