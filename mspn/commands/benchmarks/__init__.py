"""One module per ``mspn bench`` subject, in the form of ``mspn.commands``: HELP, add_arguments, run."""
