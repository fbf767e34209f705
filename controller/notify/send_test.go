package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func message() Message {
	return Message{FormatVersion: 1, ID: "r1/wave-canary", Occasion: Wave, Rollout: "monthly", RolloutID: "r1", At: time.Unix(1700000000, 0).UTC(),
		Wave: "canary", Title: "Wave canary passed <ü>", Text: "1 upgraded", Commands: []string{"ncfleet status"}, Closed: []string{"cloud-01"}}
}

type seen struct {
	header http.Header
	path   string
	body   string
}

// receiver answers with the codes in turn, then with 200.
func receiver(t *testing.T, codes ...int) (address string, got func() []seen) {
	t.Helper()
	var mu sync.Mutex
	var all []seen
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, seen{r.Header, r.URL.Path, string(body)})
		if n := len(all) - 1; n < len(codes) {
			w.WriteHeader(codes[n])
			fmt.Fprint(w, "no such hook")
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []seen { mu.Lock(); defer mu.Unlock(); return slices.Clone(all) }
}

func TestWebhook(t *testing.T) {
	address, got := receiver(t)
	if err := Webhook(address+"/hook", "key")(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	r := got()[0]
	var m Message
	if err := json.Unmarshal([]byte(r.body), &m); err != nil || m.Title != message().Title || m.Occasion != Wave {
		t.Errorf("body %s: %v", r.body, err)
	}
	want := "sha256=" + sign("key", r.header.Get("X-Ncfleet-Timestamp")+"."+r.body)
	if r.header.Get("X-Ncfleet-Signature") != want || r.header.Get("X-Ncfleet-Delivery") != "r1/wave-canary" || r.path != "/hook" {
		t.Errorf("headers %v", r.header)
	}
	if err := Webhook(address, "")(t.Context(), message()); err != nil || got()[1].header.Get("X-Ncfleet-Signature") != "" {
		t.Errorf("without a key: %v, %v", err, got()[1].header)
	}
}

func TestChatForms(t *testing.T) {
	address, got := receiver(t)
	if err := errors.Join(Slack(address)(t.Context(), message()), Talk(address+"/", "a/b", "key")(t.Context(), message())); err != nil {
		t.Fatal(err)
	}
	slack, talk := got()[0], got()[1]
	if !strings.Contains(slack.body, `Wave canary passed \u0026lt;ü\u0026gt;`) || !strings.Contains(slack.body, "CLOSED TO USERS") {
		t.Errorf("slack: %s", slack.body)
	}
	var body struct{ Message, ReferenceID string }
	if err := json.Unmarshal([]byte(talk.body), &body); err != nil || !strings.HasPrefix(body.Message, "Wave canary passed <ü>\n1 upgraded") || len(body.ReferenceID) != 64 {
		t.Errorf("talk: %s, %v", talk.body, err)
	}
	want := sign("key", talk.header.Get("X-Nextcloud-Talk-Bot-Random")+body.Message)
	if talk.header.Get("X-Nextcloud-Talk-Bot-Signature") != want || talk.header.Get("OCS-APIRequest") != "true" || !strings.HasSuffix(talk.path, "/bot/a/b/message") {
		t.Errorf("talk: path %s, headers %v", talk.path, talk.header)
	}
}

func TestAnswers(t *testing.T) {
	address, _ := receiver(t, 503, 429, 404, 302)
	send := Webhook(address+"/secret-token", "")
	var refused Refused
	for _, code := range []int{503, 429} {
		if err := send(t.Context(), message()); err == nil || errors.As(err, &refused) {
			t.Errorf("%d: %v, want an error that is tried again", code, err)
		}
	}
	for _, code := range []int{404, 302} {
		if err := send(t.Context(), message()); !errors.As(err, &refused) {
			t.Errorf("%d: %v, want a final error", code, err)
		}
	}
	err := Webhook("http://127.0.0.1:1/secret-token", "")(t.Context(), message())
	if err == nil || strings.Contains(err.Error(), "secret-token") {
		t.Errorf("nobody listens: %v, want an error without the address", err)
	}
}

// notified sends messages through a notifier and returns what it complains of.
func notified(t *testing.T, c Channel, messages ...Message) []string {
	t.Helper()
	var mu sync.Mutex
	var said []string
	n := New([]Channel{c}, Options{RolloutID: "r1", Pause: func(time.Duration) {},
		Complain: func(s string) { mu.Lock(); defer mu.Unlock(); said = append(said, s) }})
	n.put(messages)
	n.Close()
	return said
}

func TestDelivery(t *testing.T) {
	all := []Occasion{Wave}
	address, got := receiver(t, 503, 500)
	if said := notified(t, Channel{"webhook ops", all, Webhook(address, "")}, message()); len(said) > 0 || len(got()) != 3 {
		t.Errorf("two bad answers: said %q, %d tries", said, len(got()))
	}
	address, got = receiver(t, 500, 500, 500, 500, 500, 500)
	if said := notified(t, Channel{"webhook ops", all, Webhook(address, "")}, message()); len(said) != 1 || !strings.Contains(said[0], "webhook ops was not told") || len(got()) != tries {
		t.Errorf("bad answers only: said %q, %d tries", said, len(got()))
	}
	address, got = receiver(t, 500, 500, 500, 500, 500, 500, 200, 500)
	if said := notified(t, Channel{"webhook ops", all, Webhook(address, "")}, message(), message(), message(), message()); len(said) != 2 || len(got()) != tries+1+1+2 {
		t.Errorf("down for two messages: said %q, %d tries", said, len(got()))
	}
	address, got = receiver(t, 410)
	if said := notified(t, Channel{"webhook ops", all, Webhook(address, "")}, message()); len(said) != 1 || len(got()) != 1 {
		t.Errorf("gone: said %q, %d tries", said, len(got()))
	}
	address, got = receiver(t)
	if said := notified(t, Channel{"webhook ops", []Occasion{Decision}, Webhook(address, "")}, message()); len(said)+len(got()) != 0 {
		t.Errorf("another occasion: said %q, %d messages", said, len(got()))
	}
	slow := make(chan struct{})
	c := Channel{"slow", all, func(context.Context, Message) error { <-slow; return nil }}
	time.AfterFunc(200*time.Millisecond, func() { close(slow) })
	if said := notified(t, c, slices.Repeat([]Message{message()}, queueSize+50)...); len(said) < 45 || !strings.Contains(said[0], "100 messages wait for it already") {
		t.Errorf("a full queue: %d complaints", len(said))
	}
}

// mailServer is an SMTP server for one connection, without encryption.
func mailServer(t *testing.T, answer string) (address string, got func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		var all strings.Builder
		r := bufio.NewReader(c)
		fmt.Fprint(c, "220 mail.example.org\r\n")
		for data := false; ; {
			line, err := r.ReadString('\n')
			if err != nil {
				break
			}
			all.WriteString(line)
			switch {
			case data && line != ".\r\n":
				continue
			case strings.HasPrefix(line, "EHLO"):
				fmt.Fprint(c, "250-mail.example.org\r\n250 8BITMIME\r\n")
			case strings.HasPrefix(line, "RCPT"):
				fmt.Fprint(c, answer)
			case strings.HasPrefix(line, "DATA"):
				data = true
				fmt.Fprint(c, "354 go on\r\n")
				continue
			default:
				fmt.Fprint(c, "250 ok\r\n")
			}
			data = false
		}
		text <- all.String()
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), func() string { return <-text }
}

func TestMail(t *testing.T) {
	address, got := mailServer(t, "250 ok\r\n")
	m := Mail{Server: address, From: "ncfleet@example.org", To: []string{"a@example.org", "b@example.org"}}
	if err := m.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	text := got()
	for _, want := range []string{"MAIL FROM:<ncfleet@example.org>", "RCPT TO:<b@example.org>", "Subject: =?utf-8?q?[ncfleet]_CLOSED_TO_USERS:_Wave_canary_passed_<=C3=BC>?=",
		"Message-ID: <", "Auto-Submitted: auto-generated", "1 upgraded\r\n", "0 upgraded, 0 rolled back"} {
		if !strings.Contains(text, want) {
			t.Errorf("the mail has no %q:\n%s", want, text)
		}
	}
	var refused Refused
	address, _ = mailServer(t, "550 no such user\r\n")
	m.Server = address
	if err := m.Send(t.Context(), message()); !errors.As(err, &refused) {
		t.Errorf("an unknown recipient: %v, want a final error", err)
	}
	address, _ = mailServer(t, "451 later\r\n")
	m.Server = address
	if err := m.Send(t.Context(), message()); err == nil || errors.As(err, &refused) {
		t.Errorf("greylisted: %v, want an error that is tried again", err)
	}
	address, got = mailServer(t, "250 ok\r\n")
	m.Server, m.User, m.Password = address, "ncfleet", "hunter2"
	if err := m.Send(t.Context(), message()); !errors.As(err, &refused) || !strings.Contains(err.Error(), "a password is not sent without") || strings.Contains(got(), "AUTH") {
		t.Errorf("no encryption: %v", err)
	}
}
