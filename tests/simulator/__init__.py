"""Random schemas, rows, migrations and faults from one seed, judged without the engine's own code."""
