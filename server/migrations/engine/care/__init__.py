"""Files and their content: backup, restore, doctor, rehearsal."""
