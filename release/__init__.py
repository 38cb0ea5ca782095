"""What a release must pass, as commands: ``python -m release`` runs all that need no service on the internet."""
