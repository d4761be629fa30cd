"""Not run: it duplicates add_meetings_system, where a meeting has its own invitation_token."""
