"""Pictures from outside: what they may be, how they are read, and where they lie in a folder."""
