package remote

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed" // for the script
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

//go:embed scripts/upload.sh
var uploadScript string

// UploadRequest is a file for a host.
type UploadRequest struct {
	Path string // absolute; missing folders are made
	User string // writes and owns the file; "" the login user
	Mode uint32 // permission bits; 0 means 0600
	Size int64
	// SHA256 in hexadecimal is checked on the host before the file takes its
	// place; empty means that it and Size are taken from the content first.
	SHA256 string
	// Token, when set, is checked on the host before anything is written and
	// again before the file takes its place; only root may look at the lease.
	Token string
	// Open returns the content; it may be called more than once.
	Open func() (io.ReadCloser, error)
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Upload puts a file on the host: written beside its place, checked, renamed.
// Nothing is sent when the file is there already. It is repeated when the
// connection breaks, which is safe.
func (h *Host) Upload(ctx context.Context, r UploadRequest) error {
	fail := func(err error) error {
		return fmt.Errorf("cannot upload %s to host %s: %w", r.Path, h.config.label(), err)
	}
	r.Path = path.Clean(r.Path)
	if !path.IsAbs(r.Path) || r.Path == "/" {
		return fail(errors.New("the path is not that of an absolute file"))
	}
	if r.Mode == 0 {
		r.Mode = 0o600
	}
	if r.SHA256 == "" {
		if err := r.measure(); err != nil {
			return fail(err)
		}
	}
	r.SHA256 = strings.ToLower(r.SHA256)
	if !sha256Hex.MatchString(r.SHA256) {
		return fail(fmt.Errorf("%q is not a SHA-256 in hexadecimal", r.SHA256))
	}
	if err := h.settle(ctx); err != nil {
		return err
	}
	if r.Token != "" {
		if err := checkToken(r.Token); err != nil {
			return fail(err)
		}
		if r.User != "root" {
			return fail(fmt.Errorf("under a lease only root writes files, not %q", r.User))
		}
		r.User = h.config.root()
	}
	const tries = 3
	for try := 1; ; try++ {
		err := h.uploadOnce(ctx, &r)
		if err == nil {
			return nil
		}
		var unknown *OutcomeUnknown
		if !errors.As(err, &unknown) || ctx.Err() != nil || try == tries {
			return fail(retitle(err, "the upload script"))
		}
	}
}

func (r *UploadRequest) measure() error {
	in, err := r.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	sum := sha256.New()
	r.Size, err = io.Copy(sum, in)
	r.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return err
}

func (h *Host) uploadOnce(ctx context.Context, r *UploadRequest) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	argv := []string{"sh", "-c", compact(libScript + fenceScript + uploadScript), "ncfleet", h.config.stateDir(), "x", r.Path, r.SHA256,
		strconv.FormatInt(r.Size, 10), strconv.FormatUint(uint64(r.Mode&0o7777), 8), r.Token}
	answer, said := io.Pipe()
	content := &lazyContent{open: r.Open, wanted: make(chan struct{}), never: ctx.Done()}
	const longest = 100 // lines of an answer
	verdict := make(chan []string, 1)
	go func() {
		var said []string
		lines := bufio.NewScanner(answer)
		for lines.Scan() && len(said) < longest {
			if lines.Text() == "want" {
				content.start()
				continue
			}
			said = append(said, lines.Text())
		}
		io.Copy(io.Discard, answer)
		verdict <- said
	}()
	errs := &buffer{limit: peekLimit}
	exit, err := h.stream(ctx, driver.Command{Argv: argv, User: r.User}, &streams{stdin: content, stdout: said, stderr: errs})
	stop()
	said.Close()
	lines := <-verdict
	if openErr := content.close(); openErr != nil {
		return openErr
	}
	if err != nil {
		return err
	}
	if err := h.config.refused(refusal(lines)); err != nil {
		return err
	}
	last := ""
	if len(lines) > 0 {
		last = lines[len(lines)-1]
	}
	reason, failed := strings.CutPrefix(last, "fail ")
	switch {
	case last == "have", last == "done":
		return nil
	case failed:
		return errors.New(reason)
	default:
		return fmt.Errorf("the host's answer makes no sense: %q (exit status %d, %s)", last, exit, strings.TrimSpace(string(errs.bytes())))
	}
}
