"""What a conf says: its keys and their values, and the files and layers that it names."""
