"""Pictures: reading and writing files, resizing and mixing, and the pictures of a training."""
