"""What runs on a host that is reached by SSH, on its own Python: 3.8 or later, the standard library alone.

`optiprov.deploy.providers.ssh` copies these files there, with the few others that they import.
"""
