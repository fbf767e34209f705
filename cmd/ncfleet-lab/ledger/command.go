package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Command is "ledger" with its verbs. "check" fails when a write is lost.
func Command() *cobra.Command {
	c := &cobra.Command{Use: "ledger", Short: "Prove that no acknowledged write is lost"}
	c.AddCommand(runCommand(), checkCommand())
	return c
}

func runCommand() *cobra.Command {
	var sites, book string
	var every, limit time.Duration
	c := &cobra.Command{
		Use: "run --sites FILE --book FILE", Short: "Write and read on every site until interrupted", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := openSites(sites)
			if err != nil {
				return err
			}
			f, err := openBook(book)
			if err != nil {
				return fmt.Errorf("cannot open the book: %w", err)
			}
			ctx := c.Context()
			if limit > 0 {
				var stop context.CancelFunc
				ctx, stop = context.WithTimeout(ctx, limit)
				defer stop()
			}
			return errors.Join(Run(ctx, list, every, f), f.Close())
		},
	}
	flags(c, &sites, &book)
	c.Flags().DurationVar(&every, "every", time.Second, "time between two rounds on a site")
	c.Flags().DurationVar(&limit, "for", 0, "end after this time; 0 means when interrupted")
	return c
}

func checkCommand() *cobra.Command {
	var sites, book, output string
	c := &cobra.Command{
		Use: "check --sites FILE --book FILE", Short: "Read back every acknowledged write", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("cannot print %q: --output is text or json", output)
			}
			list, err := openSites(sites)
			if err != nil {
				return err
			}
			f, err := os.Open(book)
			if err != nil {
				return fmt.Errorf("cannot open the book: %w", err)
			}
			defer f.Close()
			r, err := Check(c.Context(), list, f)
			if err != nil {
				return err
			}
			if output == "json" {
				err = json.NewEncoder(c.OutOrStdout()).Encode(r)
			} else {
				err = r.Write(c.OutOrStdout())
			}
			if err == nil && !r.Clean() {
				err = errors.New("acknowledged writes are not as they should be; see the report")
			}
			return err
		},
	}
	flags(c, &sites, &book)
	c.Flags().StringVar(&output, "output", "text", "text or json")
	return c
}

func flags(c *cobra.Command, sites, book *string) {
	c.Flags().StringVar(sites, "sites", "", "JSON file with the sites: a list of name, url, user, password")
	c.Flags().StringVar(book, "book", "", "the book: JSON lines")
	for _, name := range []string{"sites", "book"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined two lines above
		}
	}
}

// openBook opens a book to go on with it; a last line that was cut off goes.
func openBook(path string) (*os.File, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(int64(bytes.LastIndexByte(text, '\n') + 1)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func openSites(path string) ([]Site, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the sites: %w", err)
	}
	defer f.Close()
	sites, err := ReadSites(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return sites, nil
}

// Write prints the report for people.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	for _, s := range r.Sites {
		fmt.Fprintf(&b, "%s: %d writes acknowledged, %d files read back, %d lost, %d changed, %d unread, %d wrong reads\n",
			s.Name, s.Acknowledged, s.Files, len(s.Lost), len(s.Changed), len(s.Unread), len(s.WrongReads))
		codes := make([]string, 0, len(s.Codes))
		for code, n := range s.Codes {
			codes = append(codes, fmt.Sprintf("%s ×%d", code, n))
		}
		sort.Strings(codes)
		fmt.Fprintf(&b, "  answers  %s\n", strings.Join(codes, ", "))
		for _, i := range s.Closed {
			if i.To.IsZero() {
				fmt.Fprintf(&b, "  closed   from %s, not seen open again\n", i.From.Format(time.RFC3339))
			} else {
				fmt.Fprintf(&b, "  closed   from %s for %.1f s\n", i.From.Format(time.RFC3339), i.To.Sub(i.From).Seconds())
			}
		}
		for _, l := range []struct {
			word string
			list []Finding
		}{{"LOST", s.Lost}, {"CHANGED", s.Changed}, {"UNREAD", s.Unread}, {"WRONG READ", s.WrongReads}} {
			for _, f := range l.list {
				fmt.Fprintf(&b, "  %s %s of %s: wanted %.12s, got %.60s\n", l.word, f.Path, f.Time.Format(time.RFC3339), f.Want, f.Got)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
