package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller"
	"github.com/ncfleet/ncfleet/controller/notify"
	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/inventory"
)

func notifyCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "notify", Short: "send a test message to every notify block of the inventory", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.testNotify(cmd.Context()) }}
}

// channels are the inventory's notify blocks with their secrets.
func channels(fleet *inventory.Fleet) ([]notify.Channel, error) {
	var out []notify.Channel
	for _, n := range fleet.Notify {
		c := notify.Channel{Name: "notify " + n.Kind + " " + n.Name}
		for _, o := range n.On {
			c.On = append(c.On, notify.Occasion(o))
		}
		url, key := n.URL, ""
		var password string
		for _, s := range []struct {
			ref  inventory.Secret
			into *string
		}{{n.SecretURL, &url}, {n.Key, &key}, {n.Password, &password}} {
			if s.ref == "" {
				continue
			}
			text, err := secret(s.ref)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
			*s.into = text
		}
		switch n.Kind {
		case "webhook":
			c.Send = notify.Webhook(url, key)
		case "slack":
			c.Send = notify.Slack(url)
		case "talk":
			c.Send = notify.Talk(url, n.Room, key)
		case "email":
			c.Send = notify.Mail{Server: n.Server, User: n.User, Password: password, From: n.From, To: n.To}.Send
		default:
			return nil, fmt.Errorf("%s: this kind is unknown", c.Name)
		}
		out = append(out, c)
	}
	return out, nil
}

func (a *app) testNotify(ctx context.Context) error {
	fleet, err := a.load()
	if err != nil {
		return err
	}
	list, err := channels(fleet)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("the inventory has no notify block; write one: notify \"webhook\" \"ops\" { url = … }")
	}
	failed := 0
	all := messagesDocument{FormatVersion: 1, Messages: []messageDocument{}}
	for _, c := range list {
		ctx, stop := context.WithTimeout(ctx, 30*time.Second)
		err := c.Send(ctx, notify.Message{FormatVersion: 1, ID: "test-" + now().Format("20060102-150405"), Occasion: "test", At: now().UTC().Truncate(time.Second),
			Title: "This is a test message of ncfleet, sent by " + who()})
		stop()
		m := messageDocument{FormatVersion: 1, Channel: c.Name, Sent: err == nil}
		if err != nil {
			failed++
			m.Error = err.Error()
			a.say("%s: FAILED: %v", c.Name, err)
		} else {
			a.say("%s: sent", c.Name)
		}
		all.Messages = append(all.Messages, m)
	}
	if err := printList(a, all, all.Messages); err != nil {
		return err
	}
	if failed > 0 {
		return &exitCode{exitError, report.Plural(failed, "message") + " not sent"}
	}
	return nil
}

// messagesDocument is how sending test messages went.
type messagesDocument struct {
	FormatVersion int               `json:"format_version"`
	Messages      []messageDocument `json:"messages"`
}

// messageDocument is how sending one test message went.
type messageDocument struct {
	FormatVersion int `json:"format_version"`
	// Channel is the notify block, by kind and name.
	Channel string `json:"channel"`
	Sent    bool   `json:"sent"`
	Error   string `json:"error,omitempty"`
}

// notifier tells the inventory's channels of a rollout; end delivers what waits.
func (a *app) notifier(fleet *inventory.Fleet, id string, s *rollout.State, last time.Time) (sink controller.Sink, end func(), err error) {
	list, err := channels(fleet)
	if err != nil {
		return nil, nil, err
	}
	var passed []int
	for i, w := range s.Waves {
		if w.Passed {
			passed = append(passed, i)
		}
	}
	n := notify.New(list, notify.Options{RolloutID: id, Command: a.self(), Passed: passed, Last: last, Now: now,
		Complain: func(text string) { fmt.Fprintln(a.stderr, "warning: "+strings.ReplaceAll(text, "\n", " ")) }})
	return n, n.Close, nil
}

// sinks hand each event to all of them, in order.
type sinks []controller.Sink

func (all sinks) Event(e rollout.Event, s *rollout.State) {
	for _, k := range all {
		k.Event(e, s)
	}
}

func (all sinks) Waiting(reasons []string, s *rollout.State) {
	for _, k := range all {
		k.Waiting(reasons, s)
	}
}
