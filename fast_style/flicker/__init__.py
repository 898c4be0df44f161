"""How much a stylized clip flickers."""
