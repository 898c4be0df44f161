"""Contact sheets of styles."""
