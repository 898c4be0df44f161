"""What training and stylizing cost on this machine; the command is in __main__.py."""
