"""One module per verb of the command line; see ``mspn.commands.cli`` for what each must hold."""
