// Package lab keeps a fleet of realistic hosts on one Linux machine: each is a
// systemd-nspawn container with systemd as PID 1, a data disk, an address and an
// OpenSSH server of its own, a real package tool (apt; dnf or zypper in a layer
// over the Debian that all share), PHP-FPM, nginx, cron, a database and an
// installed Nextcloud.
//
// All of it lives in one mount and one network namespace, kept by one process,
// the holder (Serve). The machine's own network and mounts are not touched, and
// when the holder and its hosts end, namespaces, mounts and loop devices go with
// them. What a lab is made of is written down in its folder before it is made;
// Down works from that and from the lab's control groups alone, so that it also
// removes what a crash or half an Up left.
//
// The package refuses to run without root, on other systems than Linux, over a
// lab that is up already, and to end a process that it did not start. It holds
// no rules of rollouts and knows ncfleet by its inventory language only.
package lab
