package aws

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Tags of a snapshot, beside those of the core: what a volume made from it
// needs in order to be like the one that it replaces.
const (
	tagDevice     = "ncfleet-device"
	tagTerminate  = "ncfleet-delete-on-termination"
	tagType       = "ncfleet-volume-type"
	tagIOPS       = "ncfleet-iops"
	tagThroughput = "ncfleet-throughput"
)

// maxPages bounds the pages of one list: 100,000 entries.
const maxPages = 100

type provider struct {
	ec2                *ec2.Client
	allowAddressChange bool

	mu        sync.Mutex
	rehearsed map[string]bool // by instance id
}

// Check implements cloud.Provider.
func (p *provider) Check(ctx context.Context) error {
	_, err := p.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{MaxResults: aws.Int32(5)})
	return typed(ctx, err, "list instances")
}

var instanceID = regexp.MustCompile(`^i-[0-9a-f]{8,17}$`)

// Machine implements cloud.Provider: ref is an instance id or the whole Name tag.
func (p *provider) Machine(ctx context.Context, ref string) (cloud.Machine, error) {
	i, err := p.find(ctx, ref)
	if err != nil {
		return cloud.Machine{}, err
	}
	m := cloud.Machine{ID: *i.InstanceId, Name: cmp.Or(tag(i.Tags, "Name"), *i.InstanceId), State: string(i.State.Name), Addresses: addresses(i)}
	if i.State.Name == types.InstanceStateNameRunning {
		m.State = cloud.Running
	}
	if err := refused(i); err != nil {
		return m, err
	}
	volumes, err := p.attached(ctx, m.ID)
	if err != nil {
		return m, err
	}
	if err := p.rehearse(ctx, i, volumes); err != nil {
		return m, err
	}
	lost := p.lostAddress(i)
	for _, v := range volumes {
		u := cloud.Unit{ID: *v.VolumeId, Device: device(v, m.ID), Serial: strings.ReplaceAll(*v.VolumeId, "-", ""),
			GiB: int64(aws.ToInt32(v.Size)), Left: lost, Replaced: true}
		u.Boot = u.Device == aws.ToString(i.RootDeviceName)
		if len(v.Attachments) > 1 {
			u.Left = fmt.Sprintf("volume %s is attached to %d instances at once (Multi-Attach); a restore would pull it from under the others", u.ID, len(v.Attachments))
		}
		m.Units = append(m.Units, u)
	}
	return m, nil
}

// find returns the one instance of that id or Name tag.
func (p *provider) find(ctx context.Context, ref string) (types.Instance, error) {
	if instanceID.MatchString(ref) {
		return p.instance(ctx, ref)
	}
	// In a filter's value * and ? stand for other characters.
	value := regexp.MustCompile(`[*?\\]`).ReplaceAllString(ref, `\$0`)
	all, err := p.instances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("tag:Name"), Values: []string{value}}}}, "find the instance with the Name tag "+ref)
	if err != nil {
		return types.Instance{}, err
	}
	all = slices.DeleteFunc(all, func(i types.Instance) bool { return gone(i) || tag(i.Tags, "Name") != ref })
	switch len(all) {
	case 0:
		return types.Instance{}, driver.Errorf(driver.NotFound, "no instance has the Name tag %q in this region", ref)
	case 1:
		return all[0], nil
	}
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = *all[i].InstanceId
	}
	slices.Sort(ids)
	return types.Instance{}, driver.Errorf(driver.Permanent, "%d instances have the Name tag %q: %s; name the one that is meant by its id", len(all), ref, strings.Join(ids, ", "))
}

func (p *provider) instance(ctx context.Context, id string) (types.Instance, error) {
	all, err := p.instances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}}, "read instance "+id)
	if err != nil {
		return types.Instance{}, err
	}
	if len(all) != 1 || gone(all[0]) {
		return types.Instance{}, driver.Errorf(driver.NotFound, "instance %s does not exist in this region, or is terminated", id)
	}
	return all[0], nil
}

func (p *provider) instances(ctx context.Context, in *ec2.DescribeInstancesInput, doing string) ([]types.Instance, error) {
	var all []types.Instance
	for range maxPages {
		out, err := p.ec2.DescribeInstances(ctx, in)
		if err != nil {
			return nil, typed(ctx, err, doing)
		}
		for _, r := range out.Reservations {
			all = append(all, r.Instances...)
		}
		if aws.ToString(out.NextToken) == "" {
			return all, nil
		}
		in.NextToken = out.NextToken
	}
	return nil, driver.Errorf(driver.Permanent, "cannot %s: more than %d pages", doing, maxPages)
}

func gone(i types.Instance) bool {
	return i.State == nil || i.State.Name == types.InstanceStateNameTerminated || i.State.Name == types.InstanceStateNameShuttingDown
}

// refused says why the instance can never be stopped and started, as a restore
// must.
func refused(i types.Instance) error {
	if group := tag(i.Tags, "aws:autoscaling:groupName"); group != "" {
		return driver.Errorf(driver.Permanent, "instance %s belongs to the Auto Scaling group %s, which terminates an instance that is stopped: detach it from the group, or use a snapshot driver on the host", *i.InstanceId, group)
	}
	if i.InstanceLifecycle != "" {
		return driver.Errorf(driver.Permanent, "instance %s is a %s instance, which cannot be counted on to start again after a stop: use a snapshot driver on the host", *i.InstanceId, i.InstanceLifecycle)
	}
	if i.RootDeviceType == types.DeviceTypeInstanceStore {
		return driver.Errorf(driver.Permanent, "instance %s boots from an instance store and can be neither stopped nor captured: use a snapshot driver on the host", *i.InstanceId)
	}
	return nil
}

// lostAddress says which public address the machine would not have any more
// after a restore, which stops it; "" if all stay.
func (p *provider) lostAddress(i types.Instance) string {
	if p.allowAddressChange {
		return ""
	}
	for _, n := range i.NetworkInterfaces {
		if a := n.Association; a != nil && aws.ToString(a.IpOwnerId) == amazon {
			return fmt.Sprintf("a restore stops instance %s, which then loses its public address %s: associate an Elastic IP, or set allow_address_change = true if the host is not reached there",
				*i.InstanceId, aws.ToString(a.PublicIp))
		}
	}
	return ""
}

// amazon owns public addresses that an instance has only until it is stopped.
const amazon = "amazon"

// addresses are those that a stopped instance keeps.
func addresses(i types.Instance) []string {
	var all []string
	for _, a := range []*string{i.PrivateIpAddress, i.Ipv6Address} {
		if aws.ToString(a) != "" {
			all = append(all, *a)
		}
	}
	for _, n := range i.NetworkInterfaces {
		if a := n.Association; a != nil && aws.ToString(a.IpOwnerId) != amazon && aws.ToString(a.PublicIp) != "" {
			all = append(all, *a.PublicIp)
		}
	}
	return all
}

// attached returns the volumes of an instance, sorted by device.
func (p *provider) attached(ctx context.Context, instance string) ([]types.Volume, error) {
	all, err := p.volumes(ctx, "read the volumes of instance "+instance, filter("attachment.instance-id", instance))
	slices.SortFunc(all, func(a, b types.Volume) int { return strings.Compare(device(a, instance), device(b, instance)) })
	return all, err
}

func (p *provider) volumes(ctx context.Context, doing string, filters ...types.Filter) ([]types.Volume, error) {
	var all []types.Volume
	in := &ec2.DescribeVolumesInput{Filters: filters}
	for range maxPages {
		out, err := p.ec2.DescribeVolumes(ctx, in)
		if err != nil {
			return nil, typed(ctx, err, doing)
		}
		all = append(all, out.Volumes...)
		if aws.ToString(out.NextToken) == "" {
			return all, nil
		}
		in.NextToken = out.NextToken
	}
	return nil, driver.Errorf(driver.Permanent, "cannot %s: more than %d pages", doing, maxPages)
}

// device is where the volume is attached to that instance, "" if it is not.
func device(v types.Volume, instance string) string {
	for _, a := range v.Attachments {
		if aws.ToString(a.InstanceId) == instance && a.State != types.VolumeAttachmentStateDetached {
			return aws.ToString(a.Device)
		}
	}
	return ""
}

// Begin implements cloud.Provider.
func (p *provider) Begin(ctx context.Context, m cloud.Machine, u cloud.Unit, t cloud.Tags) (cloud.Snap, error) {
	i, err := p.instance(ctx, m.ID)
	if err != nil {
		return cloud.Snap{}, err
	}
	volumes, err := p.volumes(ctx, "read volume "+u.ID, filter("volume-id", u.ID))
	if err != nil {
		return cloud.Snap{}, err
	}
	if len(volumes) != 1 {
		return cloud.Snap{}, driver.Errorf(driver.NotFound, "volume %s of instance %s does not exist any more", u.ID, m.ID)
	}
	tags := t.Map()
	describe(tags, volumes[0], i)
	out, err := p.ec2.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{
		VolumeId:    &u.ID,
		Description: aws.String("ncfleet: " + t.Host + " before an update"),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot,
			Tags: awsTags(tags)}},
	})
	if err != nil {
		return cloud.Snap{}, typed(ctx, err, "begin a snapshot of volume "+u.ID)
	}
	return cloud.Snap{ID: aws.ToString(out.SnapshotId), Unit: u.ID, Key: t.Key, Machine: t.Machine, Host: t.Host,
		State: cloud.Pending, Created: aws.ToTime(out.StartTime)}, nil
}

// describe adds what a volume made from the snapshot needs to know.
func describe(tags map[string]string, v types.Volume, i types.Instance) {
	tags[tagType] = string(v.VolumeType)
	if n := aws.ToInt32(v.Iops); n > 0 && slices.Contains([]types.VolumeType{types.VolumeTypeGp3, types.VolumeTypeIo1, types.VolumeTypeIo2}, v.VolumeType) {
		tags[tagIOPS] = strconv.Itoa(int(n))
	}
	if n := aws.ToInt32(v.Throughput); n > 0 && v.VolumeType == types.VolumeTypeGp3 {
		tags[tagThroughput] = strconv.Itoa(int(n))
	}
	for _, b := range i.BlockDeviceMappings {
		if b.Ebs != nil && aws.ToString(b.Ebs.VolumeId) == *v.VolumeId {
			tags[tagDevice] = aws.ToString(b.DeviceName)
			tags[tagTerminate] = strconv.FormatBool(aws.ToBool(b.Ebs.DeleteOnTermination))
		}
	}
}

// Snaps implements cloud.Provider.
func (p *provider) Snaps(ctx context.Context, f cloud.Filter) ([]cloud.Snap, error) {
	filters := []types.Filter{filter("tag-key", cloud.TagKey)}
	if f.Key != "" {
		filters = append(filters, filter("tag:"+cloud.TagKey, f.Key))
	}
	if f.Machine != "" {
		filters = append(filters, filter("tag:"+cloud.TagMachine, f.Machine))
	}
	snapshots, err := p.snapshots(ctx, "list snapshots", &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, Filters: filters})
	if err != nil {
		return nil, err
	}
	var all []cloud.Snap
	for _, n := range snapshots {
		s := cloud.Snap{ID: *n.SnapshotId, State: cloud.Pending, Created: aws.ToTime(n.StartTime), Bytes: int64(aws.ToInt32(n.VolumeSize)) << 30}
		switch n.State {
		case types.SnapshotStateCompleted:
			s.State = cloud.Ready
		case types.SnapshotStateError:
			s.State = cloud.Failed
		}
		if n.StorageTier == types.StorageTierArchive { // somebody put it where no volume can be made from it
			s.State = cloud.Pending
		}
		all = add(all, s, n.Tags)
	}
	volumes, err := p.volumes(ctx, "list volumes left by restores", append(filters, filter("status", "available", "error"))...)
	if err != nil {
		return nil, err
	}
	for _, v := range volumes {
		s := cloud.Snap{ID: *v.VolumeId, State: cloud.Retained, Created: aws.ToTime(v.CreateTime), Bytes: int64(aws.ToInt32(v.Size)) << 30}
		all = add(all, s, v.Tags)
	}
	return all, nil
}

// add appends what bears the core's tags.
func add(all []cloud.Snap, s cloud.Snap, tags []types.Tag) []cloud.Snap {
	t, ok := cloud.ReadTags(tagMap(tags))
	if !ok {
		return all
	}
	s.Key, s.Unit, s.Machine, s.Host = t.Key, t.Unit, t.Machine, t.Host
	return append(all, s)
}

func (p *provider) snapshots(ctx context.Context, doing string, in *ec2.DescribeSnapshotsInput) ([]types.Snapshot, error) {
	var all []types.Snapshot
	for range maxPages {
		out, err := p.ec2.DescribeSnapshots(ctx, in)
		if err != nil {
			return nil, typed(ctx, err, doing)
		}
		all = append(all, out.Snapshots...)
		if aws.ToString(out.NextToken) == "" {
			return all, nil
		}
		in.NextToken = out.NextToken
	}
	return nil, driver.Errorf(driver.Permanent, "cannot %s: more than %d pages", doing, maxPages)
}

// Delete implements cloud.Provider.
func (p *provider) Delete(ctx context.Context, s cloud.Snap) error {
	if s.State == cloud.Retained {
		_, err := p.ec2.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: &s.ID})
		if isCode(err, "InvalidVolume.NotFound") {
			return nil
		}
		return typed(ctx, err, "delete volume "+s.ID)
	}
	_, err := p.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &s.ID})
	switch {
	case isCode(err, "InvalidSnapshot.NotFound"):
		return nil
	case isCode(err, "InvalidSnapshot.InUse"):
		return driver.Errorf(driver.Permanent, "cannot delete snapshot %s: an image was made of it; deregister the image first", s.ID)
	}
	return typed(ctx, err, "delete snapshot "+s.ID)
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: &name, Values: values}
}

func tag(tags []types.Tag, key string) string { return tagMap(tags)[key] }

func tagMap(tags []types.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}

// awsTags is sorted, so that the same tags make the same request.
func awsTags(m map[string]string) []types.Tag {
	var all []types.Tag
	for k, v := range m {
		all = append(all, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	slices.SortFunc(all, func(a, b types.Tag) int { return strings.Compare(*a.Key, *b.Key) })
	return all
}
