"""The tasks of tasks.py, by subject: each parses its arguments, calls one function, and ends with its exit code."""
