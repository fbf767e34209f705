package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"
)

// Mail says how to send mail. Port 465 speaks TLS from the start; elsewhere
// STARTTLS is used when it is offered, and a login is never sent without it.
type Mail struct {
	Server         string // host:port
	User, Password string
	From           string
	To             []string
	TLS            *tls.Config // nil: the system's roots
}

// Send sends a message as mail.
func (c Mail) Send(ctx context.Context, m Message) error {
	host, port, err := net.SplitHostPort(c.Server)
	if err != nil {
		return Refused{err}
	}
	text, err := c.text(m)
	if err != nil {
		return Refused{err}
	}
	conf := c.TLS.Clone()
	if conf == nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	conf.ServerName = host
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.Server)
	if err != nil {
		return err
	}
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end) // a connection without deadlines would fail right below too
	}
	if port == "465" {
		conn = tls.Client(conn, conf)
	}
	client, err := smtp.NewClient(conn, host)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer client.Close()
	return final(c.say(client, conf, port == "465", text))
}

func (c Mail) say(client *smtp.Client, conf *tls.Config, secure bool, text []byte) error {
	if ok, _ := client.Extension("STARTTLS"); ok && !secure {
		if err := client.StartTLS(conf); err != nil {
			return err
		}
		secure = true
	}
	if c.User != "" {
		if !secure {
			return Refused{errors.New("it offers no encryption, and a password is not sent without")}
		}
		if err := client.Auth(smtp.PlainAuth("", c.User, c.Password, conf.ServerName)); err != nil {
			return err
		}
	}
	if err := client.Mail(c.From); err != nil {
		return err
	}
	for _, to := range c.To {
		if err := client.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = client.Quit() // it is accepted already
	return nil
}

// final marks the answers that RFC 5321 calls permanent (5yz).
func final(err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) && answer.Code/100 == 5 {
		return Refused{err}
	}
	return err
}

// text writes the message in the form of RFC 5322.
func (c Mail) text(m Message) ([]byte, error) {
	var b bytes.Buffer
	head := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	subject := "[ncfleet] " + m.Title
	if len(m.Closed) > 0 {
		subject = "[ncfleet] CLOSED TO USERS: " + m.Title
	}
	_, domain, _ := strings.Cut(c.From, "@")
	head("From", c.From)
	head("To", strings.Join(c.To, ", "))
	head("Subject", mime.QEncoding.Encode("utf-8", strings.Join(strings.Fields(subject), " ")))
	head("Date", m.At.Format(time.RFC1123Z))
	head("Message-ID", "<"+sign("ncfleet", m.ID)[:40]+"@"+domain+">")
	head("Auto-Submitted", "auto-generated")
	head("MIME-Version", "1.0")
	head("Content-Type", "text/plain; charset=utf-8")
	head("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	body := m.Plain() + fmt.Sprintf("\n\n%d upgraded, %d rolled back, %d failed, %d untouched, %d open\nRollout %s\n",
		m.Counts.Upgraded, m.Counts.RolledBack, m.Counts.Failed, m.Counts.Untouched, m.Counts.Open, m.RolloutID)
	if _, err := w.Write([]byte(strings.ReplaceAll(body, "\n", "\r\n"))); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}
