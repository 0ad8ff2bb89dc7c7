"""The one exception that users are meant to see."""


class UserError(Exception):
    """Bad input: says what is wrong, where (file, entry, key) and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """
