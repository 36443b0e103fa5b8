"""Stages of plays run by ansible-core, for all that optiprov does not do itself (the extra `ansible`)."""

from optiprov.deploy.ansible.run import AnsibleRun

__all__ = ["AnsibleRun"]
