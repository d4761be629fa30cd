"""playhouse's verbs, each of which looks before it acts."""
