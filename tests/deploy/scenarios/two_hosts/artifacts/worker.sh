#!/bin/bash
# Ask the master at $1 (address:port), which may not listen yet.
for _ in $(seq 200); do
  exec 3<>"/dev/tcp/${1%:*}/${1#*:}" && break
  sleep 0.02
done 2>/dev/null
echo "a question of $OPTIPROV_HOST" >&3
cat <&3
