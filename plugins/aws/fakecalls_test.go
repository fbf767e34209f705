package aws

import (
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query reads EC2's numbered parameters.
type query struct{ url.Values }

func (q query) list(prefix string) []string {
	var all []string
	for i := 1; q.Has(prefix + "." + strconv.Itoa(i)); i++ {
		all = append(all, q.Get(prefix+"."+strconv.Itoa(i)))
	}
	return all
}

func (q query) tags(prefix string) map[string]string {
	tags := map[string]string{}
	for i := 1; q.Has(fmt.Sprintf("%s.%d.Key", prefix, i)); i++ {
		p := fmt.Sprintf("%s.%d.", prefix, i)
		tags[q.Get(p+"Key")] = q.Get(p + "Value")
	}
	return tags
}

// matches applies the filters; plain holds what is no tag.
func (q query) matches(plain map[string]string, tags map[string]string) bool {
	for i := 1; q.Has(fmt.Sprintf("Filter.%d.Name", i)); i++ {
		name, values := q.Get(fmt.Sprintf("Filter.%d.Name", i)), q.list(fmt.Sprintf("Filter.%d.Value", i))
		key, isTag := strings.CutPrefix(name, "tag:")
		got, ok := plain[name]
		switch {
		case isTag:
			got, ok = tags[key], true
			if _, has := tags[key]; !has {
				return false
			}
		case name == "tag-key":
			if _, has := tags[values[0]]; !has {
				return false
			}
			continue
		}
		if !ok || !slices.Contains(values, got) {
			return false
		}
	}
	return true
}

// do carries out one call; code is that of an error, whose message is body.
func (f *fakeEC2) do(action string, q query) (body, code string) {
	switch action {
	case "DescribeInstances", "DescribeVolumes", "DescribeSnapshots":
		return f.list(action, q)
	case "CreateSnapshot":
		v := f.volume(q.Get("VolumeId"))
		if v == nil {
			return "no such volume", "InvalidVolume.NotFound"
		}
		s := &fakeSnapshot{object: object{id: f.id("snap"), tags: q.tags("TagSpecification.1.Tag"), made: time.Now(), late: f.late}, volume: v.id, content: v.content, gib: v.gib}
		f.change(&s.object, "pending", "completed")
		f.snapshots = append(f.snapshots, s)
		return s.xml(), ""
	case "DeleteSnapshot":
		n := len(f.snapshots)
		f.snapshots = slices.DeleteFunc(f.snapshots, func(s *fakeSnapshot) bool { return s.id == q.Get("SnapshotId") })
		if len(f.snapshots) == n {
			return "no such snapshot", "InvalidSnapshot.NotFound"
		}
		return "<return>true</return>", ""
	case "CreateVolume":
		return f.createVolume(q)
	case "DeleteVolume":
		v := f.volume(q.Get("VolumeId"))
		if v == nil {
			return "no such volume", "InvalidVolume.NotFound"
		}
		if v.instance != "" {
			return "in use", "VolumeInUse"
		}
		f.volumes = slices.DeleteFunc(f.volumes, func(o *fakeVolume) bool { return o == v })
		return "<return>true</return>", ""
	case "CreateTags", "DeleteTags":
		return f.tag(action, q)
	}
	return f.machine(action, q)
}

func (f *fakeEC2) createVolume(q query) (body, code string) {
	if v := f.tokens[q.Get("ClientToken")]; v != nil {
		return v.xml(), ""
	}
	i := slices.IndexFunc(f.snapshots, func(s *fakeSnapshot) bool { return s.id == q.Get("SnapshotId") })
	if i < 0 {
		return "no such snapshot", "InvalidSnapshot.NotFound"
	}
	s := f.snapshots[i]
	if s.state != "completed" {
		return "the snapshot is pending", "IncorrectState"
	}
	v := &fakeVolume{object: object{id: f.id("vol"), tags: q.tags("TagSpecification.1.Tag"), made: time.Now(), late: f.late},
		content: s.content, kind: q.Get("VolumeType"), iops: q.Get("Iops"), throughput: q.Get("Throughput"), gib: s.gib, from: s.id}
	f.change(&v.object, "creating", "available")
	f.volumes = append(f.volumes, v)
	if t := q.Get("ClientToken"); t != "" {
		f.tokens[t] = v
	}
	return v.xml(), ""
}

func (f *fakeEC2) tag(action string, q query) (body, code string) {
	for _, id := range q.list("ResourceId") {
		v := f.volume(id)
		if v == nil {
			return "no such volume", "InvalidVolume.NotFound"
		}
		for k, value := range q.tags("Tag") {
			if action == "DeleteTags" {
				delete(v.tags, k)
			} else {
				v.tags[k] = value
			}
		}
	}
	return "<return>true</return>", ""
}

// machine is what is done to an instance.
func (f *fakeEC2) machine(action string, q query) (body, code string) {
	id := q.Get("InstanceId")
	if strings.HasSuffix(action, "Instances") {
		id = q.Get("InstanceId.1")
	}
	i, v := f.instance(id), f.volume(q.Get("VolumeId"))
	if i == nil {
		return "no such instance", "InvalidInstanceID.NotFound"
	}
	switch action {
	case "StopInstances":
		if i.state == "running" {
			f.change(&i.object, "stopping", "stopped")
		}
	case "StartInstances":
		if i.state != "stopped" {
			return "not stopped: " + i.state, "IncorrectInstanceState"
		}
		if i.at[rootDevice] == "" {
			return "no volume at the root device", "InvalidParameterValue"
		}
		i.launch = time.Now()
		f.change(&i.object, "pending", "running")
	case "AttachVolume", "DetachVolume":
		if v == nil {
			return "no such volume", "InvalidVolume.NotFound"
		}
		if i.state != "stopped" {
			return "the instance is " + i.state, "IncorrectInstanceState"
		}
		return f.attachment(action, i, v, q.Get("Device"))
	case "ModifyInstanceAttribute":
		device := q.Get("BlockDeviceMapping.1.DeviceName")
		if i.at[device] == "" {
			return "nothing at " + device, "InvalidInstanceAttributeValue"
		}
		i.terminate[device] = q.Get("BlockDeviceMapping.1.Ebs.DeleteOnTermination") == "true"
	default:
		return "the fake does not know " + action, "InvalidAction"
	}
	return "<return>true</return>", ""
}

func (f *fakeEC2) attachment(action string, i *fakeInstance, v *fakeVolume, device string) (body, code string) {
	if action == "DetachVolume" {
		if v.instance != i.id || v.attachment != "attached" {
			return "the volume is " + v.state, "IncorrectState"
		}
		f.change(&v.object, "in-use", "available")
		v.attachment = "detaching"
		v.settle(f)
		return "<status>detaching</status>", ""
	}
	if v.state != "available" {
		return "the volume is " + v.state, "VolumeInUse"
	}
	if i.at[device] != "" {
		return device + " is already in use", "InvalidParameterValue"
	}
	v.instance, v.device, v.attachment = i.id, device, "attaching"
	i.at[device], i.terminate[device] = v.id, false
	f.change(&v.object, "in-use", "in-use")
	v.settle(f)
	return "<status>attaching</status>", ""
}

// settle ends a change of the attachment that is through.
func (v *fakeVolume) settle(f *fakeEC2) {
	switch {
	case v.then != "":
	case v.attachment == "attaching":
		v.attachment = "attached"
	case v.attachment == "detaching":
		i := f.instance(v.instance)
		delete(i.at, v.device)
		delete(i.terminate, v.device)
		v.instance, v.device, v.attachment = "", "", ""
	}
}

// list answers in pages of two, as EC2 may.
func (f *fakeEC2) list(action string, q query) (body, code string) {
	var items []string
	set := "volumeSet"
	switch action {
	case "DescribeInstances":
		set = "reservationSet"
		ids := q.list("InstanceId")
		for _, i := range f.instances {
			i.look()
			if (len(ids) == 0 || slices.Contains(ids, i.id)) && q.matches(nil, i.tags) {
				items = append(items, "<instancesSet><item>"+i.xml(f)+"</item></instancesSet>")
			}
		}
		if len(ids) > 0 && len(items) == 0 {
			return "no such instance", "InvalidInstanceID.NotFound"
		}
	case "DescribeVolumes":
		for _, v := range f.volumes {
			v.look()
			v.settle(f)
			plain := map[string]string{"volume-id": v.id, "status": v.state}
			if v.instance != "" {
				plain["attachment.instance-id"] = v.instance
			}
			if q.matches(plain, v.tags) && v.shown() {
				items = append(items, v.xml())
			}
		}
	case "DescribeSnapshots":
		set = "snapshotSet"
		for _, s := range f.snapshots {
			s.look()
			if q.matches(map[string]string{"snapshot-id": s.id}, s.tags) && s.shown() {
				items = append(items, s.xml())
			}
		}
	}
	from, _ := strconv.Atoi(q.Get("NextToken"))
	from = min(from, len(items))
	to := min(from+2, len(items))
	body = fmt.Sprintf("<%s><item>%s</item></%s>", set, strings.Join(items[from:to], "</item><item>"), set)
	if from == to {
		body = "<" + set + "/>"
	}
	if to < len(items) {
		body += "<nextToken>" + strconv.Itoa(to) + "</nextToken>"
	}
	return body, ""
}

func tagXML(tags map[string]string) string {
	var b strings.Builder
	for k, v := range tags {
		b.WriteString("<item><key>")
		_ = xml.EscapeText(&b, []byte(k))
		b.WriteString("</key><value>")
		_ = xml.EscapeText(&b, []byte(v))
		b.WriteString("</value></item>")
	}
	return "<tagSet>" + b.String() + "</tagSet>"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (i *fakeInstance) xml(f *fakeEC2) string {
	disks := ""
	for d, v := range i.at {
		disks += fmt.Sprintf("<item><deviceName>%s</deviceName><ebs><volumeId>%s</volumeId><deleteOnTermination>%v</deleteOnTermination></ebs></item>", d, v, i.terminate[d])
	}
	return fmt.Sprintf("<instanceId>%s</instanceId><instanceState><name>%s</name></instanceState><privateIpAddress>%s</privateIpAddress><launchTime>%s</launchTime>"+
		"<rootDeviceName>%s</rootDeviceName><rootDeviceType>ebs</rootDeviceType><placement><availabilityZone>eu-test-1a</availabilityZone></placement><blockDeviceMapping>%s</blockDeviceMapping>%s%s",
		i.id, i.state, i.address, stamp(i.launch), rootDevice, disks, tagXML(i.tags), i.extra)
}

func (v *fakeVolume) xml() string {
	attachments := ""
	for _, id := range []string{v.instance, v.also} {
		if id != "" {
			attachments += fmt.Sprintf("<item><volumeId>%s</volumeId><instanceId>%s</instanceId><device>%s</device><status>%s</status></item>", v.id, id, v.device, v.attachment)
		}
	}
	numbers := ""
	if v.iops != "" {
		numbers += "<iops>" + v.iops + "</iops>"
	}
	if v.throughput != "" {
		numbers += "<throughput>" + v.throughput + "</throughput>"
	}
	return fmt.Sprintf("<volumeId>%s</volumeId><size>%d</size><status>%s</status><createTime>%s</createTime><volumeType>%s</volumeType>%s<attachmentSet>%s</attachmentSet>%s",
		v.id, v.gib, v.state, stamp(v.made), v.kind, numbers, attachments, tagXML(v.tags))
}

func (s *fakeSnapshot) xml() string {
	return fmt.Sprintf("<snapshotId>%s</snapshotId><volumeId>%s</volumeId><status>%s</status><startTime>%s</startTime><volumeSize>%d</volumeSize>%s",
		s.id, s.volume, s.state, stamp(s.made), s.gib, tagXML(s.tags))
}
