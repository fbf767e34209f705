package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Status is what is known of a host.
type Status struct {
	Name      string   `json:"name"`
	State     string   `json:"state"` // running, cut, frozen, booting, rebooting or down
	Faults    []string `json:"faults"`
	Address   string   `json:"address"`
	Distro    string   `json:"distro"`
	DB        string   `json:"db"`
	Nextcloud string   `json:"nextcloud"` // as status.php says over HTTP, "" = no answer
	Closed    bool     `json:"maintenance"`
	Boots     int      `json:"boots"`
	Memory    int64    `json:"memory_bytes"` // of its processes, -1 = unknown
}

// Status asks every host at once.
func (l *Lab) Status(ctx context.Context) ([]Status, error) {
	hosts, err := l.Hosts()
	if err != nil {
		return nil, err
	}
	down, err := l.cables(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Status, len(hosts))
	errs := make([]error, len(hosts))
	var wait sync.WaitGroup
	for i, h := range hosts {
		wait.Go(func() { list[i], errs[i] = h.status(ctx, down[veth(h.Name)]) })
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (h *Host) status(ctx context.Context, cut bool) (Status, error) {
	s := Status{Name: h.Name, Address: h.Address, Distro: h.Distro, DB: h.DB, Memory: h.memory(), Faults: h.faults()}
	p, err := h.power()
	if err != nil {
		return s, err
	}
	s.Boots = p.Boots
	switch {
	case !p.Init.alive():
		s.State = "down"
	case h.frozen():
		s.State = "frozen"
	case cut:
		s.State = "cut"
	case p.State == powerBooting && p.Boots > 1:
		s.State = "rebooting"
	case p.State == powerBooting:
		s.State = "booting"
	default:
		s.State = "running"
		if site, err := h.Site(ctx); err == nil {
			s.Nextcloud, s.Closed = site.Version, site.Maintenance
		}
	}
	return s, nil
}

// cables says which ends of cables are down.
func (l *Lab) cables(ctx context.Context) (map[string]bool, error) {
	line, err := l.Inside("ip", "-j", "link", "show")
	if err != nil {
		return nil, err
	}
	out, err := tool(ctx, line[0], line[1:]...)
	if err != nil {
		return nil, err
	}
	var links []struct {
		Name  string   `json:"ifname"`
		Flags []string `json:"flags"`
	}
	if err := json.Unmarshal([]byte(out), &links); err != nil {
		return nil, fmt.Errorf("cannot read the lab's network: %w", err)
	}
	down := map[string]bool{}
	for _, link := range links {
		down[link.Name] = true
		for _, f := range link.Flags {
			if f == "UP" {
				down[link.Name] = false
			}
		}
	}
	return down, nil
}

// Site is a Nextcloud as its status.php describes it.
type Site struct {
	Installed   bool   `json:"installed"`
	Maintenance bool   `json:"maintenance"`
	NeedsUpdate bool   `json:"needsDbUpgrade"`
	Version     string `json:"versionstring"`
}

// Site asks the host's Nextcloud over HTTP, as a client in the lab's network.
func (h *Host) Site(ctx context.Context) (Site, error) {
	var s Site
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := h.lab.HTTP()
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL()+"/status.php", nil)
	if err != nil {
		return s, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return s, err
	}
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("status.php of %s answered %s", h.Name, resp.Status)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("cannot read status.php of %s: %w", h.Name, err)
	}
	return s, nil
}

// HTTP returns a client whose connections begin inside the lab's network.
func (l *Lab) HTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: l.Dial, MaxIdleConnsPerHost: 2}}
}

// faults lists what was done to the host and not undone, as far as neither the
// network nor the freezer shows it.
func (h *Host) faults() []string {
	data, err := os.ReadFile(h.file("faults"))
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(data), func(c rune) bool { return c == '\n' })
}
