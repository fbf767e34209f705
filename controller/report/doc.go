// Package report shows plans, progress and outcomes to people and to programs:
// text for a tired person at 80 columns, a live view on their terminal, JSON for
// the rest. All read the same plan and the same stream of events.
//
// It decides nothing and changes nothing, and prints no secret: of a command
// it shows the words, never its input or the values of its environment.
package report
