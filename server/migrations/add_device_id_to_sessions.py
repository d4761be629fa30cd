"""Not run: add_hmac_auth makes client_sessions with device_id, and adds it where it is missing."""
