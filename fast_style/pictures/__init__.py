"""Pictures: from files and to them, at other sizes, and those that are trained on."""
