// Package nextcloud knows Nextcloud: its versions and legal hops, what each
// major requires, the command lines of occ and the parsers of their output,
// and the POSIX sh scripts that carry out one step on a host.
//
// It is pure: it runs nothing, reads no clock and opens no connection.
package nextcloud
