"""What Ansible has beside what optiprov runs itself: names, so that a gap is told from a misspelling."""

from __future__ import annotations

TASK_KEYWORDS = frozenset(
    {"action", "always", "any_errors_fatal", "block", "check_mode", "collections", "connection", "debugger"}
    | {"delegate_facts", "delegate_to", "diff", "ignore_unreachable", "listen", "local_action"}
    | {"module_defaults", "notify", "port", "remote_user", "rescue", "throttle", "timeout"}
)
"""Keywords of tasks and blocks that only ansible-core follows."""

BLOCK_KEYWORDS = frozenset({"block", "rescue", "always"})

PLAY_KEYWORDS = frozenset(
    {"check_mode", "collections", "connection", "debugger", "diff", "force_handlers", "handlers"}
    | {"max_fail_percentage", "module_defaults", "post_tasks", "pre_tasks", "roles", "serial", "throttle"}
    | {"timeout", "vars_files", "vars_prompt"}
)
"""Keywords of plays that only ansible-core follows."""

MODULES = frozenset(
    {"add_host", "apt", "apt_key", "apt_repository", "archive", "assemble", "assert", "async_status"}
    | {"authorized_key", "blockinfile", "cron", "deb822_repository", "debconf", "dnf", "dnf5"}
    | {"docker_compose", "docker_compose_v2", "docker_container", "docker_image", "docker_login"}
    | {"docker_network", "dpkg_selections", "expect", "fail", "find", "gather_facts", "gem", "get_url"}
    | {"getent", "git", "group", "group_by", "hostname", "import_playbook", "import_role", "import_tasks"}
    | {"include", "include_role", "include_tasks", "include_vars", "ini_file", "iptables", "known_hosts"}
    | {"lineinfile", "make", "meta", "modprobe", "mount", "mount_facts", "mysql_db", "npm", "package"}
    | {"package_facts", "pause", "ping", "pip", "postgresql_db", "raw", "reboot", "replace", "rpm_key"}
    | {"selinux", "service", "service_facts", "set_fact", "set_stats", "setup", "slurp", "snap", "stat"}
    | {"subversion", "synchronize", "sysctl", "systemd", "systemd_service", "sysvinit", "tempfile"}
    | {"timezone", "unarchive", "uri", "user", "validate_argument_spec", "wait_for"}
    | {"wait_for_connection", "xml", "yum", "yum_repository"}
)
"""Modules of ansible-core, and some of collections by their short names."""

FILTERS = frozenset(
    {"groupby", "ipaddr", "json_query", "password_hash", "rekey_on_member", "unvault", "urlsplit", "vault"}
    | {"win_basename", "win_dirname", "win_splitdrive"}
)
TESTS = frozenset({"timedout", "uri", "url", "urn", "vault_encrypted", "vaulted_file"})
LOOKUPS = frozenset(
    {"config", "csvfile", "dict", "first_found", "indexed_items", "ini", "inventory_hostnames", "items"}
    | {"list", "nested", "password", "random_choice", "sequence", "subelements", "template", "together"}
    | {"unvault", "url", "varnames", "vars"}
)
