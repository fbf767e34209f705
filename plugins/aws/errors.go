package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// busy are the codes of answers that a later call may not get, with the
// earliest sensible time for it. Every other 5xx answer, and no answer at all,
// counts as busy too.
var busy = map[string]time.Duration{
	"RequestLimitExceeded":                    2 * time.Second,
	"Throttling":                              2 * time.Second,
	"ThrottlingException":                     2 * time.Second,
	"EC2ThrottledException":                   2 * time.Second,
	"SlowDown":                                2 * time.Second,
	"SnapshotCreationPerVolumeRateExceeded":   15 * time.Second,
	"ConcurrentSnapshotLimitExceeded":         time.Minute,
	"InsufficientInstanceCapacity":            time.Minute,
	"InsufficientCapacity":                    time.Minute,
	"InsufficientHostCapacity":                time.Minute,
	"InsufficientVolumeCapacity":              time.Minute,
	"IncorrectState":                          5 * time.Second,
	"IncorrectInstanceState":                  5 * time.Second,
	"VolumeInUse":                             5 * time.Second,
	"ConcurrentCreateVolumeLimitExceeded":     time.Minute,
	"VolumeModificationRateExceeded":          time.Minute,
	"ResourceContention":                      5 * time.Second,
	"IdempotentRequestStillProcessingRequest": 5 * time.Second,
}

var limits = []string{
	"SnapshotLimitExceeded", "VolumeLimitExceeded", "VolumeIOPSLimit", "MaxIOPSLimitExceeded", "ResourceLimitExceeded",
	"VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "AttachmentLimitExceeded", "TagLimitExceeded",
}

var refusals = []string{
	"AuthFailure", "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "InvalidAccessKeyId",
	"UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException", "ExpiredToken", "ExpiredTokenException",
	"RequestExpired", "MissingAuthenticationToken", "MissingAuthenticationTokenException", "IncompleteSignature", "OptInRequired", "Blocked", "PendingVerification",
}

// typed makes a typed error of what the SDK returned. doing completes "cannot".
func typed(ctx context.Context, err error, doing string) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		if status(err) == 0 && !transport(err) && ctx.Err() == nil {
			return driver.Errorf(driver.Permanent, "cannot %s: %v", doing, err)
		}
		return cloud.Refusal(doing, unsure(err), after(err), err)
	}
	code := api.ErrorCode()
	text := fmt.Sprintf("cannot %s: %s: %s", doing, code, short(api.ErrorMessage()))
	pause, isBusy := busy[code]
	switch {
	case isBusy:
		return &driver.Error{Class: driver.Retryable, Message: text, After: max(pause, after(err))}
	case slices.Contains(limits, code):
		return driver.Errorf(driver.Quota, "%s; delete what is not needed, or have the limit raised in the Service Quotas console", text)
	case slices.Contains(refusals, code):
		return driver.Errorf(driver.Auth, "%s; %s", text, remedy(err, code))
	case strings.HasSuffix(code, ".NotFound"):
		return driver.Errorf(driver.NotFound, "%s", text)
	case code == "OperationNotPermitted":
		return driver.Errorf(driver.Permanent, "%s; is stop protection on for the instance?", text)
	}
	return cloud.Refusal(doing, status(err), after(err), err)
}

// remedy says what a person does about a refused call.
func remedy(err error, code string) string {
	switch code {
	case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException":
		var op *smithy.OperationError
		if errors.As(err, &op) {
			return fmt.Sprintf("allow %s:%s to the credentials of the driver's block (the least policy stands in the driver's documentation)",
				strings.ToLower(op.ServiceID), op.OperationName)
		}
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return "give a fresh session_token, and check the clock of this machine"
	}
	return "check access_key_id, secret_access_key and session_token of the driver's block, and that the account may use the region"
}

// short cuts the encoded blob that AWS appends to a refusal: it fills the
// screen, and only holders of another permission can read it.
func short(message string) string {
	if i := strings.Index(message, "Encoded authorization failure"); i >= 0 {
		message = message[:i]
	}
	return strings.TrimRight(strings.TrimSpace(message), ".")
}

// status is the HTTP status of the answer, 0 when there was none.
func status(err error) int {
	var r *awshttp.ResponseError
	if errors.As(err, &r) && r.Response != nil {
		return r.HTTPStatusCode()
	}
	return 0
}

// unsure is the status of an answer that could not be read: a success that was
// cut short counts as no answer.
func unsure(err error) int {
	if n := status(err); n >= 400 {
		return n
	}
	return 0
}

// after is how long the answer asks to wait.
func after(err error) time.Duration {
	var r *awshttp.ResponseError
	if errors.As(err, &r) && r.Response != nil {
		return cloud.RetryAfter(r.Response.Header, time.Now())
	}
	return 0
}

// transport reports whether the call failed on its way: it may have taken
// effect or not.
func transport(err error) bool {
	var send interface{ ConnectionError() bool }
	var cut *smithy.DeserializationError
	return errors.As(err, &send) || errors.As(err, &cut)
}

func isCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}
