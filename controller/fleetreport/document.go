package fleetreport

import "time"

// FormatVersion is the version of the document's JSON form. Names are only
// ever added within a version.
const FormatVersion = 1

// ReportDocument is the report on a fleet.
type ReportDocument struct {
	FormatVersion int       `json:"format_version"`
	Made          time.Time `json:"made"`
	// FactsFrom and FactsTo are when the oldest and the newest facts were seen.
	FactsFrom *time.Time `json:"facts_from,omitempty"`
	FactsTo   *time.Time `json:"facts_to,omitempty"`
	// Goal is the major that readiness is told for; 0 is the next one of each instance.
	Goal int `json:"goal,omitempty"`
	// LifetimesOf and RequirementsOf are the days of the tables used.
	LifetimesOf    string `json:"lifetimes_of"`
	RequirementsOf string `json:"requirements_of"`
	// Catalogue is true when a catalogue of newer releases of apps was read.
	Catalogue   bool          `json:"catalogue"`
	Counts      Counts        `json:"counts"`
	Unreachable []Unreachable `json:"unreachable"`
	Versions    []Version     `json:"versions"`
	Lifetimes   []Lifetime    `json:"lifetimes"`
	// HeldBy ranks the apps by how many instances each holds back.
	HeldBy   []HeldBy  `json:"held_by"`
	Targets  []Target  `json:"targets"`
	Rollouts []Rollout `json:"rollouts"`
	// Problems are what could not be found out, such as a rollout that the
	// journal no longer tells.
	Problems []string `json:"problems"`
}

// Counts sums the targets up.
type Counts struct {
	Hosts       int `json:"hosts"`
	Unreachable int `json:"unreachable"`
	// Instances is how many the inventory names, Seen how many a survey found.
	Instances int `json:"instances"`
	Seen      int `json:"seen"`
	// Ended counts instances whose Nextcloud is past its end of life.
	Ended int `json:"end_of_life"`
	// Ready, Blocked and Newest are about the goal; Newest have nowhere to go.
	Ready   int `json:"ready"`
	Blocked int `json:"blocked"`
	Newest  int `json:"newest"`
	Closed  int `json:"closed"`
	Drifted int `json:"drifted"`
	// Unproven counts instances of which the journal knows no verified snapshot.
	Unproven int `json:"without_snapshot"`
}

// Unreachable is a host without facts.
type Unreachable struct {
	Host   string `json:"host"`
	Reason string `json:"reason"`
}

// Version is the instances that run one release of Nextcloud.
type Version struct {
	Version string `json:"version"`
	Major   int    `json:"major"`
	// Newest is the newest release of the major on the table's day, "" unknown.
	Newest  string   `json:"newest,omitempty"`
	Behind  bool     `json:"behind"`
	Targets []string `json:"targets"`
}

// LifeState says how a product stands with its maker.
type LifeState string

// The states, the worst first.
const (
	LifeEnded     LifeState = "ended"
	LifeSoon      LifeState = "ends_soon" // within SoonDays
	LifeLonger    LifeState = "longer"    // ended, but an extended programme goes on
	LifeUnknown   LifeState = "unknown"
	LifeSupported LifeState = "supported"
)

// SoonDays is how many days before its end a product counts as ending soon.
const SoonDays = 90

// Lifetime is one product in use, and until when its maker cares for it.
type Lifetime struct {
	Product string    `json:"product"`
	Cycle   string    `json:"cycle"`
	State   LifeState `json:"state"`
	// Until is the last day, as "2026-12-31"; "" is unknown.
	Until string `json:"until,omitempty"`
	// Longer is the last day of an extended programme, and Programme its name.
	Longer    string   `json:"longer,omitempty"`
	Programme string   `json:"programme,omitempty"`
	Source    string   `json:"source,omitempty"`
	DaysLeft  int      `json:"days_left"` // negative when past; 0 when unknown
	Targets   []string `json:"targets"`
}

// HeldBy is an app that keeps instances from a major.
type HeldBy struct {
	App   string `json:"app"`
	Major int    `json:"major"`
	// Alone are those of the targets that nothing else holds back.
	Alone   []string `json:"alone"`
	Targets []string `json:"targets"`
}

// TargetState says whether a target could be looked at.
type TargetState string

// The states of a target.
const (
	TargetOpen        TargetState = "open"
	TargetClosed      TargetState = "closed"      // in maintenance mode: users see 503
	TargetPending     TargetState = "pending"     // an upgrade of its database has not ended
	TargetMissing     TargetState = "missing"     // no readable installation there
	TargetUnreachable TargetState = "unreachable" // the host gave no facts
	TargetHost        TargetState = "host"        // a host without instances
)

// Target is one instance, or a host alone.
type Target struct {
	Name     string      `json:"name"`
	Host     string      `json:"host"`
	Instance string      `json:"instance,omitempty"`
	State    TargetState `json:"state"`
	// Why explains a state that is not open.
	Why       string     `json:"why,omitempty"`
	SeenAt    *time.Time `json:"seen_at,omitempty"`
	Nextcloud string     `json:"nextcloud,omitempty"`
	PHP       string     `json:"php,omitempty"`
	Database  string     `json:"database,omitempty"`
	OS        string     `json:"os,omitempty"`
	Next      *Next      `json:"next,omitempty"`
	Snapshot  *Proven    `json:"snapshot,omitempty"`
	Drift     *Drift     `json:"drift,omitempty"`
	Closed    *Expected  `json:"closed,omitempty"`
}

// ReadyState says whether a target could go to the goal.
type ReadyState string

// The states of readiness.
const (
	Ready   ReadyState = "ready"
	Blocked ReadyState = "blocked"
	Newest  ReadyState = "newest" // at the goal, or at the newest major known
)

// Next is the way of an instance to its goal.
type Next struct {
	State ReadyState `json:"state"`
	// Majors are those on the way, the goal last.
	Majors []int `json:"majors"`
	// Obstacles must be gone before; Notes need not.
	Obstacles []Obstacle `json:"obstacles"`
	Notes     []Obstacle `json:"notes"`
}

// Obstacle is what stands in the way, or is worth knowing on it.
type Obstacle struct {
	Kind  string `json:"kind"` // "php", "php_modules", "app", "database", "closed", "pending"
	Major int    `json:"major,omitempty"`
	App   string `json:"app,omitempty"`
	Text  string `json:"text"`
}

// Proven is the last snapshot that its driver verified in a rollout.
type Proven struct {
	At         time.Time `json:"at"`
	AgeSeconds int64     `json:"age_seconds"`
	Rollout    string    `json:"rollout"`
	Key        string    `json:"key"`
}

// Drift is what changed since the last rollout that upgraded the target.
type Drift struct {
	Rollout string    `json:"rollout"`
	Since   time.Time `json:"since"`
	Changes []Change  `json:"changes"`
}

// Change is one fact that is not as the rollout left it.
type Change struct {
	What string `json:"what"`
	Left string `json:"left"`
	Now  string `json:"now"`
}

// Expected is how long the next closed time will take.
type Expected struct {
	// Source is "history" when the target's own past tells it, "estimate" when
	// the planner's formula does, from sizes.
	Source        string  `json:"source"`
	MedianSeconds float64 `json:"median_seconds"`
	MaxSeconds    float64 `json:"max_seconds"`
	Samples       int     `json:"samples"`
}

// The sources of an expected closed time.
const (
	FromHistory  = "history"
	FromEstimate = "estimate"
)

// Rollout is one of the journal's, in short.
type Rollout struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Began      *time.Time `json:"began,omitempty"`
	Verdict    string     `json:"verdict"`
	Upgraded   int        `json:"upgraded"`
	RolledBack int        `json:"rolled_back"`
	Failed     int        `json:"failed"`
	Untouched  int        `json:"untouched"`
	// MedianSeconds and MaxSeconds are the closed times of its targets.
	MedianSeconds float64 `json:"closed_median_seconds"`
	MaxSeconds    float64 `json:"closed_max_seconds"`
}
