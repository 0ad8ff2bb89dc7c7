"""One module per verb of the command line; see ``mspn.cli`` for what each must hold."""
