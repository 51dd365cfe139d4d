"""What a cable does to packets: the settings, the own wire and the kernel's ways, and the probes that check them."""
