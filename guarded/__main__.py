"""Start a project: ``python -m guarded init``."""

from guarded.cli.start import main

main()
