"""Not run: ExternalSession is in memory only, so its table has no old rows to convert.

The model in server/db/model.py has `admitted` as a boolean, and each start makes the table anew.
"""
