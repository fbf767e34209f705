package aws

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

// moto is an EC2 of moto's with one instance, behind a lineage: moto knows no
// contents of disks, so the lineage keeps what each volume and snapshot would
// hold.
type moto struct {
	*httptest.Server
	client   *ec2.Client // past the lineage
	instance string

	mu      sync.Mutex
	content map[string]string // by id of a volume or a snapshot
	boots   int
}

// startMoto runs a moto server until the test ends.
func startMoto(t *testing.T) *moto {
	t.Helper()
	program := os.Getenv("NCFLEET_MOTO_SERVER")
	if program == "" {
		var err error
		if program, err = exec.LookPath("moto_server"); err != nil {
			t.Skip("no moto_server in PATH or NCFLEET_MOTO_SERVER (pip install 'moto[server,ec2]'): the fake EC2 alone is tried")
		}
	}
	cmd := exec.CommandContext(t.Context(), program, "-H", "127.0.0.1", "-p", "0")
	cmd.Env = append(os.Environ(), "MOTO_EC2_LOAD_DEFAULT_AMIS=false") // they make every list slow
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start moto: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	found := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if m := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`).FindString(lines.Text()); m != "" {
				select {
				case found <- m:
				default:
				}
			}
		}
	}()
	var endpoint string
	select {
	case endpoint = <-found:
	case <-time.After(time.Minute):
		t.Fatal("moto does not say where it listens")
	}
	m := &moto{content: map[string]string{}}
	m.client = ec2.New(ec2.Options{Region: "eu-central-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("AKIAGOOD", "s3cret", "")})
	m.Server = httptest.NewServer(m.lineage(endpoint))
	t.Cleanup(m.Close)
	m.fill(t)
	return m
}

// fill makes the instance.
func (m *moto) fill(t *testing.T) {
	t.Helper()
	out, err := m.client.RunInstances(t.Context(), &ec2.RunInstancesInput{ImageId: aws.String("ami-12345678"), MinCount: aws.Int32(1), MaxCount: aws.Int32(1), InstanceType: types.InstanceTypeT3Small,
		// moto calls a public address that a stop takes away an Elastic IP.
		NetworkInterfaces: []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), AssociatePublicIpAddress: aws.Bool(false)}},
		BlockDeviceMappings: []types.BlockDeviceMapping{
			{DeviceName: aws.String(rootDevice), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(8), VolumeType: types.VolumeTypeGp3, DeleteOnTermination: aws.Bool(true)}},
			{DeviceName: aws.String("/dev/sdf"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(100), VolumeType: types.VolumeTypeGp2, DeleteOnTermination: aws.Bool(false)}}},
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: awsTags(map[string]string{"Name": "cloud-07"})}}})
	if err != nil {
		t.Fatal(err)
	}
	m.instance = *out.Instances[0].InstanceId
	for _, v := range m.attached(t) {
		m.content[*v.VolumeId] = "as installed"
	}
}

func (m *moto) attached(t *testing.T) []types.Volume {
	t.Helper()
	out, err := m.client.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{Filters: []types.Filter{filter("attachment.instance-id", m.instance)}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Volumes
}

// state describes the instance and what is on its disks.
func (m *moto) state(t *testing.T) string {
	t.Helper()
	out, err := m.client.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{m.instance}})
	if err != nil {
		t.Fatal(err)
	}
	i := out.Reservations[0].Instances[0]
	terminate := map[string]bool{}
	for _, b := range i.BlockDeviceMappings {
		terminate[*b.Ebs.VolumeId] = *b.Ebs.DeleteOnTermination
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for _, v := range m.attached(t) {
		lines = append(lines, fmt.Sprintf("%s %q %s %d GiB terminate=%v", device(v, m.instance), m.content[*v.VolumeId], v.VolumeType, *v.Size, terminate[*v.VolumeId]))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%s %s\n%s\n", i.State.Name, *i.PrivateIpAddress, strings.Join(lines, "\n"))
}

func (m *moto) change(t *testing.T) {
	volumes := m.attached(t)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range volumes {
		m.content[*v.VolumeId] += " upgraded"
	}
}

// kept counts what bears the key.
func (m *moto) kept(t *testing.T, key string) (snapshots, volumes int) {
	t.Helper()
	filters := []types.Filter{filter("tag:"+cloud.TagKey, key)}
	s, err := m.client.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	v, err := m.client.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	return len(s.Snapshots), len(v.Volumes)
}

var snapshotOf, volumeOf = regexp.MustCompile(`<snapshotId>(snap-[0-9a-f]+)<`), regexp.MustCompile(`<volumeId>(vol-[0-9a-f]+)<`)

// lineage passes calls on to moto.
func (m *moto) lineage(endpoint string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		q, _ := url.ParseQuery(string(body))
		m.mu.Lock()
		defer m.mu.Unlock()
		request, err := http.NewRequestWithContext(r.Context(), r.Method, endpoint+r.URL.RequestURI(), strings.NewReader(string(body)))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		request.Header, request.Host = r.Header.Clone(), r.Host
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		if answer.StatusCode == http.StatusOK {
			m.follow(q, string(text))
		}
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(text)
	})
}

// follow keeps what a call did to contents.
func (m *moto) follow(q url.Values, answer string) {
	first := func(of *regexp.Regexp) string {
		if found := of.FindStringSubmatch(answer); found != nil {
			return found[1]
		}
		return "?"
	}
	switch q.Get("Action") {
	case "CreateSnapshot":
		m.content[first(snapshotOf)] = m.content[q.Get("VolumeId")]
	case "CreateVolume":
		m.content[first(volumeOf)] = m.content[q.Get("SnapshotId")]
	case "StartInstances":
		m.boots++
	}
}

func TestMotoConformance(t *testing.T) {
	m := startMoto(t)
	for name, newOne := range map[string]func(*testing.T) driver.Snapshotter{
		"in process": inProcess,
		"binary":     cloudtest.Binary(t, "../../cmd/ncfleet-driver-aws"),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "in process" && !all() {
				t.Skip("the binary shows as much; NCFLEET_FAULTS=all runs both")
			}
			drivertest.Snapshotter(t, drivertest.Snapshots{New: newOne, Config: config(m.URL), Subject: subject("cloud-07"), Runner: host{}, Change: m.change, State: m.state})
			left, err := m.client.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{Filters: []types.Filter{filter("status", "available")}})
			if err != nil || len(left.Volumes) > 0 {
				t.Errorf("volumes are left behind: %v, error %v", left, err)
			}
		})
	}
}

func TestMotoFaults(t *testing.T) {
	if !all() {
		t.Skip("moto takes minutes for this, and the fake EC2 gets every fault; NCFLEET_FAULTS=all tries moto too")
	}
	m := startMoto(t)
	proxy := cloudtest.NewProxy(t, m.URL)
	proxy.Action = form
	faults := []cloudtest.Fault{cloudtest.TooMany, cloudtest.Lost, cloudtest.Cut, cloudtest.Killed}
	cloudtest.Run(t, cloudtest.Target{
		New: inProcess, Config: config(proxy.URL), Subject: subject("cloud-07"), Runner: host{}, Proxy: proxy,
		Change: m.change, State: m.state, Kept: m.kept, Want: 2, Kinds: faults,
		Boots: func(*testing.T) int {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.boots
		},
	})
}
