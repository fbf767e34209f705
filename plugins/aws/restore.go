package aws

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Tags of a volume that a restore made. While it waits to be attached it bears
// the core's tags too, and is deleted with its snapshot; they go to the volume
// that it replaces.
const (
	tagFrom     = "ncfleet-from"     // the snapshot
	tagReplaces = "ncfleet-replaces" // the volume at its device before
	tagLaunch   = "ncfleet-launch"   // when the instance had last been started
)

const (
	replaced = "replaced" // tagFrom of a volume that a restore took off
	none     = "none"     // tagReplaces where nothing was at the device
)

// mostTags is how many tags a volume can bear.
const mostTags = 50

// restore is one call of Restore.
type restore struct {
	*provider
	stages   cloud.Stages
	instance types.Instance // as it was when the call began
	id       string
	swaps    []*swap
}

// swap puts a volume made from a snapshot in the place of another.
type swap struct {
	snap   cloud.Snap
	tags   map[string]string // of the snapshot
	device string
	old    *types.Volume // what is or was at the device; nil when there is nothing
	oldID  string        // known even when the volume itself is gone
	fresh  string        // the volume made from the snapshot, "" until there is one
	done   bool          // fresh is at its device already
}

// Restore implements cloud.Provider. The new volumes are made and waited for
// while the instance still runs, so that it is down for the exchange alone.
func (p *provider) Restore(ctx context.Context, m cloud.Machine, snaps []cloud.Snap, stages cloud.Stages) error {
	r := &restore{provider: p, stages: stages, id: m.ID}
	if err := r.look(ctx, snaps); err != nil {
		return err
	}
	for _, s := range r.swaps {
		if err := stages.Call(ctx, func(ctx context.Context) error { return r.create(ctx, s) }); err != nil {
			return err
		}
	}
	for _, s := range r.swaps {
		if err := r.created(ctx, s); err != nil {
			return err
		}
	}
	if err := r.stop(ctx); err != nil {
		return err
	}
	for _, s := range r.swaps {
		if err := r.exchange(ctx, s); err != nil {
			return err
		}
	}
	return r.start(ctx)
}

// look finds out what each snapshot replaces, and what an earlier call of this
// restore has done.
func (r *restore) look(ctx context.Context, snaps []cloud.Snap) error {
	var err error
	if r.instance, err = r.provider.instance(ctx, r.id); err != nil {
		return err
	}
	if err := refused(r.instance); err != nil {
		return err
	}
	attached, err := r.attached(ctx, r.id)
	if err != nil {
		return err
	}
	ids := make([]string, len(snaps))
	for i, s := range snaps {
		ids[i] = s.ID
	}
	details, err := r.snapshots(ctx, "read the snapshots", &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, Filters: []types.Filter{filter("snapshot-id", ids...)}})
	if err != nil {
		return err
	}
	made, err := r.volumes(ctx, "find volumes made by earlier calls", filter("tag:"+tagFrom, ids...))
	if err != nil {
		return err
	}
	for _, n := range snaps {
		i := slices.IndexFunc(details, func(d types.Snapshot) bool { return aws.ToString(d.SnapshotId) == n.ID })
		if i < 0 {
			return driver.Errorf(driver.NotFound, "snapshot %s of volume %s is gone", n.ID, n.Unit)
		}
		s := &swap{snap: n, tags: tagMap(details[i].Tags)}
		if s.device = s.tags[tagDevice]; s.device == "" {
			return driver.Errorf(driver.Permanent, "snapshot %s has lost its tag %s: set it to the device of volume %s on instance %s (\"/dev/sda1\")", n.ID, tagDevice, n.Unit, r.id)
		}
		r.settle(s, attached, made)
		r.swaps = append(r.swaps, s)
	}
	return nil
}

// settle matches one swap with what there is.
//
// A volume that was made from the snapshot counts only if it cannot have been
// written to: the instance has not been started since it was made, and it is
// free, or was attached while the instance was stopped.
func (r *restore) settle(s *swap, attached, made []types.Volume) {
	launch := r.launch()
	down := r.instance.State.Name == types.InstanceStateNameStopped || r.instance.State.Name == types.InstanceStateNameStopping
	for i, v := range attached {
		if device(v, r.id) != s.device {
			continue
		}
		t := tagMap(v.Tags)
		if down && t[tagFrom] == s.snap.ID && t[tagLaunch] == launch {
			s.fresh, s.oldID, s.done = *v.VolumeId, t[tagReplaces], true
			return
		}
		s.old, s.oldID = &attached[i], *v.VolumeId
	}
	for _, v := range made {
		t := tagMap(v.Tags)
		if len(v.Attachments) > 0 || t[tagFrom] != s.snap.ID || v.State != types.VolumeStateAvailable && v.State != types.VolumeStateCreating {
			continue
		}
		// With nothing at the device an earlier call took the old volume away.
		if t[tagLaunch] == launch && (s.old != nil && t[tagReplaces] == s.oldID || s.old == nil && down) {
			s.fresh, s.oldID = *v.VolumeId, t[tagReplaces]
			return
		}
	}
}

func (r *restore) launch() string {
	return aws.ToTime(r.instance.LaunchTime).UTC().Format(time.RFC3339)
}

// create makes the volume unless it is there. The client token makes a repeated
// call harmless where the list runs late.
func (r *restore) create(ctx context.Context, s *swap) error {
	if s.fresh != "" {
		return nil
	}
	if made, err := r.volumes(ctx, "find volumes made by earlier calls", filter("tag:"+tagFrom, s.snap.ID), filter("tag:"+tagReplaces, cmp.Or(s.oldID, none))); err != nil {
		return err
	} else if i := slices.IndexFunc(made, func(v types.Volume) bool {
		return len(v.Attachments) == 0 && tagMap(v.Tags)[tagLaunch] == r.launch() && v.State != types.VolumeStateError
	}); i >= 0 {
		s.fresh = *made[i].VolumeId
		return nil
	}
	out, err := r.ec2.CreateVolume(ctx, r.request(s))
	if err != nil {
		return typed(ctx, err, "make a volume of snapshot "+s.snap.ID)
	}
	s.fresh = aws.ToString(out.VolumeId)
	return nil
}

// request asks for a volume like the one that was captured, in the instance's
// zone. Encryption and its key come with the snapshot.
func (r *restore) request(s *swap) *ec2.CreateVolumeInput {
	tags := map[string]string{}
	if s.old != nil {
		for k, v := range tagMap(s.old.Tags) {
			if !strings.HasPrefix(k, "aws:") && !strings.HasPrefix(k, "ncfleet-") && len(tags) < mostTags-15 {
				tags[k] = v
			}
		}
	}
	t := r.stages.Tags
	t.Unit = s.snap.Unit
	t.Created = s.snap.Created // the same in a repeated call
	for k, v := range t.Map() {
		tags[k] = v
	}
	tags[tagFrom], tags[tagReplaces], tags[tagLaunch] = s.snap.ID, cmp.Or(s.oldID, none), r.launch()
	in := &ec2.CreateVolumeInput{SnapshotId: &s.snap.ID, AvailabilityZone: r.instance.Placement.AvailabilityZone,
		VolumeType: types.VolumeType(s.tags[tagType]), Iops: number(s.tags[tagIOPS]), Throughput: number(s.tags[tagThroughput]),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeVolume, Tags: awsTags(tags)}}}
	b, _ := json.Marshal([]any{r.id, in.SnapshotId, in.VolumeType, in.Iops, in.Throughput, tags}) // plain data: it cannot fail
	sum := sha256.Sum256(b)
	in.ClientToken = aws.String(hex.EncodeToString(sum[:]))
	return in
}

func number(s string) *int32 {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return nil
	}
	return aws.Int32(int32(n))
}

// created waits for the new volume. One that cannot be encrypted disappears.
func (r *restore) created(ctx context.Context, s *swap) error {
	seen := false
	return r.stages.Wait(ctx, "volume "+s.fresh+" to be made", func(ctx context.Context) (bool, error) {
		all, err := r.volumes(ctx, "read volume "+s.fresh, filter("volume-id", s.fresh))
		if err != nil {
			return false, err
		}
		if len(all) == 0 {
			if seen {
				return false, driver.Errorf(driver.Permanent, "volume %s, made of snapshot %s, is gone again: if the snapshot is encrypted, may the credentials use its KMS key?", s.fresh, s.snap.ID)
			}
			return false, nil
		}
		seen = true
		if all[0].State == types.VolumeStateError {
			return false, driver.Errorf(driver.Permanent, "volume %s, made of snapshot %s, failed: see the console of EC2; delete the volume and try again", s.fresh, s.snap.ID)
		}
		return all[0].State == types.VolumeStateAvailable || all[0].State == types.VolumeStateInUse, nil
	})
}

// stop shuts the instance down in an orderly way and waits for it.
func (r *restore) stop(ctx context.Context) error {
	return r.reach(ctx, "to stop", types.InstanceStateNameStopped, func(i types.Instance) error {
		if i.State.Name != types.InstanceStateNameRunning && i.State.Name != types.InstanceStateNamePending {
			return nil
		}
		_, err := r.ec2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{r.id}})
		return typed(ctx, err, "stop instance "+r.id)
	})
}

// startTries bounds the starts of an instance that stops again by itself.
const startTries = 3

func (r *restore) start(ctx context.Context) error {
	tries := 0
	return r.reach(ctx, "to run", types.InstanceStateNameRunning, func(i types.Instance) error {
		if i.State.Name != types.InstanceStateNameStopped {
			return nil
		}
		if tries++; tries > startTries {
			why := ""
			if i.StateReason != nil {
				why = aws.ToString(i.StateReason.Message)
			}
			return driver.Errorf(driver.Permanent, "instance %s stops again as soon as it is started: %s", r.id, why)
		}
		_, err := r.ec2.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{r.id}})
		return typed(ctx, err, "start instance "+r.id)
	})
}

// reach looks at the instance, pushes it when it is at rest in another state,
// and waits until it is in the wanted one.
func (r *restore) reach(ctx context.Context, what string, want types.InstanceStateName, push func(types.Instance) error) error {
	return r.stages.Wait(ctx, "instance "+r.id+" "+what, func(ctx context.Context) (bool, error) {
		i, err := r.provider.instance(ctx, r.id)
		if err != nil {
			return false, err
		}
		if i.State.Name == want {
			return true, nil
		}
		return false, push(i)
	})
}

// exchange takes the old volume off the stopped instance and attaches the new
// one at the same device.
func (r *restore) exchange(ctx context.Context, s *swap) error {
	err := r.stages.Wait(ctx, "volume "+s.fresh+" to be attached to instance "+r.id, func(ctx context.Context) (bool, error) {
		attached, err := r.attached(ctx, r.id)
		if err != nil {
			return false, err
		}
		i := slices.IndexFunc(attached, func(v types.Volume) bool { return device(v, r.id) == s.device })
		switch {
		case i < 0:
			return false, r.attach(ctx, s)
		case *attached[i].VolumeId == s.fresh:
			return state(attached[i], r.id) == types.VolumeAttachmentStateAttached, nil
		case state(attached[i], r.id) == types.VolumeAttachmentStateDetaching:
			return false, nil
		}
		s.oldID = *attached[i].VolumeId
		_, err = r.ec2.DetachVolume(ctx, &ec2.DetachVolumeInput{VolumeId: &s.oldID, InstanceId: &r.id, Device: &s.device})
		return false, typed(ctx, err, "detach volume "+s.oldID+" from instance "+r.id)
	})
	if err != nil {
		return err
	}
	return r.stages.Call(ctx, func(ctx context.Context) error { return r.keepTermination(ctx, s) })
}

// attach hands the core's tags from the new volume to the old one, now that
// the old one is free, and attaches the new one. A volume in use never bears
// the tags by which Delete finds what to delete. The machine is down: only
// failures that pass may hold up its way back.
func (r *restore) attach(ctx context.Context, s *swap) error {
	if s.oldID != "" && s.oldID != none {
		t := r.stages.Tags
		t.Unit = s.snap.Unit
		tags := t.Map()
		tags[tagFrom] = replaced
		_, err := r.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{s.oldID}, Tags: awsTags(tags)})
		if err = typed(ctx, err, "tag volume "+s.oldID); driver.ClassOf(err) == driver.Retryable {
			return err
		}
	}
	_, err := r.ec2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{s.fresh}, Tags: []types.Tag{{Key: aws.String(cloud.TagKey)}}})
	if err = typed(ctx, err, "take the tag "+cloud.TagKey+" off volume "+s.fresh); err != nil {
		return err
	}
	_, err = r.ec2.AttachVolume(ctx, &ec2.AttachVolumeInput{VolumeId: &s.fresh, InstanceId: &r.id, Device: &s.device})
	return typed(ctx, err, "attach volume "+s.fresh+" to instance "+r.id)
}

// state is the state of the volume's attachment to that instance.
func state(v types.Volume, instance string) types.VolumeAttachmentState {
	for _, a := range v.Attachments {
		if aws.ToString(a.InstanceId) == instance {
			return a.State
		}
	}
	return types.VolumeAttachmentStateDetached
}

// keepTermination gives the attachment the DeleteOnTermination of the captured
// one; a fresh attachment has none.
func (r *restore) keepTermination(ctx context.Context, s *swap) error {
	want := s.tags[tagTerminate] == "true"
	i, err := r.provider.instance(ctx, r.id)
	if err != nil {
		return err
	}
	for _, b := range i.BlockDeviceMappings {
		if aws.ToString(b.DeviceName) == s.device && b.Ebs != nil && aws.ToBool(b.Ebs.DeleteOnTermination) == want {
			return nil
		}
	}
	_, err = r.ec2.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: &r.id,
		BlockDeviceMappings: []types.InstanceBlockDeviceMappingSpecification{{DeviceName: &s.device,
			Ebs: &types.EbsInstanceBlockDeviceSpecification{DeleteOnTermination: &want, VolumeId: &s.fresh}}}})
	return typed(ctx, err, "set DeleteOnTermination of "+s.device+" on instance "+r.id)
}
