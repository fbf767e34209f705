package journal

import (
	"encoding/json"
	"fmt"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Request is an operator's wish, left by a process that does not write the
// journal: pause, resume, abort, approve, rollback.
type Request struct {
	ID    int64
	Event rollout.Event // Kind, Who, At, Target, Wave, Detail
}

// Ask leaves a request for the journal's writer and returns its number.
func (j *Journal) Ask(id string, e rollout.Event) (int64, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return 0, fmt.Errorf("cannot leave request: %w", err)
	}
	r, err := j.db.Exec("INSERT INTO requests (rollout, at, request) VALUES (?,?,?)", id, e.At.UnixMilli(), text)
	if err != nil {
		return 0, fmt.Errorf("cannot leave request: %w", err)
	}
	return r.LastInsertId()
}

// Requests returns the requests of a rollout that were not taken, oldest first.
func (j *Journal) Requests(id string) ([]Request, error) {
	rows, err := j.db.Query("SELECT id, request FROM requests WHERE rollout = ? AND taken = 0 ORDER BY id LIMIT 100", id)
	if err != nil {
		return nil, fmt.Errorf("cannot read requests: %w", err)
	}
	defer rows.Close()
	var list []Request
	for rows.Next() {
		var r Request
		var text []byte
		if err := rows.Scan(&r.ID, &text); err != nil {
			return nil, fmt.Errorf("cannot read requests: %w", err)
		}
		if err := json.Unmarshal(text, &r.Event); err != nil {
			return nil, fmt.Errorf("cannot read request %d: %w", r.ID, err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// Take marks a request as dealt with; refusal says why it was not applied.
func (j *Journal) Take(request int64, refusal string) error {
	_, err := j.db.Exec("UPDATE requests SET taken = 1, answer = ? WHERE id = ?", refusal, request)
	if err != nil {
		return fmt.Errorf("cannot answer request %d: %w", request, err)
	}
	return nil
}

// Answer tells what became of a request.
func (j *Journal) Answer(request int64) (taken bool, refusal string, err error) {
	err = j.db.QueryRow("SELECT taken, answer FROM requests WHERE id = ?", request).Scan(&taken, &refusal)
	if err != nil {
		return false, "", fmt.Errorf("cannot read the answer to request %d: %w", request, err)
	}
	return taken, refusal, nil
}
