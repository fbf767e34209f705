// Package aws is the snapshot driver for instances of Amazon EC2, on the shared
// core in plugins/cloud.
//
//	driver "snapshot" "aws" {
//	  region            = "eu-central-1"
//	  access_key_id     = secret("env:NCFLEET_AWS_KEY_ID")
//	  secret_access_key = secret("env:NCFLEET_AWS_SECRET")
//	  role              = "arn:aws:iam::123456789012:role/ncfleet" # if one is to be assumed
//	}
//
// The host label cloud_id holds the instance's id or its whole Name tag.
//
// # What a snapshot is
//
// One EBS snapshot of each attached volume that holds state, and of the root
// volume. Each fixes the contents of its volume at the moment it is begun; the
// volumes follow one another within seconds, while the target is closed and
// flushed. Left out, and shown as a hole: a volume attached to several
// instances at once, and whatever lies on an instance store (its disk is none
// of the volumes of the instance).
//
// # What a restore does
//
// It makes new volumes of the snapshots, with the type, IOPS, throughput and
// tags of the captured ones, in the same zone; stops the instance; puts each
// new volume at the device of the one that it replaces, with the same
// DeleteOnTermination; and starts the instance. Private addresses and Elastic
// IPs stay. Replaced volumes are kept, and bear the tag ncfleet-key, until the
// snapshot is deleted; take that tag off a volume to keep it for good. A new
// volume reads its blocks from the snapshot when they are first used, so the
// first hours after a restore are slower.
//
// # What it refuses
//
// An instance that cannot be stopped and started as it is: in an Auto Scaling
// group (which would terminate it), a spot instance, one that boots from an
// instance store. An instance whose public address is not an Elastic IP is all
// holes, as it would lose the address, unless allow_address_change is set. What
// lies on an instance store is lost in a restore, as in every stop.
//
// Credentials come from the block alone: no environment, no shared file, no
// instance role. The driver asks by DryRun, while planning, whether they may do
// all that a restore takes.
//
// # The least policy
//
//	{"Version": "2012-10-17", "Statement": [
//	  {"Effect": "Allow", "Resource": "*", "Action": [
//	    "ec2:DescribeInstances", "ec2:DescribeVolumes", "ec2:DescribeSnapshots"]},
//	  {"Effect": "Allow", "Resource": "*", "Action": [
//	    "ec2:CreateSnapshot", "ec2:CreateVolume", "ec2:CreateTags", "ec2:DeleteTags",
//	    "ec2:StopInstances", "ec2:StartInstances", "ec2:DetachVolume", "ec2:AttachVolume",
//	    "ec2:ModifyInstanceAttribute"]},
//	  {"Effect": "Allow", "Resource": "*", "Action": ["ec2:DeleteSnapshot", "ec2:DeleteVolume"],
//	   "Condition": {"Null": {"aws:ResourceTag/ncfleet-key": "false"}}}]}
//
// The second statement is best narrowed to the fleet, by the condition that
// aws:ResourceTag of a tag of your own has your value, on instances and their
// volumes. Snapshots encrypted with a key of your own also need
// kms:CreateGrant, kms:DescribeKey, kms:Decrypt and
// kms:GenerateDataKeyWithoutPlaintext on that key.
//
// # Limits and costs
//
// EC2 begins one snapshot of a volume in 15 seconds and keeps a limit of
// snapshots and of storage for each region; the driver waits for the first and
// reports the second as a quota. The first snapshot of a volume copies all of
// it, later ones what has changed. Volumes made by a restore cost as much as
// the replaced ones, which are kept beside them.
package aws
