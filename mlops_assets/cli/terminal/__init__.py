"""Output and endings of commands: tables, progress, completion, interruption."""
