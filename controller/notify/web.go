package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Webhook posts the message as JSON. With a key the body is signed:
//
//	X-Ncfleet-Timestamp: Unix seconds
//	X-Ncfleet-Signature: sha256=HEX of HMAC-SHA256(key, TIMESTAMP "." BODY)
//
// X-Ncfleet-Delivery is the message's id, by which a receiver knows one that
// is sent again.
func Webhook(address, key string) func(context.Context, Message) error {
	return func(ctx context.Context, m Message) error {
		body, err := json.Marshal(m)
		if err != nil {
			return Refused{err}
		}
		header := map[string]string{"X-Ncfleet-Delivery": m.ID}
		if key != "" {
			stamp := strconv.FormatInt(time.Now().Unix(), 10)
			header["X-Ncfleet-Timestamp"] = stamp
			header["X-Ncfleet-Signature"] = "sha256=" + sign(key, stamp+"."+string(body))
		}
		return post(ctx, address, body, header)
	}
}

func sign(key, text string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// Slack posts to an incoming webhook of Slack or Mattermost.
func Slack(address string) func(context.Context, Message) error {
	return func(ctx context.Context, m Message) error {
		text := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(m.Plain()) // as Slack asks for
		body, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			return Refused{err}
		}
		return post(ctx, address, body, nil)
	}
}

// talkLongest is the most characters of a message of Nextcloud Talk.
const talkLongest = 32000

// Talk posts as a bot of Nextcloud Talk: POST
// /ocs/v2.php/apps/spreed/api/v1/bot/ROOM/message, signed with the bot's
// secret over a random number and the message (nextcloud-talk.readthedocs.io,
// "Bots").
func Talk(address, room, key string) func(context.Context, Message) error {
	address = strings.TrimRight(address, "/") + "/ocs/v2.php/apps/spreed/api/v1/bot/" + url.PathEscape(room) + "/message"
	return func(ctx context.Context, m Message) error {
		text := m.Plain()
		if r := []rune(text); len(r) > talkLongest {
			text = string(r[:talkLongest-1]) + "…"
		}
		reference := sha256.Sum256([]byte(m.ID))
		body, err := json.Marshal(map[string]string{"message": text, "referenceId": hex.EncodeToString(reference[:])})
		if err != nil {
			return Refused{err}
		}
		random := rand.Text() + rand.Text()
		return post(ctx, address, body, map[string]string{"OCS-APIRequest": "true", "Accept": "application/json",
			"X-Nextcloud-Talk-Bot-Random": random, "X-Nextcloud-Talk-Bot-Signature": sign(key, random+text)})
	}
}

// client follows no redirect: a signed message is for one address.
var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// post sends a body. Errors never show the address, which may be a secret.
func post(ctx context.Context, address string, body []byte, header map[string]string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return Refused{fmt.Errorf("its address cannot be read")}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "ncfleet")
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		return hide(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // for the error only
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode/100 == 5 || resp.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("it answered %s", resp.Status)
	}
	return Refused{fmt.Errorf("it answered %s: %s", resp.Status, strings.TrimSpace(string(answer)))}
}

// hide takes the address out of an error of package http.
func hide(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}
