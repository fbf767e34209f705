package aws

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// rehearse asks EC2, by calls that change nothing (DryRun), whether the
// credentials may do all that a snapshot and a restore take. So a missing
// permission turns the plan red and is not met while an instance is stopped.
// An instance is asked about once in the life of the driver's process.
func (p *provider) rehearse(ctx context.Context, i types.Instance, volumes []types.Volume) error {
	p.mu.Lock()
	known := p.rehearsed[*i.InstanceId]
	p.mu.Unlock()
	if known || len(volumes) == 0 {
		return nil
	}
	var missing []string
	for _, c := range p.trials(i, volumes[0]) {
		err := c.call(ctx)
		if isCode(err, "DryRunOperation") {
			continue
		}
		err = typed(ctx, err, "ask whether the credentials may call ec2:"+c.action)
		switch driver.ClassOf(err) {
		case driver.Auth:
			missing = append(missing, "ec2:"+c.action)
		case driver.Retryable:
			return err
		}
		// Any other answer says nothing about the permission.
	}
	if len(missing) > 0 {
		return driver.Errorf(driver.Auth, "the credentials of the driver's block lack what a snapshot and a restore of instance %s take: allow them %s (the least policy stands in the driver's documentation)",
			*i.InstanceId, strings.Join(missing, ", "))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rehearsed[*i.InstanceId] = true
	return nil
}

type trial struct {
	action string
	call   func(ctx context.Context) error
}

func (p *provider) trials(i types.Instance, v types.Volume) []trial {
	dry, id, volume, at := aws.Bool(true), i.InstanceId, v.VolumeId, aws.String(device(v, *i.InstanceId))
	all := []trial{
		{"CreateSnapshot", func(ctx context.Context) error {
			_, err := p.ec2.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{DryRun: dry, VolumeId: volume})
			return err
		}},
		{"CreateTags", func(ctx context.Context) error {
			_, err := p.ec2.CreateTags(ctx, &ec2.CreateTagsInput{DryRun: dry, Resources: []string{*volume}, Tags: []types.Tag{{Key: aws.String(tagFrom), Value: aws.String("")}}})
			return err
		}},
		{"CreateVolume", func(ctx context.Context) error {
			_, err := p.ec2.CreateVolume(ctx, &ec2.CreateVolumeInput{DryRun: dry, Size: aws.Int32(1), AvailabilityZone: i.Placement.AvailabilityZone})
			return err
		}},
		{"StopInstances", func(ctx context.Context) error {
			_, err := p.ec2.StopInstances(ctx, &ec2.StopInstancesInput{DryRun: dry, InstanceIds: []string{*id}})
			return err
		}},
		{"StartInstances", func(ctx context.Context) error {
			_, err := p.ec2.StartInstances(ctx, &ec2.StartInstancesInput{DryRun: dry, InstanceIds: []string{*id}})
			return err
		}},
		{"DetachVolume", func(ctx context.Context) error {
			_, err := p.ec2.DetachVolume(ctx, &ec2.DetachVolumeInput{DryRun: dry, VolumeId: volume, InstanceId: id, Device: at})
			return err
		}},
		{"AttachVolume", func(ctx context.Context) error {
			_, err := p.ec2.AttachVolume(ctx, &ec2.AttachVolumeInput{DryRun: dry, VolumeId: volume, InstanceId: id, Device: at})
			return err
		}},
		{"ModifyInstanceAttribute", func(ctx context.Context) error {
			_, err := p.ec2.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{DryRun: dry, InstanceId: id,
				BlockDeviceMappings: []types.InstanceBlockDeviceMappingSpecification{{DeviceName: at, Ebs: &types.EbsInstanceBlockDeviceSpecification{DeleteOnTermination: aws.Bool(true)}}}})
			return err
		}},
		{"DeleteTags", func(ctx context.Context) error {
			_, err := p.ec2.DeleteTags(ctx, &ec2.DeleteTagsInput{DryRun: dry, Resources: []string{*volume}, Tags: []types.Tag{{Key: aws.String(tagFrom)}}})
			return err
		}},
	}
	return all
}
