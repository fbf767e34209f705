package nextcloud

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// AppInfo is the part of an app's appinfo/info.xml that decides whether it
// fits. A bound is "" when the app declares none.
type AppInfo struct {
	ID           string
	Name         string
	Version      string
	MinNextcloud string
	MaxNextcloud string
	MinPHP       string
	MaxPHP       string
}

// ParseInfoXML reads appinfo/info.xml.
func ParseInfoXML(src []byte) (AppInfo, error) {
	var raw struct {
		XMLName xml.Name `xml:"info"`
		ID      string   `xml:"id"`
		Name    []string `xml:"name"`
		Version string   `xml:"version"`
		Depend  struct {
			Nextcloud bounds `xml:"nextcloud"`
			PHP       bounds `xml:"php"`
		} `xml:"dependencies"`
	}
	d := xml.NewDecoder(bytes.NewReader(src))
	d.Strict = false
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	if err := d.Decode(&raw); err != nil {
		return AppInfo{}, fmt.Errorf("cannot read info.xml: %w", err)
	}
	if strings.TrimSpace(raw.ID) == "" {
		return AppInfo{}, errors.New("cannot read info.xml: it has no id")
	}
	a := AppInfo{
		ID: strings.TrimSpace(raw.ID), Version: strings.TrimSpace(raw.Version),
		MinNextcloud: raw.Depend.Nextcloud.Min, MaxNextcloud: raw.Depend.Nextcloud.Max,
		MinPHP: raw.Depend.PHP.Min, MaxPHP: raw.Depend.PHP.Max,
	}
	if len(raw.Name) > 0 {
		a.Name = strings.TrimSpace(raw.Name[0])
	}
	return a, nil
}

type bounds struct {
	Min string `xml:"min-version,attr"`
	Max string `xml:"max-version,attr"`
}
