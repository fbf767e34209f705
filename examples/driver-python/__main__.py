"""A snapshot driver in Python, whole and small: it keeps a tar archive of an
instance's trees in a folder of the host. It refuses databases that are no file
and trees that hold users' files. build.sh makes one executable of it:

    driver "snapshot" "pycopy" { directory = "/srv/copies" }
"""
import os
import posixpath
import threading

from ncfleet_driver import Driver, Failed, pb, serve

# What the driver does on a host. Exit status: 66 no such copy, 74 no room.
SCRIPT = r"""
set -u; umask 077; op=$1 tar=$2; shift 2
die() { printf '%s\n' "$1" >&2; exit "${2:-65}"; }
whole() { [ -f "$tar" ] || die "there is no copy $tar" 66; (cd "${tar%/*}" && sha256sum --status -c "$tar.sum"); }
case $op in
create) # whole or not at all: the archive gets its name last, by a rename
	[ ! -f "$tar" ] || exit 0
	mkdir -p "${tar%/*}" && part=$(mktemp "$tar~XXXXXX") || die "cannot write to ${tar%/*}" 74
	owner=$1; shift
	tar -cPf "$part" -- "$@" || { rm -f "$part"; die "cannot copy $*" 74; }
	sum=$(sha256sum <"$part") && printf '%s  %s\n' "${sum%% *}" "${tar##*/}" >"$tar.sum"
	printf '%s\n' "$@" >"$tar.places"; printf '%s' "$owner" >"$tar.owner"
	sync && mv "$part" "$tar" || die "cannot finish $tar" 74 ;;
verify) if whole; then echo whole; else echo damaged; fi ;;
restore)
	whole || die "the copy $tar is damaged"
	while IFS= read -r place; do rm -rf "$place"; done <"$tar.places"
	tar -xpPf "$tar" || die "cannot restore from $tar" 74 ;;
delete) rm -f "$tar" "$tar".* "$tar"~* ;;
list)
	for f in "$tar"/pycopy+*.tar; do
		[ ! -f "$f" ] || [ "$(cat "$f.owner")" != "$1" ] || stat -c '%Y %s %n' "$f"
	done | sort -rn ;;
esac
"""
CLASSES = {66: "not_found", 74: "quota"}


class Copies(Driver):
    directory = ""

    def __init__(self):
        self.guard, self.busy = threading.Lock(), {}  # key → lock: one call of a key at a time

    def Info(self, request, context):
        return pb.InfoResponse(name="pycopy", version="0.1.0", kind="snapshot", attributes=[pb.Attribute(
            name="directory", type="string", required=True, help="The folder on the host that holds the copies.")])

    def Configure(self, request, context):
        self.directory = request.config["directory"].text
        if not posixpath.isabs(self.directory) or posixpath.normpath(self.directory) == "/":
            raise Failed("permanent", 'directory = "%s": write an absolute path, such as /srv/copies' % self.directory)
        return pb.ConfigureResponse()

    def script(self, request, context, op, *args):
        status, out, err = self.run(request, context, [b"sh", b"-s", b"--", op, *args], SCRIPT.encode())
        if status != 0:
            raise Failed(CLASSES.get(status, "permanent"), "cannot %s a copy: %s" % (op.decode(), err.strip()))
        return out.strip()

    def act(self, request, context, op, key, tar, *args):
        if posixpath.normpath(tar) != tar or not posixpath.isabs(tar) or posixpath.basename(tar) != self.name(key):
            raise Failed("permanent", "cannot use the handle %r: it is not of this driver, or damaged" % tar)
        with self.guard:
            lock = self.busy.setdefault(key, threading.Lock())
        with lock:
            return self.script(request, context, op, os.fsencode(tar), *args)

    def name(self, key):
        return "pycopy+" + key.replace("/", "+") + ".tar"

    def handle(self, key):
        return pb.Handle(driver="pycopy", version=1, key=key, data=os.fsencode(posixpath.join(self.directory, self.name(key))))

    def on_handle(self, request, context, op):
        h = request.handle
        return self.act(request, context, op, h.key if h.driver == "pycopy" else "", os.fsdecode(h.data))

    def places(self, subject):
        """Splits the places into what is copied and what is not, with the reason."""
        data = next((os.fsdecode(p.path) for p in subject.places if p.part == "data"), "")
        captured, missing = [], []
        for p in subject.places:
            path, why = os.fsdecode(p.path), ""
            if p.part in ("data", "objects", "system"):
                why = "this driver does not copy " + p.part
            elif not path:
                why = "this driver copies files, not database servers"
            elif p.part != "database" and (data + "/").startswith(path + "/"):
                why = "users' files lie in it: " + data
            elif "\n" in path:
                why = "its path holds a line break"
            captured, missing = (captured, missing + [pb.Hole(place=p, reason=why)]) if why else (captured + [p], missing)
        return captured, missing

    def Cover(self, request, context):
        captured, missing = self.places(request.subject)
        return pb.CoverResponse(captured=captured, missing=missing, consistent=True, bytes_free=-1, bytes_need=-1)

    def Create(self, request, context):
        r = request.request
        owner = (r.subject.host + "/" + r.subject.instance).encode()
        h = self.handle(r.key)
        self.act(request, context, b"create", r.key, os.fsdecode(h.data), owner, *[p.path for p in self.places(r.subject)[0]])
        return pb.CreateResponse(handle=h)

    def Verify(self, request, context):
        found = self.on_handle(request, context, b"verify")
        return pb.VerifyResponse(verified=found == "whole", bytes=-1, detail="checksum of the archive: " + found)

    def Restore(self, request, context):
        self.on_handle(request, context, b"restore")
        return pb.RestoreResponse()

    def Delete(self, request, context):
        self.on_handle(request, context, b"delete")
        return pb.DeleteResponse()

    def List(self, request, context):
        owner = (request.subject.host + "/" + request.subject.instance).encode()
        found = []
        for line in self.script(request, context, b"list", os.fsencode(self.directory), owner).splitlines():
            created, size, path = line.split(" ", 2)
            key = posixpath.basename(path)[len("pycopy+"):-len(".tar")].replace("+", "/")
            found.append(pb.Snapshot(handle=self.handle(key), created=int(created), bytes=int(size)))
        return pb.ListResponse(snapshots=found)


serve(Copies())
