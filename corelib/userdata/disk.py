"""etcd's data disk on a host: found by its LUN, given a file system only if it is blank, mounted before etcd.

The names are those of Azure's udev rules (66-azure-storage.rules): `/dev/disk/azure/scsi1/lun<N>` stays the same
whatever letter a boot gives the disk.
"""

from __future__ import annotations

from typing import Any

LUN = 0  # of etcd's data disk, as the machine's resource attaches it
DEVICE = f"/dev/disk/azure/scsi1/lun{LUN}"
FORMAT = "format-etcd-disk.service"


def units(path: str) -> list[dict[str, Any]]:
    """The units that bring the disk to `path`; whoever needs it says `RequiresMountsFor=` that path."""
    mount = {"name": mount_unit(path), "command": "start", "content": _mount(path)}
    return [{"name": FORMAT, "content": _format(path)}, mount]


def mount_unit(path: str) -> str:
    """The name that systemd wants for a mount at this path (systemd.unit(5), string escaping)."""
    return f"{_escaped(path)}.mount"


def _escaped(path: str) -> str:
    return "-".join(part.replace("-", r"\x2d") for part in path.strip("/").split("/"))


def _format(path: str) -> str:
    device = f"{_escaped(DEVICE)}.device"
    # blkid(8) --probe: 0 is a file system that it knows, 2 is nothing at all; anything else is somebody's, left alone.
    script = f"blkid --probe {DEVICE}; case $$? in 0) exit 0;; 2) mkfs.ext4 -q -L etcd {DEVICE};; *) exit 1;; esac"
    return (
        "[Unit]\n"
        "Description=A file system on the data disk of etcd, if the disk is blank\n"
        # A mount is before local-fs.target, which what is after sysinit.target, as services are, would wait for.
        "DefaultDependencies=no\n"
        "Conflicts=shutdown.target\n"
        f"Requires={device}\n"
        f"After={device}\n"
        f"Before={mount_unit(path)} shutdown.target\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        "RemainAfterExit=yes\n"
        f"ExecStart=/bin/sh -c '{script}'\n"
    )


def _mount(path: str) -> str:
    return (
        "[Unit]\n"
        "Description=The data disk of etcd\n"
        f"Requires={FORMAT}\n"
        f"After={FORMAT}\n"
        "\n"
        "[Mount]\n"
        f"What={DEVICE}\n"
        f"Where={path}\n"
        "Type=ext4\n"
    )
