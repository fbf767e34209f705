# Holds the locks of dnf and of rpm as a dnf that installs does, for argv[1]
# seconds, and says so.
import fcntl, os, sys, time
import dnf.lock

with dnf.lock.build_rpmdb_lock("/var/lib/dnf", True), open("/var/lib/rpm/.rpm.lock", "a+") as rpm:
    fcntl.lockf(rpm, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open("/run/lab-lock", "w") as said:
        print(os.getpid(), file=said)
    time.sleep(int(sys.argv[1]))
os.unlink("/run/lab-lock")
