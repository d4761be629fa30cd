"""playhouse's verbs; each looks before it acts."""
