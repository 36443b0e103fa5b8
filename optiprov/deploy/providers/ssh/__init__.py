"""Hosts that are reached by SSH, with the client of OpenSSH: keys, agent and known hosts are its own."""
