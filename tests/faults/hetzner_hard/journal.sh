# What a system that does not come back has said until then, written by the real journald, in mount and process
# namespaces of its own: of this computer it hears nothing. Usage: journal.sh JOURNALD FILE LINE…
set -eu
journald=$1 file=$2
shift 2
mount -t tmpfs journal /run
mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log
printf '[Journal]\nStorage=persistent\nReadKMsg=no\nAudit=no\n' >/run/systemd/journald.conf.d/lab.conf
echo 0123456789abcdef0123456789abcdef >/run/machine-id
[ ! -e /etc/machine-id ] || mount --bind /run/machine-id /etc/machine-id
mount -t tmpfs journal /var/log
mkdir /var/log/journal
"$journald" &
pid=$!
until [ -S /run/systemd/journal/stdout ]; do sleep 0.05; done
kill -USR1 "$pid" # into the folder that is kept
printf '%s\n' "$@" | systemd-cat -t ignition
until grep -rqF "$(printf '%s\n' "$@" | tail -n 1)" /var/log/journal; do sleep 0.05; done
kill -9 "$pid" # as a reset does
wait "$pid" || true
cat /var/log/journal/*/system.journal >"$file"
