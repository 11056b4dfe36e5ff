"""Following runs that other processes execute: their progress, what they wait for, Ctrl-C."""
