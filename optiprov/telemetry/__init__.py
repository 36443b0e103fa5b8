"""Samples of a process and its host, and the environment that a run happens in.

Linux is read through /proc with the standard library alone; elsewhere psutil is used where it is installed.
Capture imports this package where it is asked for, and then in the background; it runs on Python 3.8.
"""
