"""What can be asked on the control socket beside the status, a module for each kind of question."""
