package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// do makes one call, and a typed error of what it returned.
func do(ctx context.Context, what string, call func(context.Context) error) error {
	return cloud.Do(ctx, what, func(ctx context.Context) error {
		err := call(ctx)
		var refused gophercloud.ErrUnexpectedResponseCode
		if !errors.As(err, &refused) {
			return err
		}
		said := message(refused.Body)
		switch {
		case refused.Actual == http.StatusRequestEntityTooLarge,
			refused.Actual == http.StatusForbidden && strings.Contains(strings.ToLower(said), "quota"):
			return driver.Errorf(driver.Quota, "cannot %s: %s; delete what is not needed, or ask the cloud's operator for a higher quota", what, said)
		case refused.Actual == http.StatusBadRequest && passes(said):
			return &driver.Error{Class: driver.Retryable, Message: fmt.Sprintf("cannot %s: %s", what, said), After: time.Second}
		case said != "":
			return fmt.Errorf("%d: %s", refused.Actual, said)
		}
		return fmt.Errorf("the answer was %d", refused.Actual)
	})
}

// passes reports whether a bad request is one only because a volume or a
// snapshot is busy.
func passes(said string) bool {
	return strings.Contains(said, "tatus must be") || strings.Contains(said, "status is currently")
}

// message is the sentence in an error's body: {"badRequest": {"message": …}}.
func message(body []byte) string {
	var kinds map[string]json.RawMessage
	if json.Unmarshal(body, &kinds) != nil {
		return ""
	}
	for _, raw := range kinds {
		var e struct{ Message string }
		if json.Unmarshal(raw, &e) == nil && e.Message != "" {
			return e.Message
		}
	}
	return ""
}
