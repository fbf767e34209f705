// Package openstack is the snapshot driver for servers of OpenStack (Nova with
// Cinder and Glance), on the shared core in plugins/cloud.
//
//	driver "snapshot" "openstack" {
//	  auth_url                      = "https://keystone.example:5000/v3"
//	  application_credential_id     = secret("env:NCFLEET_OS_ID")
//	  application_credential_secret = secret("env:NCFLEET_OS_SECRET")
//	  region                        = "one"
//	}
//
// The host label cloud_id holds the server's id or its whole name.
//
// # What a snapshot is
//
// An image of the server's own root disk (Nova's createImage), and one Cinder
// snapshot of each attached volume that holds state. They are begun within
// seconds of each other, while the target is closed and flushed.
//
// Left out, and shown as a hole: the boot volume of a server that boots from a
// volume, as Nova exchanges no boot volume of a server; a volume that several
// servers share; ephemeral disks beside the root disk. A site on a server that
// boots from a volume can be covered when it lies on another volume, database
// included, and its rollouts change no packages.
//
// # What a restore does
//
// It makes new volumes of the snapshots, with the type and zone of the old
// ones; stops the server; puts each new volume at the device of the one that
// it replaces; rebuilds the server from its image; and starts it. The server's
// id, ports and addresses stay. Cinder's own "revert to snapshot" is not used:
// it takes the last snapshot alone, and no volume that is attached.
//
// A rebuild runs cloud-init with the same instance id as before. Replaced
// volumes are kept, and bear the metadata ncfleet-key, until the snapshot is
// deleted; take that off a volume to keep it for good. Cinder deletes no volume
// that has snapshots: one that has a later key's goes with that key, and one that
// has a person's is left to the person. An attachment with
// delete_on_termination loses that property, so that a volume is kept rather
// than lost.
//
// # Permissions, limits, costs
//
// The role member of the project is enough; the driver needs no rights of an
// administrator. An application credential may be restricted to the calls
// servers (list, show, actions createImage, rebuild, os-stop, os-start),
// os-volume_attachments, volumes, snapshots and images of the project.
//
// Snapshots, volumes and images count against the project's quotas; a restore
// needs room for a second copy of each volume. On Ceph without flattening, a
// snapshot cannot be deleted while a volume that was made of it exists. Images
// of running servers can take minutes for each 10 GiB; that time is spent with
// the target closed, as the image must be usable before anything is changed.
package openstack
