"""Claims the name of another distribution's family."""
