package driver

import (
	"errors"
	"fmt"
	"time"
)

// Class says what an error means for the caller.
type Class string

// The classes of error. An unclassified error counts as Permanent.
const (
	Retryable Class = "retryable" // the same call may succeed later
	Quota     Class = "quota"     // a limit of the provider; people must act or wait
	Auth      Class = "auth"      // credentials are missing, wrong or too weak
	NotFound  Class = "not_found"
	Permanent Class = "permanent"
	Panicked  Class = "panicked" // the driver's own bug; the outcome is unknown
)

// Error is a driver's typed error. It crosses the wire whole.
type Error struct {
	Class   Class
	Message string        // what happened, where, and how to fix it
	After   time.Duration // for Retryable and Quota: earliest sensible retry, 0 unknown
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Errorf makes a typed error.
func Errorf(c Class, format string, a ...any) *Error {
	return &Error{Class: c, Message: fmt.Sprintf(format, a...)}
}

// ClassOf returns the class of the first *Error in err's chain, Permanent when
// there is none and "" for nil.
func ClassOf(err error) Class {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Permanent
}
