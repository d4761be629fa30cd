"""Add the tables for HMAC-signed sessions: client_sessions and nonce_cache."""

from peewee import CharField, DateTimeField, Default, IntegerField, Model, TextField

NOW = "CURRENT_TIMESTAMP"


class ClientSession(Model):
    client_id = CharField(primary_key=True)
    session_secret = CharField()
    user_id = CharField()
    device_id = IntegerField(null=True)
    device_info = TextField(null=True)
    expires_at = DateTimeField(null=True)
    last_used = DateTimeField(constraints=[Default(NOW)])
    created_at = DateTimeField(constraints=[Default(NOW)])

    class Meta:
        table_name = "client_sessions"


ClientSession.add_index(ClientSession.user_id, name="idx_sessions_user")
ClientSession.add_index(ClientSession.expires_at, name="idx_sessions_expires")


class NonceCache(Model):
    nonce = CharField(primary_key=True)
    created_at = DateTimeField(constraints=[Default(NOW)])

    class Meta:
        table_name = "nonce_cache"


NonceCache.add_index(NonceCache.created_at, name="idx_nonce_created")


def up(migrator, db):
    migrator.migrate(
        migrator.create_table(ClientSession),
        migrator.create_table(NonceCache),
        # The former server's tables have no device_id, and some of them no defaults.
        migrator.complete_table(ClientSession),
        migrator.complete_table(NonceCache),
    )


def down(migrator, db):
    migrator.migrate(
        migrator.drop_column("client_sessions", "device_id"),
        migrator.drop_table("nonce_cache"),
        migrator.drop_table("client_sessions"),
    )
