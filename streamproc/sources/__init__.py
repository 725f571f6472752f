"""Sources: where the bytes of a stream come from."""
