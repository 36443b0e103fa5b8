"""What lies between hosts: delay, rate and loss, asked for by network.yaml and emulated."""
