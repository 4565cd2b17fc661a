"""What every stage says to its users: codes, causes with their places in the source, exceptions."""
