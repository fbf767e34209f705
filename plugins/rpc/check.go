package rpc

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Limits of what a driver answers, far above what an honest one needs. More is
// refused as a whole: half an answer would be taken for a whole one.
const (
	maxItems   = 20000     // of any list, such as pending changes
	maxText    = 32 << 10  // bytes of any one text; the rest is cut
	maxArg     = 128 << 10 // bytes of one word of a command line, as on Linux
	maxArgv    = 1 << 20   // bytes of one command line
	maxHandleB = 64 << 10  // bytes of a handle's data: every one goes into the journal
)

// plain makes text of a driver fit for a terminal, a log and the journal: no
// escape codes, no text that runs the other way, and never endless.
func plain(s string) string {
	return clip(strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x2028, r == 0x2029:
			return '\uFFFD'
		}
		return r
	}, text(s)), maxText)
}

// cleanAnswer is an interceptor: what a driver answers is made plain, and
// refused when it is too much, before anybody sees it.
func cleanAnswer(ctx context.Context, method string, req, answer any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, answer, conn, opts...)
	m, ok := answer.(proto.Message)
	if err != nil || !ok {
		return err
	}
	if err := cleanMessage(m.ProtoReflect()); err != nil {
		return toStatus(driver.Errorf(driver.Permanent, "cannot use the answer of %s: %v; this is a bug of the driver", path.Base(method), err))
	}
	return nil
}

func cleanMessage(m protoreflect.Message) (err error) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList():
			err = cleanList(f, v.List())
		case f.IsMap():
			if v.Map().Len() > maxItems {
				err = fmt.Errorf("%d items of %s, at most %d are accepted", v.Map().Len(), f.Name(), maxItems)
			}
		case f.Kind() == protoreflect.MessageKind:
			err = cleanMessage(v.Message())
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(plain(v.String())))
		}
		return err == nil
	})
	return err
}

func cleanList(f protoreflect.FieldDescriptor, l protoreflect.List) error {
	if l.Len() > maxItems {
		return fmt.Errorf("%d items of %s, at most %d are accepted", l.Len(), f.Name(), maxItems)
	}
	for i := range l.Len() {
		switch f.Kind() {
		case protoreflect.MessageKind:
			if err := cleanMessage(l.Get(i).Message()); err != nil {
				return err
			}
		case protoreflect.StringKind:
			l.Set(i, protoreflect.ValueOfString(plain(l.Get(i).String())))
		}
	}
	return nil
}

var (
	envName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	userName = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_.@-]*\$?)?$`)
)

// checkCommand refuses a command line that cannot mean what it says once it is
// quoted for a shell.
func checkCommand(c driver.Command) error {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return driver.Errorf(driver.Permanent, "a command without a program")
	}
	total := 0
	for _, a := range c.Argv {
		total += len(a) + 1
		if strings.ContainsRune(a, 0) || len(a) > maxArg || total > maxArgv {
			return driver.Errorf(driver.Permanent, "a command line (of %s) with a NUL byte or longer than %d KiB a word, %d KiB in all", plain(clip(c.Argv[0], 40)), maxArg>>10, maxArgv>>10)
		}
	}
	for k, v := range c.Env {
		if !envName.MatchString(k) || strings.ContainsRune(v, 0) || len(v) > maxArg {
			return driver.Errorf(driver.Permanent, "a command (%s) with the environment variable %q, which no shell can set so", plain(clip(c.Argv[0], 40)), clip(k, 40))
		}
	}
	if !userName.MatchString(c.User) || c.Dir != "" && !path.IsAbs(c.Dir) || strings.ContainsRune(c.Dir, 0) {
		return driver.Errorf(driver.Permanent, "a command (%s) for user %q in folder %q", plain(clip(c.Argv[0], 40)), clip(c.User, 40), clip(c.Dir, 80))
	}
	return nil
}

func (c *client) badAnswer(method string, format string, a ...any) error {
	return driver.Errorf(driver.Permanent, "driver %q: %s answered with %s; this is a bug of the driver", c.name, method, fmt.Sprintf(format, a...))
}

// checkedCommands passes commands on when all of them can be run.
func (c *client) checkedCommands(method string, lists ...[]driver.Command) error {
	for _, list := range lists {
		for _, command := range list {
			if err := checkCommand(command); err != nil {
				return c.badAnswer(method, "%v", err)
			}
		}
	}
	return nil
}

// checkHandle wants the handle of the very snapshot that was asked for.
func (c *client) checkHandle(h driver.Handle, key string) error {
	switch {
	case h.Zero():
		return c.badAnswer("Create", "no handle")
	case h.Key != key:
		return c.badAnswer("Create", "a handle of the key %q, not %q", clip(h.Key, 200), key)
	case len(h.Data) > maxHandleB:
		return c.badAnswer("Create", "a handle of %d bytes, at most %d are accepted", len(h.Data), maxHandleB)
	}
	return nil
}

func (c *client) checkFacts(f driver.PackageFacts) error {
	for _, p := range f.Pending {
		switch p.Change {
		case driver.ChangeUpdate, driver.ChangeUpgrade, driver.ChangeInstall, driver.ChangeRemove:
		default:
			return c.badAnswer("Facts", "the unknown change %q of %s", p.Change, p.Name)
		}
	}
	return nil
}
