"""Lists tar archives with Python's tarfile: paths on standard input, one a line; a line of JSON for each, as archives.go writes it."""

import hashlib
import json
import sys
import tarfile


def kind(member):
    if member.isreg():
        return "file"
    if member.isdir():
        return "directory"
    if member.issym():
        return "symlink"
    if member.islnk():
        return "hardlink"
    if member.ischr() or member.isblk() or member.isfifo():
        return "special"
    return "other"


def name_in_hex(name):
    return name.encode("utf-8", "surrogateescape").hex()


def listing(path):
    entries = []
    try:
        with open(path, "rb") as file:
            archive = tarfile.TarFile(fileobj=file, encoding="utf-8", errors="surrogateescape")
            for member in archive:
                content = b""
                # tarfile reads entries of unknown types as files. Those of links lead to other entries.
                if member.isreg() or kind(member) == "other":
                    content = archive.extractfile(member).read()
                    if len(content) < member.size:
                        raise EOFError("unexpected end of data")
                entries.append({
                    "name": name_in_hex(member.name),
                    "link": name_in_hex(member.linkname),
                    "type": kind(member),
                    "size": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                })
    # tarfile raises whatever its parts do.
    except Exception as error:  # pylint: disable=broad-except
        return {"entries": entries, "error": f"{type(error).__name__}: {error}"}
    return {"entries": entries, "error": None}


for line in sys.stdin:
    print(json.dumps(listing(line.removesuffix("\n"))))
