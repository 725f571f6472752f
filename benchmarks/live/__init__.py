"""Live streams: a server, the clients that are compared, one measured pass, and the questions."""
